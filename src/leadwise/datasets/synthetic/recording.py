"""One simulated recording: a body, its findings and its rhythm, rendered to stored units."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from leadwise.contract import FS_HZ, RECORD_SAMPLES, SUPERCLASSES, ECGRecord, LeadwiseError
from leadwise.datasets.statements import STATEMENT_BY_CODE
from leadwise.datasets.synthetic.pathology import STAGES, application_order, apply_statement, pace
from leadwise.datasets.synthetic.population import CODES_OF
from leadwise.datasets.synthetic.waveform import (
    LEAD_FIELD,
    Heart,
    Wave,
    draw_noise,
    healthy_heart,
    render,
    twelve_leads,
)
from leadwise.features import simulated

SECONDS = RECORD_SAMPLES / FS_HZ
_LEAD_IN_S = 2.5

NO_P_WAVE = frozenset({"AFIB", "AFLT", "SVTAC", "PSVT", "SVARR"})
"""Rhythms without a P wave of the sinus node before each QRS."""

TYPICAL_RATE_BPM = {
    "SR": (72, 10, 58, 99),
    "SARRH": (68, 9, 52, 95),
    "SBRAD": (52, 4, 38, 58),
    "STACH": (110, 9, 101, 150),
    "AFIB": (88, 22, 50, 160),
    "AFLT": (95, 25, 70, 150),
    "SVTAC": (165, 15, 140, 200),
    "PSVT": (170, 15, 145, 205),
    "SVARR": (85, 14, 60, 120),
    "PACE": (70, 5, 60, 85),
    "BIGU": (74, 9, 58, 95),
    "TRIGU": (74, 9, 58, 95),
}
"""Mean, standard deviation, lowest and highest heart rate of each rhythm."""


@dataclass(frozen=True)
class Beats:
    """The beats of one recording, some of them before its start or after its end.

    Attributes:
        qrs_s: ``(beat,)`` onsets of QRS in seconds from the start.
        rr_s: ``(beat,)`` interval before each.
        ectopic: ``(beat,)`` whether it is a ventricular premature beat.
        p_s: ``(wave,)`` onsets of the P waves.
    """

    qrs_s: np.ndarray
    rr_s: np.ndarray
    ectopic: np.ndarray
    p_s: np.ndarray


def typical_rate_bpm(rhythm: str, rng: np.random.Generator) -> float:
    """A heart rate for a rhythm."""
    mean, sd, low, high = TYPICAL_RATE_BPM[rhythm]
    return float(np.clip(rng.normal(mean, sd), low, high))


def intervals_s(rhythm: str, rate_bpm: float, rng: np.random.Generator) -> np.ndarray:
    """RR intervals with the two rhythms of heart-rate variability, breathing and 0.1 Hz (McSharry et al. 2003)."""
    mean = 60 / rate_bpm
    count = int((SECONDS + 2 * _LEAD_IN_S) / mean * 1.5) + 6
    if rhythm in ("AFIB", "SVARR"):
        spread = 0.21 if rhythm == "AFIB" else 0.13
        return np.clip(mean * np.exp(rng.normal(-(spread**2) / 2, spread, count)), 0.34, 2.2)
    if rhythm == "AFLT":
        flutter = 0.2
        return flutter * np.clip(np.rint(mean / flutter) + rng.choice([0, 0, 0, 1, -1], count), 2, 6)
    breathing = {"SARRH": rng.uniform(0.09, 0.16), "PACE": 0.0, "SVTAC": 0.003, "PSVT": 0.003}.get(
        rhythm, rng.uniform(0.005, 0.03)
    )
    slow = 0.0 if rhythm == "PACE" else rng.uniform(0.003, 0.015)
    at = np.arange(count) * mean
    phase = rng.uniform(0, 2 * np.pi, 2)
    wave = breathing * np.sin(2 * np.pi * rng.uniform(0.18, 0.3) * at + phase[0])
    wave += slow * np.sin(2 * np.pi * 0.1 * at + phase[1])
    jitter = 0.0005 if rhythm == "PACE" else 0.006
    return mean * (1 + wave + rng.normal(0, jitter, count))


def beat_times(
    rhythm: str, rate_bpm: float, rng: np.random.Generator, *, pr_ms: float, block: str = "", premature: str = ""
) -> Beats:
    """Lay out the beats of one recording.

    Args:
        rhythm: an SCP rhythm code.
        rate_bpm: mean rate of the ventricles; of the sinus node under a second or third degree AV block.
        rng: source of randomness.
        pr_ms: onset of P to onset of QRS.
        block: AV conduction: "", "second" or "third" degree.
        premature: "PVC", "PAC" or "" for none; BIGU and TRIGU bring their own.
    """
    rr = intervals_s(rhythm, rate_bpm, rng)
    node = np.cumsum(rr) - _LEAD_IN_S - rng.uniform(0, rr[0])
    node = node[node < SECONDS + _LEAD_IN_S]
    delay_s = pr_ms / 1000 * np.ones(len(node))
    if block == "third":
        escape = np.cumsum(intervals_s("PACE", rng.uniform(34, 46), rng)) - _LEAD_IN_S
        escape = escape[escape < SECONDS + 1]
        return Beats(escape, np.diff(escape, prepend=escape[0] - 1.4), np.zeros(len(escape), bool), node)
    p, conducted = node - delay_s, np.ones(len(node), bool)
    if block == "second":
        length = int(rng.integers(3, 5))
        place = (np.arange(len(node)) + rng.integers(length)) % length
        conducted = place != length - 1
        node = node + 0.07 * place
    qrs, ectopic = node.copy(), np.zeros(len(node), bool)
    early = _premature_beats(rhythm, premature, len(node), rng)
    for k in early:
        shift = rng.uniform(0.25, 0.4) * (node[k] - node[k - 1])
        qrs[k] -= shift
        p[k] -= shift
    if premature != "PAC":
        ectopic[early] = True
    has_p = ~ectopic if rhythm not in NO_P_WAVE else np.zeros(len(node), bool)
    rr_s = np.diff(qrs, prepend=qrs[0] - rr[0])
    return Beats(qrs[conducted], rr_s[conducted], ectopic[conducted], p[has_p])


def _premature_beats(rhythm: str, premature: str, count: int, rng: np.random.Generator) -> np.ndarray:
    period = {"BIGU": 2, "TRIGU": 3}.get(rhythm)
    if period:
        return np.arange(2, count, period)
    if not premature or count < 6:
        return np.zeros(0, int)
    apart = rng.permutation(np.arange(3, count - 1, 3))
    return np.sort(apart[: max(1, int(rng.integers(1, 4)))])


class SimulatorError(LeadwiseError):
    """The simulator was asked for something it does not do."""


Body = tuple[Heart, np.ndarray]
"""The heart as it would be without findings, and ``(lead, axis)`` as ``LEAD_FIELD``, for this chest."""


def _rotation(frontal_deg: float, horizontal_deg: float) -> np.ndarray:
    a, b = np.radians([frontal_deg, horizontal_deg])
    frontal = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    horizontal = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    return frontal @ horizontal


def draw_body(rng: np.random.Generator, *, age: float = 55.0, sex: int = 0, weight_kg: float = 72.0) -> Body:
    """A healthy body: the young have more voltage and a steeper axis, the heavy less voltage and a flatter one."""
    heart = healthy_heart()
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
    field = LEAD_FIELD * tissue
    shift = rng.normal(0, 0.18)
    chest = field[2:]
    field[2:] = chest + shift * np.gradient(chest, axis=0)
    turn = _rotation(rng.normal(-6 - 0.35 * (age - 50) - 25 * thick_chest, 16), rng.normal(0, 13))
    return heart, field @ turn


def draw_strength(likelihood: float, rng: np.random.Generator) -> float:
    """How clearly a finding shows, given how sure the cardiologist was; 0 means that this was not noted."""
    low, high = {100: (0.65, 1.25), 80: (0.5, 1.1), 50: (0.35, 0.9), 35: (0.2, 0.7), 15: (0.1, 0.55)}.get(
        int(likelihood), (0.45, 1.1)
    )
    return float(rng.uniform(low, high))


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
    """Simulate one recording.

    Args:
        body: whose.
        codes: SCP statements with likelihood, as in ``scp_codes``.
        rng: source of randomness.
        rhythm: an SCP rhythm code.
        rate_bpm: mean heart rate; drawn by rhythm when None.
        stage: stage of an infarction, one of ``STAGES``.
        noise: factor on wander, muscle noise and hum.
        strength: how clearly every finding shows; drawn by likelihood when None.

    Returns:
        ``(RECORD_SAMPLES, 12)`` int16 in microvolts, leads in the order of ``contract.LEADS``.
    """
    heart, field = deepcopy(body)
    for code in sorted(codes, key=application_order):
        k = draw_strength(codes[code], rng) if strength is None else strength
        apply_statement(heart, code, k, rng, stage=stage)
    if rhythm == "PACE":
        pace(heart, rng)
    rate = typical_rate_bpm(rhythm, rng) if rate_bpm is None else rate_bpm
    premature = next((code for code in ("PVC", "PAC") if code in codes), "PAC" if "PRC(S)" in codes else "")
    beats = beat_times(rhythm, rate, rng, pr_ms=heart.pr_ms, block=heart.block, premature=premature)
    dipole = _dipole(heart, beats, rng) + _atrial_waves(rhythm, rng)
    return twelve_leads(dipole @ field.T + noise * draw_noise(rng))


def _dipole(heart: Heart, beats: Beats, rng: np.random.Generator) -> np.ndarray:
    """``(RECORD_SAMPLES, 3)`` dipole of all beats; breathing swells the ventricles' voltage a little."""
    breath = 1 + rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * rng.uniform(0.18, 0.3) * beats.qrs_s + rng.uniform(0, 6))
    stretch = np.sqrt(np.clip(beats.rr_s, 0.3, 1.5))
    usual, early = ~beats.ectopic, beats.ectopic
    ones, of_p = np.ones(len(beats.qrs_s)), np.ones(len(beats.p_s))
    total = render(list(heart.p.values()), beats.p_s, of_p, of_p)
    total += render(list(heart.qrs.values()), beats.qrs_s[usual], ones[usual], breath[usual])
    total += render(list(heart.st_waves().values()), beats.qrs_s[usual], np.sqrt(stretch[usual]), breath[usual])
    total += render(list(heart.t.values()), beats.qrs_s[usual], stretch[usual], breath[usual])
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
    """A recording with a textbook example of a superclass or of SCP statements, for examples and tests.

    Args:
        pathology: superclasses ("MI") or SCP codes ("CLBBB", "AFIB"), one or several; a superclass stands for one of
            its common statements, picked by the seed.
        seed: same seed, same recording.
        rate_bpm: mean heart rate, 25 to 220; drawn when None.
        noise: factor on wander, muscle noise and hum; 0 is a clean recording.

    Returns:
        10 s at 100 Hz, with an age, a sex, a height and a weight.

    Raises:
        SimulatorError: a pathology is unknown, or the rate is out of range.
    """
    if rate_bpm is not None and not 25 <= rate_bpm <= 220:
        raise SimulatorError(f"rate_bpm: received {rate_bpm}; allowed: 25 to 220")
    rng = np.random.default_rng([seed, 1])
    names = [pathology] if isinstance(pathology, str) else list(pathology)
    codes = dict.fromkeys((_code_for(name, rng) for name in names), 100.0)
    rhythm = next((code for code in codes if code in TYPICAL_RATE_BPM), "SR")
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
        raise SimulatorError(f"pathology: received {name!r}; allowed: {allowed}")
    return name
