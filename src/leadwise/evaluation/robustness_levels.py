"""Which disturbances a model is tried with, and how strong they are: the one table of both.

What the strengths mean for the 2,183 records of fold 9 of PTB-XL, measured with ``signals.quality``: their own noise is
0.003 mV (0.02 mV in one of a thousand, worst lead 0.04), their own wander has a range of 0.4 mV in the worst lead (1.4
in one of ten, 4.4 in one of a hundred; 1 mV root mean square is a range of about 4), and they hold no hum. White noise
of 0.02, 0.05, 0.1 and 0.2 mV is 26, 18, 12 and 6 dB below the QRS complexes of a typical record.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadwise.signals.disturbances import (
    Signals,
    add_baseline_wander,
    add_mains_hum,
    add_muscle_noise,
    add_white_noise,
    exchange_electrodes,
    keep_leads,
    lower_rate,
    shorten,
    silence_leads,
)
from leadwise.signals.reversal import LIMB_EXCHANGES

Level = float | str
Disturb = Callable[[Signals, pd.DataFrame, Any, np.random.Generator], tuple[Signals, pd.DataFrame]]

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
LEADS_LEFT: dict[str, tuple[str, ...]] = {"limb + V2": (*LIMB_LEADS, "V2"), "limb": LIMB_LEADS, "I": ("I",)}
"""Leads I and II give all six limb leads, so these are devices of three leads, of two (Reyna et al. 2021), of one."""

FACTS_LEFT: dict[str, tuple[str, ...]] = {"age, sex": ("age", "sex"), "age": ("age",), "nothing": ()}
"""Columns of ``Store.patients`` that stay known."""


@dataclass(frozen=True)
class Curve:
    """One disturbance in rising strength.

    Attributes:
        name: as in the names of metrics.
        title: for people.
        unit: what ``levels`` are given in.
        levels: from mild to severe, if ordered.
        disturb: ``(signal_mv, patients, level, generator)`` to the disturbed pair.
        ordered: whether one level holds less than the one before; else they are kinds of their own.
    """

    name: str
    title: str
    unit: str
    levels: tuple[Level, ...]
    disturb: Disturb
    ordered: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        """``levels`` as text."""
        return tuple(level if isinstance(level, str) else f"{level:g}" for level in self.levels)


def _random(change: Callable[[Signals, Any, np.random.Generator], Signals]) -> Disturb:
    return lambda signal_mv, patients, level, generator: (change(signal_mv, level, generator), patients)


def _fixed(change: Callable[[Signals, Any], Signals]) -> Disturb:
    return lambda signal_mv, patients, level, _: (change(signal_mv, level), patients)


def _keep(signal_mv: Signals, level: str) -> Signals:
    return keep_leads(signal_mv, LEADS_LEFT[level])


def _forget(
    signal_mv: Signals, patients: pd.DataFrame, level: str, generator: np.random.Generator
) -> tuple[Signals, pd.DataFrame]:
    # A column that is absent means unknown, to every model.
    return signal_mv, patients[list(FACTS_LEFT[level])]


CURVES: tuple[Curve, ...] = (
    Curve("white_noise", "White noise", "mV rms", (0.02, 0.05, 0.1, 0.2), _random(add_white_noise)),
    Curve("muscle_noise", "Muscle noise", "dB below QRS", (18, 12, 6, 0), _random(add_muscle_noise)),
    Curve("baseline_wander", "Baseline wander", "mV rms", (0.1, 0.3, 1), _random(add_baseline_wander)),
    Curve("mains_hum", "Mains hum, 50 Hz", "mV at 500 Hz", (0.1, 0.3, 1), _random(add_mains_hum)),
    Curve("silent_leads", "Silent leads", "of 12, at random", (1, 3, 6), _random(silence_leads)),
    Curve("leads_left", "Leads left", "the others silent", tuple(LEADS_LEFT), _fixed(_keep)),
    Curve("swapped_limb_leads", "Swapped limb leads", "electrodes", LIMB_EXCHANGES, _fixed(exchange_electrodes), False),
    Curve("sampling_rate", "Lower sampling rate", "Hz", (75, 62.5, 50), _fixed(lower_rate)),
    Curve("duration", "Shorter recording", "s", (7.5, 5, 2.5), _random(shorten)),
    Curve("metadata", "Metadata missing", "still known", tuple(FACTS_LEFT), _forget),
)
