"""The 71 SCP-ECG statements that PTB-XL uses: what each is, which superclass it belongs to, how often it occurs.

Codes, flags and classes are those of Wagner et al. 2020 (PTB-XL, Scientific Data 7:154); the descriptions are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from leadwise.contract import SUPERCLASSES


@dataclass(frozen=True)
class Statement:
    """One SCP-ECG statement.

    Attributes:
        description: in words.
        superclass: for a diagnostic statement its superclass, otherwise empty.
        subclass: for a diagnostic statement its subclass, otherwise empty.
        form: whether it describes the shape of the waves; four STTC statements are both diagnostic and form.
        rhythm: whether it describes the rhythm.
        per_10000: about how many of 10,000 PTB-XL records carry it.
    """

    description: str
    superclass: str = ""
    subclass: str = ""
    form: bool = False
    rhythm: bool = False
    per_10000: float = 1.0

    @property
    def diagnostic(self) -> bool:
        return bool(self.superclass)

    @property
    def category(self) -> str:
        if self.diagnostic:
            return f"diagnosis: {self.superclass}"
        return "form of the waves" if self.form else "rhythm"


def _diagnoses(superclass: str, *rows: tuple[str, str, str, float]) -> dict[str, Statement]:
    return {code: Statement(words, superclass, sub, per_10000=often) for code, sub, words, often in rows}


def _forms(*rows: tuple[str, str, float]) -> dict[str, Statement]:
    return {code: Statement(words, form=True, per_10000=often) for code, words, often in rows}


def _rhythms(*rows: tuple[str, str, float]) -> dict[str, Statement]:
    return {code: Statement(words, rhythm=True, per_10000=often) for code, words, often in rows}


_NORMAL = _diagnoses("NORM", ("NORM", "NORM", "nothing abnormal", 4364))

_INFARCTION = _diagnoses(
    "MI",
    ("IMI", "IMI", "infarction of the inferior wall", 1228),
    ("ASMI", "AMI", "infarction of the anterior wall and septum", 1081),
    ("ILMI", "IMI", "infarction of the inferior and lateral walls", 219),
    ("AMI", "AMI", "infarction of the anterior wall", 162),
    ("ALMI", "AMI", "infarction of the anterior and lateral walls", 132),
    ("INJAS", "AMI", "injury below the endocardium, anterior wall and septum", 98),
    ("LMI", "LMI", "infarction of the lateral wall", 92),
    ("INJAL", "AMI", "injury below the endocardium, anterior and lateral walls", 67),
    ("IPLMI", "IMI", "infarction of the inferior, posterior and lateral walls", 23),
    ("IPMI", "IMI", "infarction of the inferior and posterior walls", 15),
    ("INJIN", "IMI", "injury below the endocardium, inferior wall", 8),
    ("INJLA", "AMI", "injury below the endocardium, lateral wall", 8),
    ("PMI", "PMI", "infarction of the posterior wall", 8),
    ("INJIL", "IMI", "injury below the endocardium, inferior and lateral walls", 7),
)

_ST_T_CHANGE = _diagnoses(
    "STTC",
    ("NDT", "STTC", "T wave abnormal without pointing to a diagnosis", 837),
    ("ISC_", "ISC_", "ischemia, no particular leads", 584),
    ("NST_", "NST_", "ST segment changed, not specific", 352),
    ("ISCAL", "ISCA", "ischemia in the anterolateral leads", 302),
    ("ISCIN", "ISCI", "ischemia in the inferior leads", 100),
    ("DIG", "STTC", "effect of digitalis", 83),
    ("ISCIL", "ISCI", "ischemia in the inferolateral leads", 82),
    ("ISCAS", "ISCA", "ischemia in the anteroseptal leads", 78),
    ("ISCLA", "ISCA", "ischemia in the lateral leads", 64),
    ("LNGQT", "STTC", "QT interval too long", 54),
    ("ANEUR", "STTC", "ST and T as after a ventricular aneurysm", 48),
    ("EL", "STTC", "effect of electrolytes or of a drug", 44),
    ("ISCAN", "ISCA", "ischemia in the anterior leads", 20),
)

_CONDUCTION = _diagnoses(
    "CD",
    ("LAFB", "LAFB/LPFB", "left anterior fascicle blocked", 745),
    ("IRBBB", "IRBBB", "right bundle branch delayed", 513),
    ("1AVB", "_AVB", "AV block, first degree", 364),
    ("IVCD", "IVCD", "QRS wide without the shape of a bundle branch", 361),
    ("CRBBB", "CRBBB", "right bundle branch blocked", 248),
    ("CLBBB", "CLBBB", "left bundle branch blocked", 246),
    ("LPFB", "LAFB/LPFB", "left posterior fascicle blocked", 81),
    ("WPW", "WPW", "pre-excitation (Wolff-Parkinson-White)", 36),
    ("ILBBB", "ILBBB", "left bundle branch delayed", 35),
    ("3AVB", "_AVB", "AV block, third degree", 7),
    ("2AVB", "_AVB", "AV block, second degree", 6),
)

_HYPERTROPHY = _diagnoses(
    "HYP",
    ("LVH", "LVH", "left ventricle thickened", 978),
    ("LAO/LAE", "LAO/LAE", "left atrium enlarged or overloaded", 195),
    ("RVH", "RVH", "right ventricle thickened", 58),
    ("RAO/RAE", "RAO/RAE", "right atrium enlarged or overloaded", 45),
    ("SEHYP", "SEHYP", "septum thickened", 13),
)

_FORM = _forms(
    ("ABQRS", "QRS of abnormal shape", 1526),
    ("PVC", "premature beat from a ventricle", 524),
    ("STD_", "ST segment lowered, not specific", 463),
    ("VCLVH", "QRS voltage as high as in left ventricular hypertrophy", 401),
    ("QWAVE", "Q waves", 251),
    ("LOWT", "T waves low", 201),
    ("NT_", "T waves changed, not specific", 194),
    ("PAC", "premature beat from an atrium", 183),
    ("LPR", "PR interval long", 156),
    ("INVT", "T waves inverted", 135),
    ("LVOLT", "QRS voltage low in limb and chest leads", 83),
    ("HVOLT", "QRS voltage high", 28),
    ("TAB_", "T waves abnormal", 16),
    ("STE_", "ST segment raised, not specific", 13),
    ("PRC(S)", "premature beats", 5),
)

_RHYTHM = _rhythms(
    ("SR", "sinus rhythm", 7683),
    ("AFIB", "atrial fibrillation", 695),
    ("STACH", "sinus rhythm, fast", 379),
    ("SARRH", "sinus rhythm, irregular", 354),
    ("SBRAD", "sinus rhythm, slow", 292),
    ("PACE", "paced by a device", 135),
    ("SVARR", "arrhythmia from above the ventricles", 72),
    ("BIGU", "every second beat premature", 38),
    ("AFLT", "atrial flutter", 33),
    ("SVTAC", "tachycardia from above the ventricles", 12),
    ("PSVT", "tachycardia from above the ventricles, in attacks", 11),
    ("TRIGU", "every third beat premature", 9),
)

STATEMENTS: Mapping[str, Statement] = {
    **{
        code: Statement(**{**vars(statement), "form": code in ("NDT", "NST_", "DIG", "LNGQT")})
        for code, statement in (_ST_T_CHANGE | _NORMAL | _INFARCTION | _CONDUCTION | _HYPERTROPHY).items()
    },
    **_FORM,
    **_RHYTHM,
}
"""All 71 by code: 44 diagnostic (4 of them also form), 15 form only, 12 rhythm."""

CODES_OF: Mapping[str, tuple[str, ...]] = {
    superclass: tuple(code for code, statement in STATEMENTS.items() if statement.superclass == superclass)
    for superclass in SUPERCLASSES
}
"""The diagnostic codes of each superclass."""


def superclasses_of(codes: Mapping[str, float]) -> tuple[str, ...]:
    """The superclasses that a record's ``scp_codes`` amount to; the likelihood does not matter."""
    found = {STATEMENTS[code].superclass for code in codes}
    return tuple(superclass for superclass in SUPERCLASSES if superclass in found)
