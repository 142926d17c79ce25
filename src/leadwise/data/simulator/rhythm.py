"""When the atria and the ventricles beat."""

from dataclasses import dataclass

import numpy as np

from leadwise.contract import FS_HZ, RECORD_SAMPLES

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
