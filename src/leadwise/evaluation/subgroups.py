"""How well a model does in parts of the population: who it works less well for, and how often decisions are right.

A subgroup's AUROC also depends on how plain its diagnoses are and on what else its patients have, so a difference
between two subgroups is a reason to look, not a verdict on the model. A class is rarer among the young, so that its
calibrated probabilities are lower there, and one threshold for all finds fewer of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.store import VALIDATION_FOLDER
from leadwise.evaluation.bootstrap import Estimate, estimates, values_and_intervals
from leadwise.evaluation.decisions import Measure
from leadwise.evaluation.metrics import MetricInput, auroc

FEWEST_RECORDS = 50
"""A smaller subgroup is named without figures."""
FEWEST_CASES = 10
"""A class with fewer positives or negatives in a subgroup gets no AUROC there, and the subgroup no mean of all five."""

QUALITY_FILE = Path(VALIDATION_FOLDER) / "signals.parquet"

AGE_BANDS: Mapping[str, tuple[float, float]] = {
    "under 50": (0, 50),
    "50 to 59": (50, 60),
    "60 to 69": (60, 70),
    "70 to 79": (70, 80),
    "80 and over": (80, math.inf),
}
DECISION_AGES: Mapping[str, tuple[float, float]] = {
    "18 to 39": (18, 40),
    "40 to 59": (40, 60),
    "60 to 79": (60, 80),
    "80 and over": (80, math.inf),
}
"""By which decisions are counted."""
NOISE_UV: Mapping[str, tuple[float, float]] = {
    "below 5 uV": (0, 5),
    "5 to 15 uV": (5, 15),
    "15 uV or more": (15, math.inf),
}
BASELINE_MV: Mapping[str, tuple[float, float]] = {
    "below 0.3 mV": (0, 0.3),
    "0.3 to 1 mV": (0.3, 1),
    "1 mV or more": (1, math.inf),
}
"""Limits of noise and of baseline wander: about half, 40 % and the last tenth of the training folds."""


@dataclass(frozen=True)
class Subgroup:
    """Records that have something in common.

    Attributes:
        kind: what they are grouped by: ``sex``, ``age``, ``noise``, ...
        name: what they share: ``female``.
        members: ``(record,)`` bool over the evaluated rows.
    """

    kind: str
    name: str
    members: NDArray[np.bool_]


@dataclass(frozen=True)
class SubgroupResult:
    """Figures of one subgroup.

    Attributes:
        kind, name: see ``Subgroup``.
        records: how many.
        patients: how many.
        positives: class -> records that have it.
        found: ``macro_auroc`` and ``auroc/<class>``; what is suppressed is absent.
        suppressed: name -> why there is no figure.
    """

    kind: str
    name: str
    records: int
    patients: int
    positives: Mapping[str, int]
    found: Mapping[str, Estimate]
    suppressed: Mapping[str, str]

    def metrics(self) -> dict[str, float]:
        """``test/subgroup/sex/female/macro_auroc`` and ``.../records``, for the tracking UI."""
        prefix = f"test/subgroup/{self.kind}/{self.name}"
        macro = {f"{prefix}/macro_auroc": self.found["macro_auroc"].value} if "macro_auroc" in self.found else {}
        return {f"{prefix}/records": float(self.records)} | macro

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``subgroups.json``."""
        return {
            "kind": self.kind,
            "name": self.name,
            "records": self.records,
            "patients": self.patients,
            "positives": dict(self.positives),
            **values_and_intervals(self.found),
            "suppressed": dict(self.suppressed),
        }


def find_subgroups(records: pd.DataFrame, quality: pd.DataFrame | None) -> list[Subgroup]:
    """The subgroups of some rows of a store; those without any member are left out.

    Args:
        records: rows of ``Store.records``.
        quality: ``noise_uv`` and ``baseline_mv`` of the same rows, NaN where not measured; ``None``: nothing is known.
    """
    height, weight = (np.asarray(records[name].notna(), dtype=np.bool_) for name in ("height_cm", "weight_kg"))
    groups = [
        *_sexes(records),
        *_bands("age", records["age"], AGE_BANDS),
        Subgroup("height and weight", "both known", height & weight),
        Subgroup("height and weight", "weight only", ~height & weight),
        Subgroup("height and weight", "height only", height & ~weight),
        Subgroup("height and weight", "neither known", ~height & ~weight),
    ]
    if quality is not None:
        groups += _bands("noise", quality["noise_uv"], NOISE_UV)
        groups += _bands("baseline wander", quality["baseline_mv"], BASELINE_MV)
    groups += _values("device", records["device"])
    groups += _values("site", records["site"])
    return [group for group in groups if group.members.any()]


