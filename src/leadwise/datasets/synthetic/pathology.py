"""What each diagnostic statement does to the heart's waves, as electrocardiography textbooks describe it.

Infarction takes forces away from a territory (Q waves), injury bends ST towards it and healing turns T away from it;
a bundle branch block widens QRS towards the side that is late; hypertrophy raises voltage and strains ST and T;
ischemia lowers ST and turns T over. Strength runs from 0 (nothing to see) over 1 (typical) upwards.
"""

from collections.abc import Callable, Mapping

import numpy as np

from leadwise.datasets.releases import STATEMENT_BY_CODE
from leadwise.datasets.synthetic.waveform import Heart, Wave

Effect = Callable[[Heart, float, np.random.Generator], None]
"""Changes a heart in place: ``(heart, strength, rng)``; strength 1 is typical."""


def _discordant(heart: Heart, direction: tuple[float, float, float], k: float, t_mv: float) -> None:
    """ST and T against the late forces of a wide QRS."""
    unit = np.array(direction)
    heart.st = heart.st - unit * 0.09 * k
    one = heart.t["t"]
    mixed = one.vector * max(1 - 0.9 * k, 0) - unit * t_mv * k
    heart.t["t"] = Wave(mixed, one.peak_ms + 20 * k, one.rise_ms + 16 * k, one.fall_ms + 6 * k)


def left_bundle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS over 120 ms: no septal q, broad notched R in I, aVL, V5, V6, deep S in V1 to V3, ST and T discordant."""
    wide = rng.uniform(0.92, 1.1)
    size = rng.uniform(0.8, 1.15)
    notch = rng.uniform(0.55, 0.8)
    heart.qrs = {
        "septum": Wave(size * np.array([0.12, 0.12, -0.10 * rng.uniform(0, 2)]), 18, 9).slowed(wide),
        "first": Wave(size * np.array([0.75, 0.30, 0.45]), 46, 14.5).slowed(wide),
        "middle": Wave(size * np.array([notch * 0.75, 0.05, 1.0]), 76, 15).slowed(wide),
        "late": Wave(size * np.array([0.85, -0.05, 0.60]), 105, 15, 17).slowed(wide),
    }
    heart.qrs_ms = 150 * wide
    _discordant(heart, (0.75, 0.05, 0.75), min(k, 1.2), 0.32)


def left_bundle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS of 110 to 120 ms, no septal q, slurred R in the lateral leads."""
    wide = 1 + min(k, 1.2) * rng.uniform(0.16, 0.26)
    heart.qrs = {name: one.slowed(wide) for name, one in heart.qrs.items()}
    heart.qrs["septum"] = heart.qrs["septum"].scaled(max(0.1, 1 - k))
    heart.qrs["slur"] = Wave(k * np.array([0.30, 0.05, 0.22]), 74, 12)
    heart.qrs_ms *= wide
    _discordant(heart, (0.7, 0.1, 0.7), 0.35 * k, 0.2)


def right_bundle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS over 120 ms: rSR' in V1, broad S in I, V5 and V6, T turned over in V1 to V3."""
    late = rng.uniform(0.75, 1.2) * k
    heart.qrs["base"] = heart.qrs["base"].scaled(rng.uniform(0.45, 0.75))
    heart.qrs["right"] = Wave(late * np.array([-0.50, 0.05, -0.58]), rng.uniform(96, 110), 15, 17)
    heart.qrs_ms = rng.uniform(130, 150)
    _discordant(heart, (-0.35, 0.0, -0.9), 0.45 * min(k, 1.2), 0.22)


def right_bundle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS under 120 ms with a small r' in V1 and an S in I and V6."""
    late = rng.uniform(0.7, 1.2) * k
    heart.qrs["base"] = heart.qrs["base"].scaled(rng.uniform(0.6, 0.95))
    heart.qrs["right"] = Wave(late * np.array([-0.24, 0.0, -0.38]), rng.uniform(78, 88), 10)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(102, 116))
    _discordant(heart, (-0.2, 0.0, -0.9), 0.15 * k, 0.15)


def left_anterior_fascicle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Axis turned up beyond -45 degrees: q in I and aVL, rS in II, III and aVF, S in V5 and V6."""
    strength = min(k, 1.25)
    apex = heart.qrs["apex"]
    heart.qrs["septum"] = Wave((-0.12, 0.22 * strength, -0.16), 15, 7)
    heart.qrs["apex"] = Wave(apex.vector * (0.85, 1 - 1.55 * strength, 1), apex.peak_ms + 2, 10.5, 10.5)
    heart.qrs["up"] = Wave((0.05, -strength * rng.uniform(0.38, 0.62), 0.05), rng.uniform(58, 66), 11.5)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(95, 110))


def left_posterior_fascicle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Axis turned down beyond 90 degrees: rS in I and aVL, qR in II, III and aVF."""
    strength = min(k, 1.25)
    apex = heart.qrs["apex"]
    heart.qrs["septum"] = Wave((0.12, -0.26 * strength, -0.14), 15, 7)
    heart.qrs["apex"] = Wave(apex.vector * (1 - 0.62 * strength, 1 + 0.45 * strength, 1), apex.peak_ms, 10.5, 10.5)
    heart.qrs["down"] = Wave((-strength * rng.uniform(0.38, 0.6), 0.25, 0.1), rng.uniform(56, 64), 11.5)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(95, 110))


