"""The simulated patients: who they are, what they have, which folds they fall into.

Shares follow PTB-XL 1.0.3 (Wagner et al. 2020, Scientific Data 7:154).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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


COMBINATIONS: Mapping[tuple[str, ...], float] = {
    ("NORM",): 0.4160,
    ("MI",): 0.1162,
    ("STTC",): 0.1101,
    ("CD",): 0.0784,
    ("MI", "CD"): 0.0595,
    ("STTC", "HYP"): 0.0358,
    ("MI", "STTC"): 0.0275,
    ("HYP",): 0.0245,
    ("STTC", "CD"): 0.0216,
    (): 0.0189,
    ("NORM", "CD"): 0.0187,
    ("MI", "STTC", "HYP"): 0.0166,
    ("CD", "HYP"): 0.0138,
    ("MI", "STTC", "CD"): 0.0102,
    ("STTC", "CD", "HYP"): 0.0097,
    ("MI", "HYP"): 0.0084,
    ("MI", "STTC", "CD", "HYP"): 0.0072,
    ("MI", "CD", "HYP"): 0.0054,
    ("NORM", "STTC"): 0.0015,
}
"""Which superclasses a record has, and how often."""

RECORDS_PER_PATIENT: Mapping[int, float] = {1: 0.8881, 2: 0.0843, 3: 0.0186, 4: 0.0053, 5: 0.0023, 6: 0.0014}

LIKELIHOODS: tuple[tuple[float, ...], tuple[float, ...]] = (
    (100.0, 50.0, 15.0, 80.0, 35.0, 0.0),
    (0.62, 0.14, 0.06, 0.06, 0.03, 0.09),
)
"""Likelihoods of diagnostic statements and their shares; 0 means that it was not noted."""

FOLDS = 10
MILD_WITH_NORMAL = ("IRBBB", "1AVB", "NDT", "NST_")
"""Findings that a record called normal may carry."""

HIDES: Mapping[str, frozenset[str]] = {
    "CLBBB": frozenset({"CRBBB", "IRBBB", "ILBBB", "LAFB", "LPFB", "IVCD", "WPW"}),
    "CRBBB": frozenset({"IRBBB", "ILBBB", "IVCD"}),
    "LAFB": frozenset({"LPFB"}),
}
"""Conduction disturbances that cannot be told beside a greater one."""


@dataclass(frozen=True)
class Patient:
    """One simulated person.

    Attributes:
        patient_id: as in the tables.
        superclasses: what the person has.
        codes: diagnostic SCP statements with likelihood.
        facts: by the names of features; the age is that at the first recording. Most records lack height or weight.
        records: number of recordings.
        strat_fold: 1 to 10.
    """

    patient_id: int
    superclasses: tuple[str, ...]
    codes: Mapping[str, float]
    facts: Mapping[str, float]
    records: int
    strat_fold: int


def quotas(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that add up to ``total``, as near to the shares as can be (largest remainder)."""
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(int)
    short = total - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    return counts


def draw_patients(count: int, rng: np.random.Generator) -> list[Patient]:
    """Patients whose superclasses have PTB-XL's shares in every fold."""
    combinations = list(COMBINATIONS)
    numbers = quotas(np.array([COMBINATIONS[c] for c in combinations]), count)
    groups = [combination for combination, number in zip(combinations, numbers, strict=True) for _ in range(number)]
    records = np.repeat(list(RECORDS_PER_PATIENT), quotas(np.array(list(RECORDS_PER_PATIENT.values())), count))
    rng.shuffle(records)
    folds = _deal_folds(groups, records, rng)
    identities = rng.permutation(np.arange(1, 2 * count))[:count]
    patients = [_draw_patient(int(identities[k]), groups[k], int(records[k]), int(folds[k]), rng) for k in range(count)]
    order = rng.permutation(count)
    return [patients[k] for k in order]


def _deal_folds(groups: list[tuple[str, ...]], records: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal the patients of each group to the folds like cards: those with many records first, then singles."""
    names = sorted(set(groups))
    place = np.array([names.index(group) for group in groups])
    order = np.lexsort((rng.random(len(groups)), -records, place))
    folds = np.empty(len(groups), int)
    cards = np.concatenate([rng.permutation(FOLDS) + 1 for _ in range(len(groups) // FOLDS + 1)])
    folds[order] = cards[: len(groups)]
    return folds


def _draw_patient(
    patient_id: int, superclasses: tuple[str, ...], records: int, fold: int, rng: np.random.Generator
) -> Patient:
    healthy = "NORM" in superclasses
    age = rng.normal(52, 17) if healthy else rng.normal(66, 13 if "CD" not in superclasses else 14)
    male = 0.46 if healthy else 0.62 if "MI" in superclasses or "CD" in superclasses else 0.51
    sex = int(rng.random() >= male)
    height = rng.normal((173.8, 161.3)[sex], 8)
    weight = rng.normal((78, 65)[sex], 13) + 3 * ("HYP" in superclasses) + 0.5 * (height - (173.8, 161.3)[sex])
    return Patient(
        patient_id=patient_id,
        superclasses=superclasses,
        codes=draw_codes(superclasses, rng),
        facts={
            "age": float(np.clip(np.round(age), 17, 96)),
            "sex": sex,
            "height_cm": float(np.clip(np.round(height), 140, 205)),
            "weight_kg": float(np.clip(np.round(weight), 38, 160)),
        },
        records=records,
        strat_fold=fold,
    )


def draw_codes(superclasses: tuple[str, ...], rng: np.random.Generator) -> dict[str, float]:
    """Diagnostic statements that amount to exactly these superclasses, as often as in PTB-XL."""
    codes: dict[str, float] = {}
    for superclass in superclasses:
        allowed = CODES_OF[superclass]
        if "NORM" in superclasses and superclass != "NORM":
            allowed = tuple(code for code in allowed if code in MILD_WITH_NORMAL)
        often = np.array([STATEMENTS[code].per_10000 for code in allowed])
        several = 2 if len(allowed) > 2 and rng.random() < 0.17 else 1
        for code in rng.choice(allowed, several, replace=False, p=often / often.sum()):
            codes[str(code)] = _likelihood(str(code), rng)
    for complete, hidden in HIDES.items():
        if complete in codes:
            codes = {code: likelihood for code, likelihood in codes.items() if code not in hidden}
    return codes


def _likelihood(code: str, rng: np.random.Generator) -> float:
    if code == "NORM":
        return 100.0 if rng.random() < 0.8 else 80.0
    return float(rng.choice(LIKELIHOODS[0], p=LIKELIHOODS[1]))
