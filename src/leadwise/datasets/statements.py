"""The 71 SCP-ECG statements of PTB-XL in plain English, each with its group.

Groups are those of PTB-XL's ``scp_statements.csv`` (Wagner et al., Scientific Data 2020, 7:154): diagnoses, forms of
the waves, rhythms. Four statements count as both diagnosis and form; they stand among the diagnoses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from leadwise.contract import STATEMENTS

Group = Literal["diagnostic", "form", "rhythm"]
GROUPS: tuple[Group, ...] = get_args(Group)

DIAGNOSES: Mapping[str, str] = {
    "NORM": "normal ECG",
    "IMI": "inferior myocardial infarction",
    "ASMI": "anteroseptal myocardial infarction",
    "ILMI": "inferolateral myocardial infarction",
    "AMI": "anterior myocardial infarction",
    "ALMI": "anterolateral myocardial infarction",
    "LMI": "lateral myocardial infarction",
    "PMI": "posterior myocardial infarction",
    "IPMI": "inferoposterior myocardial infarction",
    "IPLMI": "inferoposterolateral myocardial infarction",
    "INJAS": "subendocardial injury, anteroseptal leads",
    "INJAL": "subendocardial injury, anterolateral leads",
    "INJIN": "subendocardial injury, inferior leads",
    "INJLA": "subendocardial injury, lateral leads",
    "INJIL": "subendocardial injury, inferolateral leads",
    "NDT": "non-diagnostic T-wave abnormality",
    "NST_": "non-specific ST change",
    "DIG": "digitalis effect",
    "LNGQT": "long QT interval",
    "ANEUR": "ST-T change of a ventricular aneurysm",
    "EL": "electrolyte or drug effect",
    "ISC_": "non-specific ischaemia",
    "ISCAL": "ischaemia, anterolateral leads",
    "ISCIN": "ischaemia, inferior leads",
    "ISCIL": "ischaemia, inferolateral leads",
    "ISCAS": "ischaemia, anteroseptal leads",
    "ISCLA": "ischaemia, lateral leads",
    "ISCAN": "ischaemia, anterior leads",
    "LAFB": "left anterior fascicular block",
    "LPFB": "left posterior fascicular block",
    "IRBBB": "incomplete right bundle branch block",
    "CRBBB": "complete right bundle branch block",
    "ILBBB": "incomplete left bundle branch block",
    "CLBBB": "complete left bundle branch block",
    "IVCD": "non-specific intraventricular conduction disturbance",
    "1AVB": "first-degree AV block",
    "2AVB": "second-degree AV block",
    "3AVB": "third-degree AV block",
    "WPW": "Wolff-Parkinson-White syndrome",
    "LVH": "left ventricular hypertrophy",
    "RVH": "right ventricular hypertrophy",
    "SEHYP": "septal hypertrophy",
    "LAO/LAE": "left atrial overload or enlargement",
    "RAO/RAE": "right atrial overload or enlargement",
}

FORMS: Mapping[str, str] = {
    "ABQRS": "abnormal QRS",
    "QWAVE": "Q waves",
    "LVOLT": "low QRS voltage",
    "HVOLT": "high QRS voltage",
    "VCLVH": "voltage criteria of left ventricular hypertrophy",
    "STD_": "non-specific ST depression",
    "STE_": "non-specific ST elevation",
    "LOWT": "low T waves",
    "INVT": "inverted T waves",
    "NT_": "non-specific T-wave change",
    "TAB_": "T-wave abnormality",
    "LPR": "long PR interval",
    "PAC": "atrial premature beats",
    "PVC": "ventricular premature beats",
    "PRC(S)": "premature beats",
}

RHYTHMS: Mapping[str, str] = {
    "SR": "sinus rhythm",
    "STACH": "sinus tachycardia",
    "SBRAD": "sinus bradycardia",
    "SARRH": "sinus arrhythmia",
    "AFIB": "atrial fibrillation",
    "AFLT": "atrial flutter",
    "PACE": "paced rhythm",
    "SVARR": "supraventricular arrhythmia",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "BIGU": "bigeminy",
    "TRIGU": "trigeminy",
}

ALSO_FORM = frozenset({"NDT", "NST_", "DIG", "LNGQT"})
"""Diagnoses that are forms as well."""


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement.

    Attributes:
        code: as PTB-XL writes it.
        name: in plain English.
        group: where it is listed.
    """

    code: str
    name: str
    group: Group

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that it belongs to; the tasks of Strodthoff et al. 2021 count so: 44, 19 and 12 statements."""
        return (self.group, "form") if self.code in ALSO_FORM else (self.group,)


def _described(code: str) -> Statement:
    for group, names in zip(GROUPS, (DIAGNOSES, FORMS, RHYTHMS), strict=True):
        if code in names:
            return Statement(code, names[code], group)
    raise AssertionError(f"{code}: no such statement")


STATEMENT_TABLE: tuple[Statement, ...] = tuple(_described(code) for code in STATEMENTS)
"""All of them in the order of ``STATEMENTS``."""
