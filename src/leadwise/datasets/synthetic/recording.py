"""The simulated patients, who they are and what they have, and a recording of one, rendered to stored units.

Shares follow PTB-XL 1.0.3 (Wagner et al. 2020, Scientific Data 7:154).
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from leadwise.contract import FS_HZ, RECORD_SAMPLES, SUPERCLASSES, ECGRecord, LeadwiseError
from leadwise.datasets.releases import STATEMENT_BY_CODE
from leadwise.datasets.synthetic import waveform
from leadwise.datasets.synthetic.pathology import STAGES, application_order, apply_statement, pace
from leadwise.datasets.synthetic.waveform import Beats, Heart, Wave, render
from leadwise.features import simulated

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

STRENGTHS = {100.0: (0.65, 1.25), 80.0: (0.5, 1.1), 50.0: (0.35, 0.9), 35.0: (0.2, 0.7), 15.0: (0.1, 0.55)}
"""How clearly a finding shows, given how sure the cardiologist was."""

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
    """One simulated person: diagnostic SCP statements with likelihood, and facts by the names of features.

    The age is that at the first of so many recordings. Most records will lack height or weight.
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
            if code == "NORM":
                codes["NORM"] = 100.0 if rng.random() < 0.8 else 80.0
            else:
                codes[str(code)] = float(rng.choice(LIKELIHOODS[0], p=LIKELIHOODS[1]))
    for complete, implied in HIDES.items():
        if complete in codes:
            codes = {code: likelihood for code, likelihood in codes.items() if code not in implied}
    return codes


Body = tuple[Heart, np.ndarray]
"""The heart as it would be without findings, and ``(lead, axis)`` as ``LEAD_FIELD``, for this chest."""


def draw_body(rng: np.random.Generator, *, age: float = 55.0, sex: int = 0, weight_kg: float = 72.0) -> Body:
    """A healthy body: the young have more voltage and a steeper axis, the heavy less voltage and a flatter one."""
    heart = waveform.healthy_heart()
    thick_chest = (weight_kg - 72) / 100
    voltage = np.exp(rng.normal(0, 0.22) - 0.45 * thick_chest - 0.003 * (age - 55))
    wide = np.exp(rng.normal(0.03 if sex == 0 else -0.03, 0.07))
    heart.qrs = {
        name: one.scaled(voltage * np.exp(rng.normal(0, 0.18))).slowed(wide) for name, one in heart.qrs.items()
    }
    t_voltage = np.exp(rng.normal(0.1 if sex == 0 else -0.1, 0.3) - 0.004 * (age - 55))
    t = heart.t["t"].scaled(t_voltage)
    heart.t["t"] = Wave(t.vector + rng.normal(0, 0.04, 3), t.peak_ms + rng.normal(4 if sex else -4, 14), 52, 34)
    heart.t["u"] = Wave((0.02, 0.015, -0.025), heart.t["t"].peak_ms + 160, 28)
    heart.p = {name: one.scaled(np.exp(rng.normal(0, 0.25))) for name, one in heart.p.items()}
    early = max(rng.normal(0.25 if sex == 0 and age < 50 else 0.05, 0.25), 0)
    heart.st = early * np.array([0.05, 0.03, -0.11]) + rng.normal(0, 0.008, 3)
    heart.pr_ms = float(np.clip(rng.normal(156 + 0.2 * (age - 55), 17), 118, 205))
    heart.qrs_ms = 90 * wide
    tissue = np.exp(rng.normal(0, 0.1, (8, 1))) * (1 + rng.normal(0, 0.05, (8, 3)))
    field = waveform.LEAD_FIELD * tissue
    shift = rng.normal(0, 0.18)
    chest = field[2:]
    field[2:] = chest + shift * np.gradient(chest, axis=0)
    a, b = np.radians([rng.normal(-6 - 0.35 * (age - 50) - 25 * thick_chest, 16), rng.normal(0, 13)])
    frontal = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    horizontal = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return heart, field @ (frontal @ horizontal)


def simulate(
    body: Body,
    codes: Mapping[str, float],
    rng: np.random.Generator,
    *,
    rhythm: str = "SR",
    rate_bpm: float | None = None,
    stage: str = "",
    noise: float = 1.0,
    strength: float | None = None,
) -> np.ndarray:
    """One recording, ``(RECORD_SAMPLES, 12)`` int16 in microvolts, leads in the order of ``contract.LEADS``.

    Args:
        body: whose.
        codes: SCP statements with likelihood, as in ``scp_codes``.
        rng: source of randomness.
        rhythm: an SCP rhythm code; the mean heart rate is drawn by it unless it is given.
        stage: of an infarction, one of ``STAGES``.
        noise: factor on wander, muscle noise and hum.
        strength: how clearly every finding shows; drawn by likelihood when None.
    """
    heart, field = deepcopy(body)
    for code in sorted(codes, key=application_order):
        k = float(rng.uniform(*STRENGTHS.get(codes[code], (0.45, 1.1)))) if strength is None else strength
        apply_statement(heart, code, k, rng, stage=stage)
    if rhythm == "PACE":
        pace(heart, rng)
    rate = waveform.typical_rate_bpm(rhythm, rng) if rate_bpm is None else rate_bpm
    premature = next((code for code in ("PVC", "PAC") if code in codes), "PAC" if "PRC(S)" in codes else "")
    beats = waveform.beat_times(rhythm, rate, rng, pr_ms=heart.pr_ms, block=heart.block, premature=premature)
    dipole = _dipole(heart, beats, rng) + _atrial_waves(rhythm, rng)
    return waveform.twelve_leads(dipole @ field.T + noise * waveform.draw_noise(rng))