def ventricle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS wide and notched without the shape of either bundle branch."""
    wide = 1 + min(k, 1.3) * rng.uniform(0.25, 0.5)
    heart.qrs = {name: one.slowed(wide) for name, one in heart.qrs.items()}
    heart.qrs["notch"] = Wave(k * rng.normal(0, 0.2, 3), rng.uniform(50, 85), 8)
    heart.qrs_ms *= wide


def pre_excitation(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Short PR, a delta wave that slurs the upstroke, ST and T discordant to it."""
    pathway = np.array([rng.uniform(0.2, 0.6), rng.uniform(-0.4, 0.5), rng.uniform(-0.5, 0.2)])
    heart.qrs = {name: one.moved(one.vector, 26) for name, one in heart.qrs.items() if name != "septum"}
    heart.qrs["delta"] = Wave(k * pathway, 36, 14, 20)
    heart.pr_ms, heart.qrs_ms = rng.uniform(85, 112), rng.uniform(112, 135)
    _discordant(heart, tuple(pathway / np.linalg.norm(pathway)), 0.4 * k, 0.22)


def first_degree(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """PR over 200 ms."""
    heart.pr_ms = 200 + k * rng.uniform(15, 80)


def second_degree(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """PR grows until a beat is dropped (Wenckebach)."""
    heart.block, heart.pr_ms = "second", rng.uniform(170, 220)


def third_degree(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Atria and ventricles beat on their own, the ventricles slowly and wide."""
    heart.block = "third"
    ventricle_delay(heart, 0.8, rng)


def pace(heart: Heart, rng: np.random.Generator) -> None:
    """A pacemaker stimulates the apex of the right ventricle: left bundle shape with a superior axis."""
    left_bundle(heart, 1.0, rng)
    heart.paced = True
    up = np.array([-0.1, -0.75, 0.1])
    for name in ("first", "middle", "late"):
        one = heart.qrs[name]
        heart.qrs[name] = one.moved(one.vector + up, 5)
    t = heart.t["t"]
    heart.t["t"] = Wave(t.vector + np.array([0.0, 0.35, 0.0]), t.peak_ms, 55, 42)


TERRITORIES: Mapping[str, tuple[float, float, float]] = {
    "IMI": (-0.15, 1.0, 0.1),
    "ILMI": (0.6, 0.8, 0.1),
    "IPMI": (-0.1, 0.8, 0.7),
    "IPLMI": (0.5, 0.6, 0.6),
    "PMI": (0.15, 0.1, 1.0),
    "ASMI": (0.05, -0.05, -1.0),
    "AMI": (0.35, 0.0, -0.95),
    "ALMI": (0.75, -0.15, -0.65),
    "LMI": (0.95, -0.35, 0.1),
    "INJAS": (0.2, 0.0, -1.0),
    "INJAL": (0.8, 0.0, -0.6),
    "INJIN": (-0.1, 1.0, 0.0),
    "INJIL": (0.6, 0.8, 0.0),
    "INJLA": (0.95, -0.2, 0.0),
    "ISC_": (0.8, 0.45, -0.4),
    "ISCAL": (0.85, 0.1, -0.5),
    "ISCIN": (0.1, 1.0, 0.0),
    "ISCIL": (0.65, 0.75, 0.0),
    "ISCAS": (0.15, 0.0, -1.0),
    "ISCLA": (0.95, -0.25, 0.1),
    "ISCAN": (0.4, 0.0, -0.9),
    "ANEUR": (0.4, 0.0, -0.9),
}
"""Where a statement's wall lies, seen from the middle of the heart (x left, y feet, z back)."""

STAGES: tuple[str, ...] = ("Stadium I", "Stadium I-II", "Stadium II", "Stadium II-III", "Stadium III")
"""Stages of an infarction as PTB-XL writes them: fresh, in between, evolving, in between, old."""

Range = tuple[float, float]
_OF_WALLS: Mapping[str, tuple[int, Range, Range | float, Range]] = {
    "INJ": (-1, (0.14, 0.26), (-0.3, 0.1), (0.4, 1.2)),
    "ISC": (-1, (0.04, 0.14), (-0.4, 0.1), (1.1, 2.0)),
    "ANEUR": (1, (0.12, 0.22), 0.3, (0.6, 1.6)),
}
"""Beginning of a code -> whether ST moves to its wall or away, by how many mV, its slope, and how far T turns away."""

LATERAL = np.array([0.85, 0.25, -0.15])
LATERAL_UNIT = LATERAL / np.linalg.norm(LATERAL)


def towards(code: str) -> np.ndarray:
    """Unit vector to a statement's wall."""
    vector = np.array(TERRITORIES[code])
    return vector / np.linalg.norm(vector)


def apply_statement(heart: Heart, code: str, strength: float, rng: np.random.Generator, *, stage: str = "") -> None:
    """Change a heart in place; statements without an effect on the waves (NORM) leave it as it is."""
    if wall := next((of for begins, of in _OF_WALLS.items() if code.startswith(begins)), None):
        sign, (least_mv, most_mv), slope, turned = wall
        heart.st = heart.st + sign * towards(code) * strength * rng.uniform(least_mv, most_mv)
        heart.st_slope = slope if isinstance(slope, float) else rng.uniform(*slope)
        _turn_t(heart, towards(code), strength * rng.uniform(*turned))
    elif STATEMENT_BY_CODE[code].superclass == "MI":
        _infarction(heart, towards(code), strength, rng, stage or STAGES[-1])
    elif effect := _EFFECTS.get(code):
        effect(heart, strength, rng)


def application_order(code: str) -> tuple[int, int]:
    """Conduction reshapes QRS as a whole, so it comes first, what hides the rest of it last; then ST and T."""
    hides = ("WPW", "CLBBB").index(code) + 1 if code in ("WPW", "CLBBB") else 0
    return ("CD", "HYP", "MI", "STTC", "NORM", "").index(STATEMENT_BY_CODE[code].superclass), hides


def _along(vector: np.ndarray, unit: np.ndarray) -> float:
    return float(max(vector @ unit, 0))


def _take_away(waves: dict[str, Wave], unit: np.ndarray, share: float, names: tuple[str, ...]) -> None:
    for name in names:
        if name in waves:
            lost = min(share, 1.1) * _along(waves[name].vector, unit) * unit
            waves[name] = waves[name].moved(waves[name].vector - lost)


def _scale(waves: dict[str, Wave], name: str, factor: float) -> None:
    """Scale a wave that a block may have taken the place of."""
    if name in waves:
        waves[name] = waves[name].scaled(factor)


def _turn_t(heart: Heart, unit: np.ndarray, amount: float) -> None:
    """Move T away from a wall by a multiple of what points there, and of at least 0.12 mV."""
    for name, t in heart.t.items():
        if name != "u":
            away = amount * max(_along(t.vector, unit), 0.12) * unit
            heart.t[name] = t.moved(t.vector - away)


def _infarction(heart: Heart, unit: np.ndarray, k: float, rng: np.random.Generator, stage: str) -> None:
    masked = 0.35 if heart.qrs_ms > 125 else 1.0
    depth = k * masked * rng.uniform(0.38, 0.75)
    width = rng.uniform(10.5, 13.5)
    heart.qrs["q"] = Wave(-unit * depth, rng.uniform(21, 26), width, width)
    _take_away(heart.qrs, unit, k * masked * rng.uniform(0.8, 1.0), ("septum", "front"))
    _take_away(heart.qrs, unit, k * masked * rng.uniform(0.15, 0.45), ("apex", "base"))
    freshness = 1 - STAGES.index(stage) / (len(STAGES) - 1)
    raised = {1.0: (0.16, 0.34), 0.75: (0.10, 0.22), 0.5: (0.04, 0.1), 0.25: (0.01, 0.06), 0.0: (0.0, 0.03)}
    heart.st = heart.st + unit * k * rng.uniform(*raised[freshness])
    heart.st_slope = 0.25 if freshness > 0.6 else 0.0
    turned = {1.0: (-1.0, 0.1), 0.75: (0.4, 1.6), 0.5: (1.6, 2.6), 0.25: (1.3, 2.3), 0.0: (0.5, 1.5)}
    _turn_t(heart, unit, k * rng.uniform(*turned[freshness]))


def _left_ventricle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    grown, wide = 1 + k * rng.uniform(0.5, 1.05), 1 + k * rng.uniform(0.04, 0.14)
    for name in heart.qrs:
        if name not in ("q", "septum"):
            heart.qrs[name] = heart.qrs[name].scaled(grown).slowed(wide)
    heart.qrs_ms *= wide
    strain = k * max(rng.normal(0.6, 0.35), 0)
    heart.st = heart.st - LATERAL * strain * 0.11
    heart.st_slope = -0.4
    _turn_t(heart, LATERAL_UNIT, strain * 1.6)


def _right_ventricle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    _scale(heart.qrs, "apex", 1 - min(0.45 * k, 0.7))
    _scale(heart.qrs, "base", 1 - min(0.8 * k, 0.95))
    heart.qrs["right"] = Wave(k * rng.uniform(0.8, 1.2) * np.array([-0.95, 0.55, -0.55]), 52, 11.5)
    heart.st = heart.st + k * rng.uniform(0.3, 1.0) * np.array([0.03, -0.03, 0.08])
    _turn_t(heart, np.array([-0.2, 0.3, -0.93]), k * rng.uniform(1.0, 2.2))


def _septum(heart: Heart, k: float, rng: np.random.Generator) -> None:
    _scale(heart.qrs, "septum", 1 + k * rng.uniform(1.6, 2.6))
    _scale(heart.qrs, "apex", 1 + k * rng.uniform(0.1, 0.4))
    _turn_t(heart, LATERAL_UNIT, k * rng.uniform(0.2, 1.2))


def _left_atrium(heart: Heart, k: float, rng: np.random.Generator) -> None:
    late = rng.uniform(14, 26) * k
    heart.p["left"] = Wave((0.07, 0.05, 0.03 + k * rng.uniform(0.05, 0.09)), 72 + late, 18)


def _right_atrium(heart: Heart, k: float, rng: np.random.Generator) -> None:
    tall = k * rng.uniform(0.11, 0.19)
    heart.p["right"] = Wave((0.02, 0.07 + tall, -0.04 - 0.5 * tall), 48, 16)


def _flat_t(heart: Heart, k: float, rng: np.random.Generator) -> None:
    _turn_t(heart, LATERAL_UNIT, k * rng.uniform(0.75, 1.35))
    heart.t["t"] = heart.t["t"].scaled(1 - min(k * rng.uniform(0.1, 0.5), 0.8))


def _low_st(heart: Heart, k: float, rng: np.random.Generator) -> None:
    heart.st = heart.st - LATERAL * k * rng.uniform(0.05, 0.1)
    heart.st_slope = rng.uniform(-0.3, 0.4)
    heart.t["t"] = heart.t["t"].scaled(1 - min(k * rng.uniform(0.1, 0.4), 0.8))


def _digitalis(heart: Heart, k: float, rng: np.random.Generator) -> None:
    heart.st = heart.st - LATERAL * k * rng.uniform(0.09, 0.16)
    heart.st_slope = -0.5
    heart.t["t"] = heart.t["t"].moved(heart.t["t"].vector * (1 - min(0.4 * k, 0.7)), -30 * k)


def _long_qt(heart: Heart, k: float, rng: np.random.Generator) -> None:
    heart.t["t"] = heart.t["t"].moved(heart.t["t"].vector, k * rng.uniform(65, 120))


def _electrolytes(heart: Heart, k: float, rng: np.random.Generator) -> None:
    t = heart.t["t"]
    if rng.random() < 0.65:
        heart.t["t"] = t.scaled(1 - min(k * rng.uniform(0.6, 0.95), 1.1))
        heart.t["u"] = Wave(k * np.array([0.09, 0.06, -0.09]), t.peak_ms + 165, 32)
        heart.st = heart.st - LATERAL * k * 0.06
    else:
        heart.t["t"] = Wave(t.vector * (1 + k * rng.uniform(0.9, 1.6)), t.peak_ms - 15, 28, 24)


def _voltage(change: float) -> Effect:
    """All of QRS larger or smaller."""

    def scale(heart: Heart, k: float, rng: np.random.Generator) -> None:
        heart.qrs = {name: one.scaled(1 + max(change * k, -0.7)) for name, one in heart.qrs.items()}

    return scale


_EFFECTS: Mapping[str, Effect] = {
    "CLBBB": left_bundle,
    "ILBBB": left_bundle_delay,
    "CRBBB": right_bundle,
    "IRBBB": right_bundle_delay,
    "LAFB": left_anterior_fascicle,
    "LPFB": left_posterior_fascicle,
    "IVCD": ventricle_delay,
    "WPW": pre_excitation,
    "1AVB": first_degree,
    "2AVB": second_degree,
    "3AVB": third_degree,
    "LVH": _left_ventricle,
    "RVH": _right_ventricle,
    "SEHYP": _septum,
    "LAO/LAE": _left_atrium,
    "RAO/RAE": _right_atrium,
    "NDT": _flat_t,
    "NST_": _low_st,
    "DIG": _digitalis,
    "LNGQT": _long_qt,
    "EL": _electrolytes,
    "LVOLT": _voltage(-0.45),
    "HVOLT": _voltage(0.25),
}
"""By SCP code; those that lie in a wall are above."""