def cohort_subgroups(records: pd.DataFrame) -> list[Subgroup]:
    """The same of some rows of a cohort's table: sex, age, source and device."""
    groups = [*_sexes(records), *_bands("age", records["age"], AGE_BANDS)]
    groups += [group for kind in ("source", "device") for group in _values(kind, records[kind])]
    # One that holds all says nothing.
    return [group for group in groups if group.members.any() and not group.members.all()]


def _sexes(records: pd.DataFrame) -> list[Subgroup]:
    sex = records["sex"].to_numpy(dtype=np.float64, na_value=np.nan)
    members = {"male": sex == 0, "female": sex == 1, "unknown": np.isnan(sex)}
    return [Subgroup("sex", name, inside) for name, inside in members.items()]


def _bands(kind: str, values: pd.Series, bands: Mapping[str, tuple[float, float]]) -> list[Subgroup]:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    found = [
        Subgroup(kind, name, np.asarray((numbers >= low) & (numbers < high))) for name, (low, high) in bands.items()
    ]
    return [*found, Subgroup(kind, "unknown", np.asarray(np.isnan(numbers)))]


def _values(kind: str, values: pd.Series) -> list[Subgroup]:
    """A subgroup per value, the most frequent first; those under ``FEWEST_RECORDS`` go together."""
    text = np.array(["unknown" if pd.isna(value) else _plain(value) for value in values])
    names, counts = np.unique(text, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    large = [str(names[k]) for k in order if counts[k] >= FEWEST_RECORDS]
    rest = np.asarray(~np.isin(text, large))
    small = len(names) - len(large)
    others = [Subgroup(kind, f"{small} others" if small > 1 else "1 other", rest)] if small else []
    return [*(Subgroup(kind, name, np.asarray(text == name)) for name in large), *others]


def _plain(value: object) -> str:
    """A device or site as short text that may stand in the name of a metric."""
    text = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return "".join(letter if letter.isalnum() or letter in " .-_" else "-" for letter in text)


def signal_quality(store_folder: Path, ecg_ids: Sequence[int]) -> pd.DataFrame | None:
    """``noise_uv`` and ``baseline_mv`` of records, as ingestion measured them; ``None`` where it left none."""
    if not (store_folder / QUALITY_FILE).is_file():
        return None
    table = pd.read_parquet(store_folder / QUALITY_FILE, columns=["ecg_id", "noise_uv", "baseline_mv"])
    return table.drop_duplicates("ecg_id").set_index("ecg_id").reindex(list(ecg_ids)).reset_index(drop=True)


def evaluate_subgroups(
    groups: Sequence[Subgroup],
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    patients: NDArray[Any],
    weights: NDArray[np.int16],
) -> list[SubgroupResult]:
    """AUROC of every subgroup with its interval.

    Args:
        groups: of the rows of ``labels``.
        labels: ``(record, class)`` of 0 and 1; NaN where it is not known, which counts for no figure of the class.
        probabilities: same shape.
        patients: ``(record,)``.
        weights: ``(replicate, record)`` of ``patient_weights``: the same draws as for all rows.
    """
    results = []
    for group in groups:
        inside = group.members
        y, p = labels[inside], probabilities[inside]
        counts, known = (
            dict(zip(SUPERCLASSES, found.sum(axis=0).tolist(), strict=True)) for found in (y == 1, ~np.isnan(y))
        )
        suppressed = _suppressed(len(y), counts, known)
        shown = [k for k, name in enumerate(SUPERCLASSES) if f"auroc/{name}" not in suppressed]
        compute = partial(_areas, y[:, shown], p[:, shown], [SUPERCLASSES[k] for k in shown])
        found = estimates(compute, weights[:, inside]) if shown else {}
        if "macro_auroc" in suppressed:
            found.pop("macro_auroc", None)
        members = len(y), len(np.unique(patients[inside]))
        results.append(SubgroupResult(group.kind, group.name, *members, counts, found, suppressed))
    return results


def _suppressed(records: int, positives: Mapping[str, int], known: Mapping[str, int]) -> dict[str, str]:
    if records < FEWEST_RECORDS:
        reason = f"{records} records; {FEWEST_RECORDS} are needed"
        return dict.fromkeys(("macro_auroc", *(f"auroc/{label}" for label in positives)), reason)
    reasons = {}
    for label, count in positives.items():
        if min(count, known[label] - count) < FEWEST_CASES:
            reason = f"{count} of {known[label]} records have {label}; {FEWEST_CASES} with it and without it are needed"
            reasons[f"auroc/{label}"] = reason
            reasons.setdefault("macro_auroc", reason)
    return reasons


def _areas(
    labels: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str], weights: NDArray[np.int16] | None
) -> dict[str, NDArray[np.float64]]:
    known = ~np.isnan(labels)
    found = {
        f"auroc/{name}": auroc(
            labels[known[:, k], k : k + 1],
            probabilities[known[:, k], k : k + 1],
            None if weights is None else weights[:, known[:, k]],
        )[..., 0]
        for k, name in enumerate(classes)
    }
    return found | {"macro_auroc": np.asarray(np.mean(list(found.values()), axis=0))}


