"""How much of a model's AUROC survives corrupted recordings, with intervals paired with the clean ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.ecg import noise
from leadwise.ecg.reversal import LIMB_REVERSALS
from leadwise.evaluation.bootstrap import Estimate, estimates, mean_of
from leadwise.evaluation.metrics import auroc
from leadwise.terminal import progress

Level = float | str
Corrupt = Callable[[noise.Signals, pd.DataFrame, Any, np.random.Generator], tuple[noise.Signals, pd.DataFrame]]

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
LEADS_LEFT: dict[str, tuple[str, ...]] = {"limb + V2": (*LIMB_LEADS, "V2"), "limb": LIMB_LEADS, "I": ("I",)}
"""Leads I and II give all six limb leads, so these are devices of three leads, of two (Reyna et al. 2021), of one."""

FACTS_LEFT: dict[str, tuple[str, ...]] = {"age, sex": ("age", "sex"), "age": ("age",), "nothing": ()}
"""Columns of ``Store.patients`` that stay known."""


@dataclass(frozen=True)
class Curve:
    """One corruption in rising strength.

    Attributes:
        name: as in the names of metrics.
        title: for people.
        unit: what ``levels`` are given in.
        levels: from mild to severe, if ordered.
        corrupt: ``(signal_mv, patients, level, generator)`` to the corrupted pair.
        ordered: whether one level holds less than the one before; else they are kinds of their own.
    """

    name: str
    title: str
    unit: str
    levels: tuple[Level, ...]
    corrupt: Corrupt
    ordered: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        """``levels`` as text."""
        return tuple(level if isinstance(level, str) else f"{level:g}" for level in self.levels)


def _random(change: Callable[[noise.Signals, Any, np.random.Generator], noise.Signals]) -> Corrupt:
    return lambda signal_mv, patients, level, generator: (change(signal_mv, level, generator), patients)


def _fixed(change: Callable[[noise.Signals, Any], noise.Signals]) -> Corrupt:
    return lambda signal_mv, patients, level, _: (change(signal_mv, level), patients)


def _keep(signal_mv: noise.Signals, level: str) -> noise.Signals:
    return noise.keep_leads(signal_mv, LEADS_LEFT[level])


def _forget(
    signal_mv: noise.Signals, patients: pd.DataFrame, level: str, generator: np.random.Generator
) -> tuple[noise.Signals, pd.DataFrame]:
    # A column that is absent means unknown, to every model.
    return signal_mv, patients[list(FACTS_LEFT[level])]


CURVES: tuple[Curve, ...] = (
    Curve("white_noise", "White noise", "mV rms", (0.02, 0.05, 0.1, 0.2), _random(noise.add_white_noise)),
    Curve("muscle_noise", "Muscle noise", "dB below QRS", (18, 12, 6, 0), _random(noise.add_muscle_noise)),
    Curve("baseline_wander", "Baseline wander", "mV rms", (0.1, 0.3, 1), _random(noise.add_baseline_wander)),
    Curve("mains_hum", "Mains hum, 50 Hz", "mV at 500 Hz", (0.1, 0.3, 1), _random(noise.add_mains_hum)),
    Curve("silent_leads", "Silent leads", "of 12, at random", (1, 3, 6), _random(noise.silence_leads)),
    Curve("leads_left", "Leads left", "the others silent", tuple(LEADS_LEFT), _fixed(_keep)),
    Curve(
        "swapped_limb_leads",
        "Swapped limb leads",
        "electrodes",
        LIMB_REVERSALS,
        _fixed(noise.reverse_electrodes),
        False,
    ),
    Curve("sampling_rate", "Lower sampling rate", "Hz", (75, 62.5, 50), _fixed(noise.lower_rate)),
    Curve("duration", "Shorter recording", "s", (7.5, 5, 2.5), _random(noise.shorten)),
    Curve("metadata", "Metadata missing", "still known", tuple(FACTS_LEFT), _forget),
)


Answers = Callable[[NDArray[np.float32], pd.DataFrame], NDArray[np.floating]]
"""``(signal_mv (record, time, 12), patients)`` to ``(record, 5)`` probabilities, calibrated or not."""

MACRO = "macro"
CLEAN = "clean"
RECORDS_AT_ONCE = 256


@dataclass(frozen=True)
class Robustness:
    """What a model makes of corrupted recordings.

    Attributes:
        records: records that were corrupted.
        seed: seed of the corruptions and of the sample.
        left_out: classes with one value only among the records; the mean over classes is without them.
        clean: AUROC of ``macro`` and of every class.
        points: curve -> level as text -> the same; a level that the model refuses is absent.
        refused: curve -> level as text -> the model's message.
        curves: the corruptions and their levels.
    """

    records: int
    seed: int
    left_out: tuple[str, ...]
    clean: Mapping[str, Estimate]
    points: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    refused: Mapping[str, Mapping[str, str]]
    curves: tuple[Curve, ...]

    def drop(self, curve: str, level: str, of: str = MACRO) -> Estimate:
        """Clean minus corrupted AUROC of the mean over classes or of a class, paired."""
        return self.clean[of] - self.points[curve][level][of]

    def mean_of_curve(self, curve: str) -> Estimate:
        """Macro AUROC, the mean over the levels of one corruption."""
        return mean_of([level[MACRO] for level in self.points[curve].values()])

    def mean(self) -> Estimate:
        """Macro AUROC, the mean over corruptions of ``mean_of_curve``: the one number of a model's robustness.

        Every corruption counts the same, however many levels it has (as the corruptions of Hendrycks and Dietterich,
        ICLR 2019, do). It is not a drop: a model that is poor clean has little to lose.
        """
        return mean_of([self.mean_of_curve(curve) for curve, levels in self.points.items() if levels])

    def metrics(self) -> dict[str, float]:
        """For the tracking server: the mean with its bounds, the mean drop, and one number per corruption."""
        mean, start = self.mean(), "test/robustness/"
        found = {f"{start}mean_macro_auroc": mean.value}
        found |= {f"{start}mean_macro_auroc_{side}": getattr(mean.interval, side) for side in ("low", "high")}
        found[f"{start}mean_drop"] = (self.clean[MACRO] - mean).value
        for curve, levels in self.points.items():
            if levels:
                found[f"{start}{curve}/macro_auroc"] = self.mean_of_curve(curve).value
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON: AUROC and drop with their intervals at every level, for every class."""
        return {
            "records": self.records,
            "seed": self.seed,
            "left_out": list(self.left_out),
            "mean_macro_auroc": self.mean().to_dict(),
            "mean_drop": (self.clean[MACRO] - self.mean()).to_dict(),
            "undisturbed": {name: one.to_dict() for name, one in self.clean.items()},
            "curves": [self._curve_to_dict(curve) for curve in self.curves],
        }

    def _curve_to_dict(self, curve: Curve) -> dict[str, Any]:
        points, levels = self.points[curve.name], []
        for level in curve.labels:
            if level in points:
                auroc = {name: found.to_dict() for name, found in points[level].items()}
                drop = {name: self.drop(curve.name, level, name).to_dict() for name in points[level]}
                levels.append({"level": level, "auroc": auroc, "drop": drop})
            else:
                levels.append({"level": level, "refused": self.refused[curve.name][level]})
        return {
            "name": curve.name,
            "title": curve.title,
            "unit": curve.unit,
            "ordered": curve.ordered,
            "mean_macro_auroc": self.mean_of_curve(curve.name).to_dict() if points else None,
            "levels": levels,
        }


