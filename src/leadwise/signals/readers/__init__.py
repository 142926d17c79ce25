"""Readers of ECG files: WFDB, CSV, NPY and NPZ, EDF, DICOM, HL7 aECG, GE MUSE XML and Parquet, through one function."""

from leadwise.signals.readers.detection import FORMATS_READ
from leadwise.signals.readers.errors import LARGEST_FILE, ReaderError
from leadwise.signals.readers.found import Question, ReadECG
from leadwise.signals.readers.read import Source, read_ecg

__all__ = ["FORMATS_READ", "LARGEST_FILE", "Question", "ReadECG", "ReaderError", "Source", "read_ecg"]
