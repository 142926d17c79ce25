"""The 71 SCP-ECG statements of PTB-XL in plain English: groups, superclasses, and how often each occurs.

Groups and classes are those of PTB-XL's ``scp_statements.csv`` (Wagner et al., Scientific Data 2020, 7:154): diagnoses,
forms of the waves, rhythms. Four statements count as both diagnosis and form; they stand among the diagnoses.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from leadwise.contract import STATEMENTS

Group = Literal["diagnostic", "form", "rhythm"]
GROUPS: tuple[Group, ...] = get_args(Group)
ALSO_FORM = frozenset({"NDT", "NST_", "DIG", "LNGQT"})
"""Diagnoses that are forms as well."""


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement.

    Attributes:
        code: as PTB-XL writes it.
        name: in plain English.
        group: where it is listed.
        superclass: of a diagnosis, otherwise empty.
        subclass: of a diagnosis, otherwise empty.
        per_10000: about how many of 10,000 PTB-XL records carry it.
    """

    code: str
    name: str
    group: Group
    superclass: str
    subclass: str
    per_10000: int

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that it belongs to; the tasks of Strodthoff et al. 2021 count so: 44, 19 and 12 statements."""
        return (self.group, "form") if self.code in ALSO_FORM else (self.group,)


_TABLE = """
NDT     STTC   STTC        837  non-diagnostic T-wave abnormality
ISC_    STTC   ISC_        584  non-specific ischaemia
NST_    STTC   NST_        352  non-specific ST change
ISCAL   STTC   ISCA        302  ischaemia, anterolateral leads
ISCIN   STTC   ISCI        100  ischaemia, inferior leads
DIG     STTC   STTC         83  digitalis effect
ISCIL   STTC   ISCI         82  ischaemia, inferolateral leads
ISCAS   STTC   ISCA         78  ischaemia, anteroseptal leads
ISCLA   STTC   ISCA         64  ischaemia, lateral leads
LNGQT   STTC   STTC         54  long QT interval
ANEUR   STTC   STTC         48  ST-T change of a ventricular aneurysm
EL      STTC   STTC         44  electrolyte or drug effect
ISCAN   STTC   ISCA         20  ischaemia, anterior leads
NORM    NORM   NORM       4364  normal ECG
IMI     MI     IMI        1228  inferior myocardial infarction
ASMI    MI     AMI        1081  anteroseptal myocardial infarction
ILMI    MI     IMI         219  inferolateral myocardial infarction
AMI     MI     AMI         162  anterior myocardial infarction
ALMI    MI     AMI         132  anterolateral myocardial infarction
INJAS   MI     AMI          98  subendocardial injury, anteroseptal leads
LMI     MI     LMI          92  lateral myocardial infarction
INJAL   MI     AMI          67  subendocardial injury, anterolateral leads
IPLMI   MI     IMI          23  inferoposterolateral myocardial infarction
IPMI    MI     IMI          15  inferoposterior myocardial infarction
INJIN   MI     IMI           8  subendocardial injury, inferior leads
INJLA   MI     AMI           8  subendocardial injury, lateral leads
PMI     MI     PMI           8  posterior myocardial infarction
INJIL   MI     IMI           7  subendocardial injury, inferolateral leads
LAFB    CD     LAFB/LPFB   745  left anterior fascicular block
IRBBB   CD     IRBBB       513  incomplete right bundle branch block
1AVB    CD     _AVB        364  first-degree AV block
IVCD    CD     IVCD        361  non-specific intraventricular conduction disturbance
CRBBB   CD     CRBBB       248  complete right bundle branch block
CLBBB   CD     CLBBB       246  complete left bundle branch block
LPFB    CD     LAFB/LPFB    81  left posterior fascicular block
WPW     CD     WPW          36  Wolff-Parkinson-White syndrome
ILBBB   CD     ILBBB        35  incomplete left bundle branch block
3AVB    CD     _AVB          7  third-degree AV block
2AVB    CD     _AVB          6  second-degree AV block
LVH     HYP    LVH         978  left ventricular hypertrophy
LAO/LAE HYP    LAO/LAE     195  left atrial overload or enlargement
RVH     HYP    RVH          58  right ventricular hypertrophy
RAO/RAE HYP    RAO/RAE      45  right atrial overload or enlargement
SEHYP   HYP    SEHYP        13  septal hypertrophy
ABQRS   form   -          1526  abnormal QRS
PVC     form   -           524  ventricular premature beats
STD_    form   -           463  non-specific ST depression
VCLVH   form   -           401  voltage criteria of left ventricular hypertrophy
QWAVE   form   -           251  Q waves
LOWT    form   -           201  low T waves
NT_     form   -           194  non-specific T-wave change
PAC     form   -           183  atrial premature beats
LPR     form   -           156  long PR interval
INVT    form   -           135  inverted T waves
LVOLT   form   -            83  low QRS voltage
HVOLT   form   -            28  high QRS voltage
TAB_    form   -            16  T-wave abnormality
STE_    form   -            13  non-specific ST elevation
PRC(S)  form   -             5  premature beats
SR      rhythm -          7683  sinus rhythm
AFIB    rhythm -           695  atrial fibrillation
STACH   rhythm -           379  sinus tachycardia
SARRH   rhythm -           354  sinus arrhythmia
SBRAD   rhythm -           292  sinus bradycardia
PACE    rhythm -           135  paced rhythm
SVARR   rhythm -            72  supraventricular arrhythmia
BIGU    rhythm -            38  bigeminy
AFLT    rhythm -            33  atrial flutter
SVTAC   rhythm -            12  supraventricular tachycardia
PSVT    rhythm -            11  paroxysmal supraventricular tachycardia
TRIGU   rhythm -             9  trigeminy
"""
"""Code, superclass or group, subclass, records of 10,000, name."""


def _read(line: str) -> Statement:
    code, kind, subclass, often, name = line.split(maxsplit=4)
    group: Group = next((group for group in GROUPS if group == kind), "diagnostic")
    superclass, subclass = (kind, subclass) if group == "diagnostic" else ("", "")
    return Statement(code, name, group, superclass, subclass, int(often))


STATEMENT_BY_CODE = {statement.code: statement for statement in map(_read, _TABLE.strip().splitlines())}
STATEMENT_TABLE: tuple[Statement, ...] = tuple(STATEMENT_BY_CODE[code] for code in STATEMENTS)
"""All of them in the order of ``STATEMENTS``."""