def _dipole(heart: Heart, beats: Beats, rng: np.random.Generator) -> np.ndarray:
    """``(RECORD_SAMPLES, 3)`` dipole of all beats; breathing swells the ventricles' voltage a little."""
    breath = 1 + rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * rng.uniform(0.18, 0.3) * beats.qrs_s + rng.uniform(0, 6))
    time_scale = np.sqrt(np.clip(beats.rr_s, 0.3, 1.5))
    usual, early = ~beats.ectopic, beats.ectopic
    ones, of_p = np.ones(len(beats.qrs_s)), np.ones(len(beats.p_s))
    total = render(list(heart.p.values()), beats.p_s, of_p, of_p)
    total += render(list(heart.qrs.values()), beats.qrs_s[usual], ones[usual], breath[usual])
    total += render(list(heart.st_waves().values()), beats.qrs_s[usual], np.sqrt(time_scale[usual]), breath[usual])
    total += render(list(heart.t.values()), beats.qrs_s[usual], time_scale[usual], breath[usual])
    total += render(list(heart.ectopic.values()), beats.qrs_s[early], ones[early], breath[early])
    if heart.paced:
        total += render([Wave(heart.spike, -12.0, 3.5, 3.5)], beats.qrs_s[usual], ones[usual], ones[usual])
    return total


def _atrial_waves(rhythm: str, rng: np.random.Generator) -> np.ndarray:
    """Fibrillation or flutter waves as a dipole, ``(RECORD_SAMPLES, 3)`` in mV; zero in other rhythms."""
    time_s = np.arange(RECORD_SAMPLES) / FS_HZ
    if rhythm == "AFIB":
        size = rng.uniform(0.01, 0.06)
        phase = np.cumsum(2 * np.pi * (rng.uniform(5, 8) + rng.normal(0, 6, RECORD_SAMPLES)) / FS_HZ)
        return size * np.sin(phase)[:, None] * np.array([0.3, 0.7, -1.0])
    if rhythm == "AFLT":
        turn = (5 * time_s + rng.random()) % 1
        saw = np.where(turn < 0.7, turn / 0.7, (1 - turn) / 0.3) - 0.5
        return rng.uniform(0.15, 0.28) * saw[:, None] * np.array([0.1, -1.0, 0.25])
    return np.zeros((RECORD_SAMPLES, 3))


def simulate_record(
    pathology: str | Sequence[str], seed: int, *, rate_bpm: float | None = None, noise: float = 1.0
) -> ECGRecord:
    """10 s at 100 Hz with a textbook example of a superclass or of SCP statements, for examples and tests.

    Args:
        pathology: superclasses ("MI") or SCP codes ("CLBBB", "AFIB"), one or several; a superclass stands for one of
            its common statements, picked by the seed.
        seed: same seed, same recording.
        rate_bpm: mean heart rate, 25 to 220; drawn when None.
        noise: factor on wander, muscle noise and hum; 0 is a clean recording.

    Raises:
        LeadwiseError: a pathology is unknown, or the rate is out of range.
    """
    if rate_bpm is not None and not 25 <= rate_bpm <= 220:
        raise LeadwiseError(f"rate_bpm: received {rate_bpm}; allowed: 25 to 220")
    rng = np.random.default_rng([seed, 1])
    names = [pathology] if isinstance(pathology, str) else list(pathology)
    codes = dict.fromkeys((_code_for(name, rng) for name in names), 100.0)
    rhythm = next((code for code in codes if code in waveform.TYPICAL_RATE_BPM), "SR")
    sex = int(rng.integers(2))
    height = float(np.round(rng.normal((175, 162)[sex], 7)))
    weight = float(np.round(rng.normal((80, 66)[sex], 10)))
    age = float(rng.integers(35, 60) if "NORM" in codes else rng.integers(50, 80))
    body = draw_body(rng, age=age, sex=sex, weight_kg=weight)
    stage = STAGES[int(rng.choice([0, 0, 1, 3]))]
    units = simulate(body, codes, rng, rhythm=rhythm, rate_bpm=rate_bpm, stage=stage, noise=noise, strength=1.0)
    patient: dict[str, float | None] = {"age": age, "sex": float(sex), "height_cm": height, "weight_kg": weight}
    patient |= {"pacemaker": float(rhythm == "PACE")}
    superclasses = [name for name in SUPERCLASSES if not codes.keys().isdisjoint(CODES_OF[name])]
    patient |= simulated(patient, superclasses, rng)
    return ECGRecord((units / 1000).astype(np.float32), FS_HZ, patient, f"simulated-{'-'.join(names)}-{seed}")


def _code_for(name: str, rng: np.random.Generator) -> str:
    if name in SUPERCLASSES:
        often = np.array([STATEMENT_BY_CODE[code].per_10000 for code in CODES_OF[name]])
        common = np.where(often > 0.15 * often.max(), often, 0)
        return str(rng.choice(CODES_OF[name], p=common / common.sum()))
    if name not in STATEMENT_BY_CODE:
        allowed = f"{', '.join(SUPERCLASSES)} or an SCP code: {', '.join(STATEMENT_BY_CODE)}"
        raise LeadwiseError(f"pathology: received {name!r}; allowed: {allowed}")
    return name
