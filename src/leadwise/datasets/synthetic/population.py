"""The simulated patients: who they are, what they have, which folds they fall into.

Shares follow PTB-XL 1.0.3 (Wagner et al. 2020, Scientific Data 7:154).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.statements import STATEMENT_BY_CODE

CODES_OF: Mapping[str, tuple[str, ...]] = {
    superclass: tuple(code for code, statement in STATEMENT_BY_CODE.items() if statement.superclass == superclass)
    for superclass in SUPERCLASSES
}
"""The diagnostic codes of each superclass."""


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
        often = np.array([STATEMENT_BY_CODE[code].per_10000 for code in allowed])
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
