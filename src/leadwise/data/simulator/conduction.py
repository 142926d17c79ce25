"""What conduction disturbances do to the heart's waves: blocks of the bundle branches, the fascicles, the AV node."""

from collections.abc import Callable, Mapping

import numpy as np

from leadwise.data.simulator.waveform import Heart, Wave, wave

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
        "septum": wave(size * np.array([0.12, 0.12, -0.10 * rng.uniform(0, 2)]), 18, 9).slowed(wide),
        "first": wave(size * np.array([0.75, 0.30, 0.45]), 46, 14.5).slowed(wide),
        "middle": wave(size * np.array([notch * 0.75, 0.05, 1.0]), 76, 15).slowed(wide),
        "late": wave(size * np.array([0.85, -0.05, 0.60]), 105, 15, 17).slowed(wide),
    }
    heart.qrs_ms = 150 * wide
    _discordant(heart, (0.75, 0.05, 0.75), min(k, 1.2), 0.32)


def left_bundle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS of 110 to 120 ms, no septal q, slurred R in the lateral leads."""
    wide = 1 + min(k, 1.2) * rng.uniform(0.16, 0.26)
    heart.qrs = {name: one.slowed(wide) for name, one in heart.qrs.items()}
    heart.qrs["septum"] = heart.qrs["septum"].scaled(max(0.1, 1 - k))
    heart.qrs["slur"] = wave(k * np.array([0.30, 0.05, 0.22]), 74, 12)
    heart.qrs_ms *= wide
    _discordant(heart, (0.7, 0.1, 0.7), 0.35 * k, 0.2)


def right_bundle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS over 120 ms: rSR' in V1, broad S in I, V5 and V6, T turned over in V1 to V3."""
    late = rng.uniform(0.75, 1.2) * k
    heart.qrs["base"] = heart.qrs["base"].scaled(rng.uniform(0.45, 0.75))
    heart.qrs["right"] = wave(late * np.array([-0.50, 0.05, -0.58]), rng.uniform(96, 110), 15, 17)
    heart.qrs_ms = rng.uniform(130, 150)
    _discordant(heart, (-0.35, 0.0, -0.9), 0.45 * min(k, 1.2), 0.22)


def right_bundle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS under 120 ms with a small r' in V1 and an S in I and V6."""
    late = rng.uniform(0.7, 1.2) * k
    heart.qrs["base"] = heart.qrs["base"].scaled(rng.uniform(0.6, 0.95))
    heart.qrs["right"] = wave(late * np.array([-0.24, 0.0, -0.38]), rng.uniform(78, 88), 10)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(102, 116))
    _discordant(heart, (-0.2, 0.0, -0.9), 0.15 * k, 0.15)


def left_anterior_fascicle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Axis turned up beyond -45 degrees: q in I and aVL, rS in II, III and aVF, S in V5 and V6."""
    strength = min(k, 1.25)
    apex = heart.qrs["apex"]
    heart.qrs["septum"] = wave((-0.12, 0.22 * strength, -0.16), 15, 7)
    heart.qrs["apex"] = Wave(apex.vector * (0.85, 1 - 1.55 * strength, 1), apex.peak_ms + 2, 10.5, 10.5)
    heart.qrs["up"] = wave((0.05, -strength * rng.uniform(0.38, 0.62), 0.05), rng.uniform(58, 66), 11.5)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(95, 110))


def left_posterior_fascicle(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Axis turned down beyond 90 degrees: rS in I and aVL, qR in II, III and aVF."""
    strength = min(k, 1.25)
    apex = heart.qrs["apex"]
    heart.qrs["septum"] = wave((0.12, -0.26 * strength, -0.14), 15, 7)
    heart.qrs["apex"] = Wave(apex.vector * (1 - 0.62 * strength, 1 + 0.45 * strength, 1), apex.peak_ms, 10.5, 10.5)
    heart.qrs["down"] = wave((-strength * rng.uniform(0.38, 0.6), 0.25, 0.1), rng.uniform(56, 64), 11.5)
    heart.qrs_ms = max(heart.qrs_ms, rng.uniform(95, 110))


def ventricle_delay(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """QRS wide and notched without the shape of either bundle branch."""
    wide = 1 + min(k, 1.3) * rng.uniform(0.25, 0.5)
    heart.qrs = {name: one.slowed(wide) for name, one in heart.qrs.items()}
    heart.qrs["notch"] = wave(k * rng.normal(0, 0.2, 3), rng.uniform(50, 85), 8)
    heart.qrs_ms *= wide


def pre_excitation(heart: Heart, k: float, rng: np.random.Generator) -> None:
    """Short PR, a delta wave that slurs the upstroke, ST and T discordant to it."""
    pathway = np.array([rng.uniform(0.2, 0.6), rng.uniform(-0.4, 0.5), rng.uniform(-0.5, 0.2)])
    heart.qrs = {
        name: Wave(one.vector, one.peak_ms + 26, one.rise_ms, one.fall_ms)
        for name, one in heart.qrs.items()
        if name != "septum"
    }
    heart.qrs["delta"] = wave(k * pathway, 36, 14, 20)
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
        heart.qrs[name] = Wave(one.vector + up, one.peak_ms + 5, one.rise_ms, one.fall_ms)
    t = heart.t["t"]
    heart.t["t"] = wave(t.vector + np.array([0.0, 0.35, 0.0]), t.peak_ms, 55, 42)


CONDUCTION: Mapping[str, Effect] = {
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
}
"""By SCP code."""
