"""The words that every part of Leadwise shares: leads, classes, units, folds, and one recording.

This module is the ground floor: it imports nothing, so that the command line has its words at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The 12 standard leads in the order in which every array of ours holds them."""

SUPERCLASSES: tuple[str, ...] = ("NORM", "MI", "STTC", "CD", "HYP")
"""The five diagnostic superclasses of PTB-XL in the order of every label and probability array."""

SUPERCLASS_NAMES: Mapping[str, str] = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}

STATEMENTS: tuple[str, ...] = (
    "NDT", "NST_", "DIG", "LNGQT", "NORM", "IMI", "ASMI", "LVH", "LAFB", "ISC_", "IRBBB", "1AVB", "IVCD", "ISCAL",
    "CRBBB", "CLBBB", "ILMI", "LAO/LAE", "AMI", "ALMI", "ISCIN", "INJAS", "LMI", "ISCIL", "LPFB", "ISCAS", "INJAL",
    "ISCLA", "RVH", "ANEUR", "RAO/RAE", "EL", "WPW", "ILBBB", "IPLMI", "ISCAN", "IPMI", "SEHYP", "INJIN", "INJLA",
    "PMI", "3AVB", "INJIL", "2AVB", "ABQRS", "PVC", "STD_", "VCLVH", "QWAVE", "LOWT", "NT_", "PAC", "LPR", "INVT",
    "LVOLT", "HVOLT", "TAB_", "STE_", "PRC(S)", "SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE", "SVARR", "BIGU",
    "AFLT", "SVTAC", "PSVT", "TRIGU",
)  # fmt: skip
"""The 71 SCP-ECG statements of PTB-XL in the order of its ``scp_statements.csv``: diagnoses, forms, rhythms."""

FS_HZ = 100.0
"""Sampling rate of the stored signals and of every model's input, in Hz."""

RECORD_SAMPLES = 1000
"""Samples of one stored record: 10 s at ``FS_HZ``."""

RECORD_SECONDS = 10
StoredRate = Literal[100, 500]
"""PTB-XL holds every recording twice, at these rates in Hz; the models take ``FS_HZ``."""

MICROVOLTS_PER_UNIT = 1.0
"""What one unit of the stored int16 signals means, in microvolts (1000 units per mV)."""

TRAIN_FOLDS: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
VALIDATION_FOLD = 9
TEST_FOLD = 10
"""The recommended split of PTB-XL (Wagner et al. 2020): folds 9 and 10 are human-validated."""

Split = Literal["train", "validation", "test"]
FeatureSet = Literal["clinical", "original"]
SERVED_FEATURE_SET: FeatureSet = "clinical"
"""The other one leaks the diagnosis: a model that sees it is measured, never registered."""
EncoderName = Literal["original_cnn", "resnet1d_wang", "se_resnet"]
HeadName = Literal["linear", "dense"]
Precision = Literal["float32", "bfloat16"]
ENCODER_NAMES: tuple[EncoderName, ...] = ("original_cnn", "resnet1d_wang", "se_resnet")


@dataclass(frozen=True)
class SignalShape:
    """What a network sees of a recording: ``(samples, leads)`` at ``fs_hz``.

    Attributes:
        fs_hz: sampling rate in Hz.
        samples: samples of one window; ``None``: any number.
        leads: number of leads, in the order of ``LEADS``.
    """

    fs_hz: float = FS_HZ
    samples: int | None = None
    leads: int = len(LEADS)


DISCLAIMER = "For research and education only. Leadwise is not a medical device and must not guide care."


class LeadwiseError(Exception):
    """An error that a user can act on: its message names the record or field, what was received, what is allowed."""


@dataclass(frozen=True)
class ECGRecord:
    """One 12-lead recording with what is known about the patient.

    Attributes:
        signal_mv: ``(time, 12)`` float32 in millivolts, leads in the order of ``LEADS``.
        fs_hz: sampling rate in Hz.
        patient: what is known of the patient, by the names of ``leadwise.features``; a missing key or ``None`` means
            unknown.
        record_id: the caller's name for the recording.
    """

    signal_mv: "np.ndarray"
    fs_hz: float
    patient: Mapping[str, float | None]
    record_id: str = ""