def robustness_curves(
    answers: Answers,
    signal_mv: NDArray[np.floating],
    patients: pd.DataFrame,
    labels: NDArray[np.floating],
    *,
    seed: int,
    weights: NDArray[np.int16] | None = None,
    curves: Sequence[Curve] = CURVES,
) -> Robustness:
    """Corrupt recordings in every way and strength of ``curves`` and measure what the answers are worth.

    Every point costs one prediction of all the records. Corruptions depend on the seed and on the records alone, so
    that models are tried with the same ones. No more than ``RECORDS_AT_ONCE`` corrupted recordings are held at a time.
    AUROC does not change with a rising function of the probabilities: it does not matter whether they are calibrated.

    Args:
        answers: the model.
        signal_mv: ``(record, time, 12)`` in mV at the model's rate.
        patients: ``(record, ...)``: what is known of each patient, columns of ``Store.patients``.
        labels: ``(record, class)`` of 0 and 1.
        seed: seed of everything random.
        weights: ``(replicate, record)`` of ``bootstrap.patient_weights``; None: no intervals.
        curves: the corruptions.
    """
    positives = labels.sum(axis=0)
    defined = (positives > 0) & (positives < len(labels))
    points: dict[str, dict[str, dict[str, Estimate]]] = {curve.name: {} for curve in curves}
    refused: dict[str, dict[str, str]] = {}
    total = (1 + sum(len(curve.levels) for curve in curves)) * len(labels)
    with progress(total, "corrupted recordings", "rec") as bar:

        def measure(curve: Curve | None = None, level: Level = CLEAN) -> dict[str, Estimate]:
            """AUROC with one corruption, or with none."""
            parts = []
            for start in range(0, len(labels), RECORDS_AT_ONCE):
                rows = slice(start, start + RECORDS_AT_ONCE)
                signal, known = np.asarray(signal_mv[rows], dtype=np.float32), patients.iloc[rows]
                if curve is not None:
                    # Not by the level: a record's corruption grows, it does not change.
                    generator = np.random.default_rng((seed, crc32(curve.name.encode()), start))
                    signal, known = curve.corrupt(signal, known, level, generator)
                parts.append(np.asarray(answers(signal, known)))
                bar.update(len(parts[-1]))
            probabilities = np.concatenate(parts)

            def areas(drawn: NDArray[np.int16] | None) -> dict[str, NDArray[np.float64]]:
                found = auroc(labels, probabilities, drawn)
                macro = found[..., defined].mean(axis=-1) if defined.any() else found[..., 0]
                return {MACRO: macro} | {name: found[..., k] for k, name in enumerate(SUPERCLASSES)}

            return estimates(areas, weights)

        bar.set_description(CLEAN)
        clean = measure()
        for curve in curves:
            for level, label in zip(curve.levels, curve.labels, strict=True):
                bar.set_description(f"{curve.title} {label}")
                try:
                    points[curve.name][label] = measure(curve, level)
                except LeadwiseError as error:
                    # A model with long windows takes no short recordings: that is an answer, too.
                    refused.setdefault(curve.name, {})[label] = str(error)
    left_out = tuple(name for name, known in zip(SUPERCLASSES, defined, strict=True) if not known)
    return Robustness(len(labels), seed, left_out, clean, points, refused, tuple(curves))


def check_same_trials(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse models that were not tried with the same corruptions of the same records.

    Args:
        models: name -> what ``robustness.json`` holds, at least one.

    Raises:
        LeadwiseError: they differ.
    """

    def trial(content: Mapping[str, Any]) -> tuple[Any, ...]:
        levels = [(curve["name"], [level["level"] for level in curve["levels"]]) for curve in content["curves"]]
        return content["records"], content["seed"], levels

    first, content = next(iter(models.items()))
    for name, other in models.items():
        if trial(other) != trial(content):
            raise LeadwiseError(
                f"{name}: received {other['records']} records with seed {other['seed']}; allowed: the "
                f"{content['records']} records, seed {content['seed']} and corruptions of {first}"
            )
