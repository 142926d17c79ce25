"""The electrical heart: a dipole that moves along a sum of Gaussians, in a rhythm, seen through the 12 leads.

The Gaussian wave model is that of McSharry et al. 2003 (IEEE Trans Biomed Eng 50:289-294), in its closed form with a
three-dimensional dipole (Sameni et al. 2007, EURASIP J Adv Signal Process 2007:043407). The lead field is Dower's
(Dower et al. 1980, J Electrocardiol 13:91-94), whose inverse is that of Edenbrandt and Pahlm 1988 (J Electrocardiol
21:361-367). Axes are Frank's: x to the left, y to the feet, z to the back. It is a physics toy, no patient.
"""

from dataclasses import dataclass, field

import numpy as np

from leadwise.contract import FS_HZ, RECORD_SAMPLES

LEAD_FIELD = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
"""Dower's matrix, ``(lead, axis)``: mV in each of ``INDEPENDENT_LEADS`` per mV of dipole along x, y, z."""

VectorLike = np.ndarray | tuple[float, float, float]

REACH = 4.5
"""Standard deviations from its peak after which a Gaussian is nothing (40 nV of 1 mV)."""


class Wave:
    """One Gaussian of the dipole's path.

    Attributes:
        vector: ``(3,)`` dipole at the peak in mV along x, y, z.
        peak_ms: time of the peak after the onset of QRS (P waves: before it, from the onset of P).
        rise_ms: standard deviation before the peak.
        fall_ms: standard deviation after the peak; the same unless it is given.
    """

    def __init__(self, vector: VectorLike, peak_ms: float, rise_ms: float, fall_ms: float | None = None) -> None:
        self.vector, self.peak_ms, self.rise_ms = np.asarray(vector, float), peak_ms, rise_ms
        self.fall_ms = rise_ms if fall_ms is None else fall_ms

    def scaled(self, factor: float) -> "Wave":
        return Wave(self.vector * factor, self.peak_ms, self.rise_ms, self.fall_ms)

    def moved(self, vector: np.ndarray, later_ms: float = 0.0) -> "Wave":
        """Another vector, at another time."""
        return Wave(vector, self.peak_ms + later_ms, self.rise_ms, self.fall_ms)

    def slowed(self, factor: float) -> "Wave":
        return Wave(self.vector, self.peak_ms * factor, self.rise_ms * factor, self.fall_ms * factor)


@dataclass
class Heart:
    """What one heart does in every beat; ``pathology`` changes it.

    Attributes:
        p: waves of the atria, timed from the onset of P.
        qrs: waves of the ventricles, by name, timed from the onset of QRS.
        st: ``(3,)`` dipole of the ST segment in mV.
        st_slope: -1 (falls) to 1 (rises).
        t: repolarisation; its times are for a heart rate of 60 and shrink with the root of the RR interval (Bazett).
        pr_ms: onset of P to onset of QRS.
        qrs_ms: duration of QRS, where ST begins.
        block: AV conduction.
        paced: whether a pacemaker's spike leads each QRS.
        ectopic: the waves of a ventricular premature beat.
    """

    p: dict[str, Wave]
    qrs: dict[str, Wave]
    t: dict[str, Wave]
    ectopic: dict[str, Wave]
    st: np.ndarray = field(default_factory=lambda: np.zeros(3))
    st_slope: float = 0.3
    pr_ms: float = 160.0
    qrs_ms: float = 90.0
    block: str = ""
    paced: bool = False
    spike: np.ndarray = field(default_factory=lambda: np.array([0.35, 0.55, 0.1]))

    def st_waves(self) -> dict[str, Wave]:
        """The ST segment as three overlapping Gaussians from the J point on."""
        if not self.st.any():
            return {}
        start = self.qrs_ms + 25
        return {
            f"st{k}": Wave(self.st * (1 + self.st_slope * (k - 1)), start + 48 * k, 16.0 if k == 0 else 27.0, 27.0)
            for k in range(3)
        }


def healthy_heart() -> Heart:
    """A heart whose leads look like the average normal ECG."""
    return Heart(
        p={"right": Wave((0.03, 0.075, -0.035), 42, 15), "left": Wave((0.05, 0.05, 0.03), 70, 15)},
        qrs={
            "septum": Wave((-0.13, -0.05, -0.20), 15, 6.5),
            "front": Wave((0.28, 0.10, -0.32), 27, 7.5),
            "apex": Wave((1.20, 0.62, 0.16), 41, 9.5),
            "base": Wave((-0.18, -0.10, 0.70), 58, 9.5),
        },
        t={"t": Wave((0.27, 0.19, -0.13), 305, 52, 34)},
        ectopic={
            "first": Wave((0.35, -0.1, -0.25), 35, 16),
            "main": Wave((-0.9, 1.0, -0.5), 75, 26),
            "t": Wave((0.35, -0.4, 0.25), 290, 60, 45),
        },
    )


