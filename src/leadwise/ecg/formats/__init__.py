"""Readers of ECG files: WFDB, CSV, NPY and NPZ, EDF, DICOM, HL7 aECG, GE MUSE XML and Parquet, through one function."""

from leadwise.ecg.formats.base import LARGEST_FILE, Question, ReadECG, ReaderError
from leadwise.ecg.formats.read import FORMATS_READ, Source, read_ecg

__all__ = ["FORMATS_READ", "LARGEST_FILE", "Question", "ReadECG", "ReaderError", "Source", "read_ecg"]