MEASURES: tuple[Measure, ...] = ("sensitivity", "specificity")


@dataclass(frozen=True)
class PartDecisions:
    """How often decisions are right in a part of the patients.

    Attributes:
        name: ``18 to 39``, ``female``.
        records: how many.
        shares: ``sensitivity/MI`` and so on; without those of fewer than ``FEWEST_CASES`` recordings.
    """

    name: str
    records: int
    shares: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        shares = {name: share.to_dict() for name, share in self.shares.items()}
        return {"name": self.name, "records": self.records, "shares": shares}


def parts(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Name of a part -> ``(record,)`` its members; ``table`` has the columns ``age`` and ``sex``."""
    groups = [*_bands("age", table["age"], DECISION_AGES), *_sexes(table)]
    return {group.name: group.members for group in groups if group.name != "unknown"}


def share_right(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float, measure: Measure, weights: NDArray[np.int16] | None
) -> tuple[int, Estimate]:
    """How many recordings a measure of one class is of, and its value; NaN of fewer than ``FEWEST_CASES``.

    Args:
        labels: ``(record,)`` of 0, 1 and NaN.
        probabilities: ``(record,)``, calibrated.
        threshold: at and above which the class is reported.
        measure: sensitivity or specificity.
        weights: ``(replicate, record)`` of ``patient_weights``; ``None``: no interval.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    those = y == (measure == "sensitivity")
    if those.sum() < FEWEST_CASES:
        return int(those.sum()), Estimate(math.nan)
    truth, of_class = y[those][:, np.newaxis], p[those][:, np.newaxis]

    def rate(drawn: NDArray[np.int16] | None) -> dict[str, Any]:
        return {measure: MetricInput(truth, of_class, [threshold], drawn).rates[measure][..., 0]}

    return int(those.sum()), estimates(rate, None if weights is None else weights[:, those])[measure]


def decisions_by_part(
    table: pd.DataFrame,
    labels: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    weights: NDArray[np.int16],
    *,
    thresholds: Sequence[float] | NDArray[np.float64],
) -> list[PartDecisions]:
    """Sensitivity and specificity of every class by age and by sex.

    Args:
        table: with the columns ``age`` and ``sex``.
        labels: ``(record, class)`` of 0, 1 and NaN.
        probabilities: same shape, calibrated.
        weights: ``(replicate, record)`` of ``patient_weights``.
        thresholds: one per class.
    """
    found = []
    for name, members in parts(table).items():
        shares = {}
        for k, superclass in enumerate(SUPERCLASSES):
            for measure in MEASURES:
                y, p = labels[members, k], probabilities[members, k]
                _, share = share_right(y, p, float(thresholds[k]), measure, weights[:, members])
                if np.isfinite(share.value):
                    shares[f"{measure}/{superclass}"] = share
        if members.any():
            found.append(PartDecisions(name, int(members.sum()), shares))
    return found
