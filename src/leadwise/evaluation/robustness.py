"""How much of a model's AUROC survives disturbed recordings, with intervals paired with the undisturbed ones."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.ecg.noise import (
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
from leadwise.ecg.reversal import LIMB_EXCHANGES
from leadwise.evaluation.bootstrap import bootstrap_replicates
from leadwise.evaluation.files import ROBUSTNESS_FILE, write_json
from leadwise.evaluation.metrics import Estimate, auroc, mean_of

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


Answers = Callable[[NDArray[np.float32], pd.DataFrame], NDArray[np.floating]]
"""``(signal_mv (record, time, 12), patients)`` to ``(record, 5)`` probabilities, calibrated or not."""

MACRO = "macro"
UNDISTURBED = "undisturbed"
RECORDS_AT_ONCE = 256


class RobustnessError(LeadwiseError):
    """The recordings, patients, labels and weights do not belong together; the message says what was received."""


@dataclass(frozen=True)
class Robustness:
    """What a model makes of disturbed recordings.

    Attributes:
        records: records that were disturbed.
        seed: seed of the disturbances and of the sample.
        left_out: classes with one value only among the records; the mean over classes is without them.
        undisturbed: AUROC of ``macro`` and of every class.
        points: curve -> level as text -> the same; a level that the model refuses is absent.
        refused: curve -> level as text -> the model's message.
        curves: the disturbances and their levels.
    """

    records: int
    seed: int
    left_out: tuple[str, ...]
    undisturbed: Mapping[str, Estimate]
    points: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    refused: Mapping[str, Mapping[str, str]]
    curves: tuple[Curve, ...]

    def drop(self, curve: str, level: str, of: str = MACRO) -> Estimate:
        """Undisturbed minus disturbed AUROC of the mean over classes or of a class, paired."""
        return self.undisturbed[of] - self.points[curve][level][of]

    def mean_of_curve(self, curve: str) -> Estimate:
        """Macro AUROC, the mean over the levels of one disturbance."""
        return mean_of([level[MACRO] for level in self.points[curve].values()])

    def mean(self) -> Estimate:
        """Macro AUROC, the mean over disturbances of ``mean_of_curve``: the one number of a model's robustness.

        Every disturbance counts the same, however many levels it has (as the corruptions of Hendrycks and Dietterich,
        ICLR 2019, do). It is not a drop: a model that is poor undisturbed has little to lose.
        """
        return mean_of([self.mean_of_curve(curve) for curve, levels in self.points.items() if levels])

    def metrics(self, prefix: str = "test/") -> dict[str, float]:
        """For the tracking server: the mean with its bounds, the mean drop, and one number per disturbance."""
        mean, start = self.mean(), f"{prefix}robustness/"
        found = {f"{start}mean_macro_auroc": mean.value}
        found |= {f"{start}mean_macro_auroc_{side}": getattr(mean.interval, side) for side in ("low", "high")}
        found[f"{start}mean_drop"] = (self.undisturbed[MACRO] - mean).value
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
            "mean_drop": (self.undisturbed[MACRO] - self.mean()).to_dict(),
            "undisturbed": {name: one.to_dict() for name, one in self.undisturbed.items()},
            "curves": [self._curve_to_dict(curve) for curve in self.curves],
        }

    def _curve_to_dict(self, curve: Curve) -> dict[str, Any]:
        points, refused = self.points[curve.name], self.refused.get(curve.name, {})
        levels = [
            {
                "level": level,
                "auroc": {name: one.to_dict() for name, one in points[level].items()},
                "drop": {name: self.drop(curve.name, level, name).to_dict() for name in points[level]},
            }
            if level in points
            else {"level": level, "refused": refused[level]}
            for level in curve.labels
        ]
        mean = self.mean_of_curve(curve.name).to_dict() if points else None
        return {
            "name": curve.name,
            "title": curve.title,
            "unit": curve.unit,
            "mean_macro_auroc": mean,
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
    records: int | None = None,
    curves: tuple[Curve, ...] = CURVES,
) -> Robustness:
    """Disturb recordings in every way and strength of ``curves`` and measure what the answers are worth.

    Every point costs one prediction of all the records. Disturbances depend on the seed and on the records alone, so
    that models are tried with the same ones. No more than ``RECORDS_AT_ONCE`` disturbed recordings are held at a time.
    AUROC does not change with a rising function of the probabilities: it does not matter whether they are calibrated.

    Args:
        answers: the model.
        signal_mv: ``(record, time, 12)`` in mV at the model's rate.
        patients: ``(record, ...)``: what is known of each patient, columns of ``Store.patients``.
        labels: ``(record, 5)`` of 0 and 1.
        seed: seed of everything random.
        weights: ``(replicate, record)`` of ``bootstrap.patient_weights``; None: no intervals.
        records: a random sample of so many records instead of all; None or more than there are: all.
        curves: the disturbances.

    Raises:
        RobustnessError: the numbers of records differ.
    """
    _check_records(signal_mv, patients, labels, weights)
    chosen = np.arange(len(labels))
    if records is not None and records < len(labels):
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), records, replace=False))
    trial = _Trial(answers, signal_mv, patients, chosen, seed)
    undisturbed, answered, refused = _all_answers(trial, curves)
    measure = _Measure(labels[chosen], None if weights is None else weights[:, chosen])
    return Robustness(
        records=len(chosen),
        seed=seed,
        left_out=measure.left_out,
        undisturbed=measure(undisturbed),
        points={curve.name: {level: measure(p) for level, p in answered[curve.name].items()} for curve in curves},
        refused={name: levels for name, levels in refused.items() if levels},
        curves=curves,
    )


def check_same_trials(models: Mapping[str, Robustness]) -> None:
    """Refuse models that were not tried with the same disturbances of the same records.

    Raises:
        RobustnessError: they differ, or there is no model.
    """
    if not models:
        raise RobustnessError("models: received none; at least one is needed")
    first = next(iter(models.values()))
    for name, one in models.items():
        if (one.records, one.seed, one.curves) != (first.records, first.seed, first.curves):
            raise RobustnessError(
                f"{name}: received {one.records} records with seed {one.seed}; allowed: the {first.records} records, "
                f"seed {first.seed} and disturbances of {next(iter(models))}"
            )


@dataclass(frozen=True)
class _Trial:
    """A model and the recordings that it is tried with."""

    answers: Answers
    signal_mv: NDArray[np.floating]
    patients: pd.DataFrame
    chosen: NDArray[np.int64]
    seed: int

    def run(self, curve: Curve | None, level: Level, tick: Callable[[int], object]) -> NDArray[np.floating]:
        """``(record, 5)`` with one disturbance, or with none."""
        parts = []
        for start in range(0, len(self.chosen), RECORDS_AT_ONCE):
            rows = self.chosen[start : start + RECORDS_AT_ONCE]
            signal = np.asarray(self.signal_mv[rows], dtype=np.float32)
            patients = self.patients.iloc[rows]
            if curve is not None:
                # Not by the level: a record's disturbance grows, it does not change.
                generator = np.random.default_rng((self.seed, crc32(curve.name.encode()), start))
                signal, patients = curve.disturb(signal, patients, level, generator)
            parts.append(np.asarray(self.answers(signal, patients)))
            tick(len(rows))
        return np.concatenate(parts)


Answered = dict[str, dict[str, NDArray[np.floating]]]


def _all_answers(
    trial: _Trial, curves: tuple[Curve, ...]
) -> tuple[NDArray[np.floating], Answered, dict[str, dict[str, str]]]:
    """Undisturbed answers, those of every curve and level, and what was refused why."""
    from tqdm import tqdm

    answered: Answered = {curve.name: {} for curve in curves}
    refused: dict[str, dict[str, str]] = {curve.name: {} for curve in curves}
    total = (1 + sum(len(curve.levels) for curve in curves)) * len(trial.chosen)
    with tqdm(total=total, unit="rec", disable=None) as progress:
        progress.set_description(UNDISTURBED)
        undisturbed = trial.run(None, UNDISTURBED, progress.update)
        for curve in curves:
            for level, label in zip(curve.levels, curve.labels, strict=True):
                progress.set_description(f"{curve.title} {label}")
                try:
                    answered[curve.name][label] = trial.run(curve, level, progress.update)
                except LeadwiseError as error:
                    # A model with long windows takes no short recordings: that is an answer, too.
                    refused[curve.name][label] = str(error)
    return undisturbed, answered, refused


class _Measure:
    """AUROC of probabilities against fixed labels, with replicates."""

    def __init__(self, labels: NDArray[np.floating], weights: NDArray[np.int16] | None) -> None:
        self.labels = labels
        self.weights = weights
        positives = labels.sum(axis=0)
        self.defined = (positives > 0) & (positives < len(labels))
        self.left_out = tuple(
            name for name, is_defined in zip(SUPERCLASSES, self.defined, strict=True) if not is_defined
        )

    def __call__(self, probabilities: NDArray[np.floating]) -> dict[str, Estimate]:
        values = self._areas(probabilities, None)
        drawn: Mapping[str, NDArray[np.float64]] = dict.fromkeys(values, np.empty(0))
        if self.weights is not None:
            drawn = bootstrap_replicates(partial(self._areas, probabilities), self.weights)
        return {name: Estimate(float(value), drawn[name]) for name, value in values.items()}

    def _areas(
        self, probabilities: NDArray[np.floating], weights: NDArray[np.int16] | None
    ) -> dict[str, NDArray[np.float64]]:
        areas = auroc(self.labels, probabilities, weights)
        macro = areas[..., self.defined].mean(axis=-1) if self.defined.any() else areas[..., 0]
        return {MACRO: macro} | {name: areas[..., k] for k, name in enumerate(SUPERCLASSES)}


def _check_records(
    signal_mv: NDArray[np.floating],
    patients: pd.DataFrame,
    labels: NDArray[np.floating],
    weights: NDArray[np.int16] | None,
) -> None:
    counts = {"signal_mv": len(signal_mv), "patients": len(patients), "labels": len(labels)}
    if weights is not None:
        counts["weights"] = weights.shape[-1]
    if len(set(counts.values())) > 1 or not len(labels):
        received = ", ".join(f"{count} in {name}" for name, count in counts.items())
        raise RobustnessError(f"records: received {received}; allowed: the same number, at least 1")


REPLICATES_FILE = "robustness.parquet"


def write_robustness(one: Robustness, folder: Path) -> None:
    """Write ``robustness.json`` (``Robustness.to_dict``) and ``robustness.parquet``.

    The latter has one row per curve, level and class: ``value``, and ``replicates``, a list of float32.
    """
    levels = {(UNDISTURBED, ""): one.undisturbed}
    levels |= {(curve, level): areas for curve, found in one.points.items() for level, areas in found.items()}
    rows = [
        {"curve": curve, "level": level, "of": of, "value": area.value, "replicates": area.replicates.astype("f4")}
        for (curve, level), areas in levels.items()
        for of, area in areas.items()
    ]
    pd.DataFrame(rows).to_parquet(folder / REPLICATES_FILE, index=False)
    write_json(folder / ROBUSTNESS_FILE, one.to_dict())


def read_robustness(folder: Path) -> Robustness:
    """The inverse of ``write_robustness``.

    Raises:
        RobustnessError: a file is absent or unreadable, or the disturbances were others than today's.
    """
    try:
        content = json.loads((folder / ROBUSTNESS_FILE).read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / REPLICATES_FILE)
        measured = {curve["name"]: [level["level"] for level in curve["levels"]] for curve in content["curves"]}
        refused = {
            curve["name"]: {level["level"]: level["refused"] for level in curve["levels"] if "refused" in level}
            for curve in content["curves"]
        }
        areas: dict[tuple[str, str], dict[str, Estimate]] = {}
        for row in table.to_dict("records"):
            estimate = Estimate(row["value"], np.asarray(row["replicates"], dtype=np.float64))
            areas.setdefault((row["curve"], row["level"]), {})[row["of"]] = estimate
        undisturbed = areas.pop((UNDISTURBED, ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RobustnessError(f"{folder}: no whole measure of robustness ({error}); evaluate again") from None
    curves = tuple(curve for curve in CURVES if measured.get(curve.name) == list(curve.labels))
    if len(curves) != len(measured):
        raise RobustnessError(f"{folder}: measured with other disturbances than today's; evaluate again")
    return Robustness(
        records=content["records"],
        seed=content["seed"],
        left_out=tuple(content["left_out"]),
        undisturbed=undisturbed,
        points={
            curve.name: {level: areas[curve.name, level] for level in curve.labels if (curve.name, level) in areas}
            for curve in curves
        },
        refused={name: levels for name, levels in refused.items() if levels},
        curves=curves,
    )