def render(waves: list[Wave], onset_s: np.ndarray, time_scale: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The waves of one beat, placed at every onset and added up: ``(RECORD_SAMPLES, 3)`` dipole in mV.

    Of each beat, ``(beat,)``: its onset from the start of the recording, and factors on its waves' times and amplitude.
    """
    dipole = np.zeros((RECORD_SAMPLES, 3))
    if not waves or not len(onset_s):
        return dipole
    peak, rise, fall = np.array([[w.peak_ms, w.rise_ms, w.fall_ms] for w in waves]).T
    first_ms, last_ms = (peak - REACH * rise).min(), (peak + REACH * fall).max() * max(time_scale.max(), 1)
    offsets = np.arange(np.floor(first_ms * FS_HZ / 1000), np.ceil(last_ms * FS_HZ / 1000) + 1, dtype=int)
    samples = np.floor(onset_s * FS_HZ).astype(int)[:, None] + offsets
    late_ms = (samples / FS_HZ - onset_s[:, None]) * 1000
    distance = late_ms[..., None] - peak * time_scale[:, None, None]
    width = np.where(distance < 0, rise, fall) * time_scale[:, None, None]
    shape = np.exp(-0.5 * np.square(distance / width)) * gain[:, None, None]
    beats = shape @ np.stack([w.vector for w in waves])
    inside = (samples >= 0) & (samples < RECORD_SAMPLES)
    np.add.at(dipole, samples[inside], beats[inside])
    return dipole


def twelve_leads(independent_mv: np.ndarray) -> np.ndarray:
    """Stored units, ``(time, 12)`` int16 in microvolts, from ``(time, 8)`` of ``INDEPENDENT_LEADS`` in mV.

    The four derived limb leads are computed from the rounded I and II, so that Einthoven's law holds exactly and
    Goldberger's to the rounding of half a microvolt.
    """
    units = np.clip(np.rint(independent_mv * 1000), -16000, 16000).astype(np.int32)
    one, two = units[:, 0], units[:, 1]
    derived = (two - one, -np.rint((one + two) / 2), np.rint(one - two / 2), np.rint(two - one / 2))
    return np.column_stack([one, two, *derived, units[:, 2:]]).astype("<i2")


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
    """The beats of one recording, some of them before its start or after its end, in seconds from the start.

    Onsets of QRS, the interval before each, and whether it is a ventricular premature beat, each ``(beat,)``; and
    ``(wave,)`` onsets of the P waves.
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
    """Lay out the beats of one recording in an SCP rhythm.

    The mean rate is that of the ventricles; of the sinus node under an AV ``block`` of "second" or "third" degree.
    ``premature`` is "PVC", "PAC" or "" for none; BIGU and TRIGU bring their own.
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


_TO_LEADS = np.zeros((8, 9))
"""From RA, LA, LL and V1 to V6 to the independent leads."""
_TO_LEADS[0, [1, 0]] = 1, -1
_TO_LEADS[1, [2, 0]] = 1, -1
_TO_LEADS[2:, 3:] = np.eye(6)
_TO_LEADS[2:, :3] = -1 / 3

_FREQUENCY_HZ = np.fft.rfftfreq(RECORD_SAMPLES, 1 / FS_HZ)
_WANDER = 1 / np.arange(1, 7)
_WANDER /= np.sqrt(np.square(_WANDER).sum())
_SLOW = 2 * np.pi * np.outer(np.arange(1, 7), np.arange(RECORD_SAMPLES)) / RECORD_SAMPLES
_SLOW_COSINES, _SLOW_SINES = np.cos(_SLOW), np.sin(_SLOW)
_MUSCLE = np.clip((_FREQUENCY_HZ - 4) / 14, 0.15, 1) * np.clip((49 - _FREQUENCY_HZ) / 8, 0, 1)
_MUSCLE /= np.sqrt(np.square(_MUSCLE).sum())


def draw_noise(rng: np.random.Generator) -> np.ndarray:
    """``(RECORD_SAMPLES, 8)`` noise in mV, leads in the order of ``INDEPENDENT_LEADS``.

    Baseline wander, muscle noise, and the hum that the recorder's filter has left, at each electrode: most recordings
    are clean, a few are not. One electrode may be touched for a second.
    """
    everywhere = np.exp(rng.normal(0, 0.5, 3))
    wander_mv = 0.028 * everywhere[0] * np.exp(rng.normal(0, 0.55, 9))
    muscle_mv = 0.008 * everywhere[1] * np.exp(rng.normal(0, 0.35, 9))
    mains_mv = 0.006 * everywhere[2] * np.abs(rng.normal(0, 1, 9))
    touched = int(rng.integers(9)) if rng.random() < 0.03 else None
    spectrum = rng.standard_normal((9, 2 * len(_FREQUENCY_HZ))).view(np.complex128) * _MUSCLE
    fast = np.fft.irfft(spectrum, RECORD_SAMPLES) * (RECORD_SAMPLES / 2 * muscle_mv[:, None])
    weights = rng.standard_normal((2, 9, len(_WANDER))) * _WANDER * wander_mv[:, None]
    slow = weights[0] @ _SLOW_COSINES + weights[1] @ _SLOW_SINES
    time_s = np.arange(RECORD_SAMPLES) / FS_HZ
    tension = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * time_s + rng.uniform(0, 2 * np.pi))
    hum = np.cos(2 * np.pi * rng.uniform(49.8, 50.1) * time_s + rng.uniform(0, np.pi)) * mains_mv[:, None]
    electrodes = slow + fast * tension + hum
    if touched is not None:
        touch = np.exp(-0.5 * np.square((time_s - rng.uniform(1, 9)) / rng.uniform(0.15, 0.5)))
        electrodes[touched] += touch * (rng.normal(0, 0.12, RECORD_SAMPLES) + rng.normal(0, 0.5))
    return (_TO_LEADS @ electrodes).T
