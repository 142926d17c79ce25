"""Evaluated models against each other on the same rows: differences with intervals, patients resampled in pairs.

And against what is published, and against an input that leaks the diagnosis: ``infarction_stadium1`` and
``infarction_stadium2`` are "only set to a value if at least one statement belongs to the superclass MI" (Wagner et al.,
Scientific Data 2020, 7:154, table 11), so whether they are set says what is to be found.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, TEST_FOLD, FeatureSet, LeadwiseError
from leadwise.evaluation import DECISION_FILE, METRICS_FILE, PREDICTIONS_FILE
from leadwise.evaluation.bootstrap import Estimate, estimates, finite, patient_weights
from leadwise.evaluation.metrics import METRICS, all_metrics, auroc, metric_names
from leadwise.features import FEATURES
from leadwise.models.spec import MODELS

COMPARED = ("macro_auroc", "binary_accuracy", "chosen/macro_f1")
"""What a table of comparisons shows: accuracy of decisions at 0.5, F1 at the thresholds chosen on fold 9."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left of one model on fold 10.

    Attributes:
        feature_set: ``clinical`` or ``original``.
        model: its name.
        digest: of the data.
        ecg_ids: ``(record,)``.
        patients: ``(record,)``.
        labels: ``(record, 5)`` of 0 and 1.
        probabilities: calibrated, same shape.
        thresholds: ``(5,)`` chosen on fold 9.
        workspace: name of the workspace, if it is not the one that is reported on.
    """

    feature_set: str
    model: str
    digest: str
    ecg_ids: NDArray[np.int64]
    patients: NDArray[np.int64]
    labels: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    workspace: str = ""

    @classmethod
    def read(cls, folder: Path, workspace: str = "") -> "Evaluated":
        """Read an evaluation's folder.

        Raises:
            LeadwiseError: a file is absent or unreadable.
        """
        try:
            metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
            decision = json.loads((folder / DECISION_FILE).read_text(encoding="utf-8"))
            table = pd.read_parquet(folder / PREDICTIONS_FILE, filters=[("strat_fold", "==", TEST_FOLD)])
            thresholds = np.array([decision["thresholds"][name] for name in SUPERCLASSES])
            y, p = (table[[f"{kind}_{name}" for name in SUPERCLASSES]].to_numpy(np.float64) for kind in "yp")
        except (OSError, ValueError, KeyError) as error:
            raise LeadwiseError(f"{folder}: no whole evaluation ({error}); run the evaluate stage again") from None
        return cls(
            feature_set=metrics["feature_set"],
            model=metrics["model"],
            digest=metrics["digest"],
            ecg_ids=table["ecg_id"].to_numpy(),
            patients=table["patient_id"].to_numpy(),
            labels=y,
            probabilities=p,
            thresholds=thresholds,
            workspace=workspace,
        )

    @cached_property
    def name(self) -> str:
        """Feature set and model, and the workspace where that is another one: ``clinical fusion``."""
        return f"{self.feature_set} {self.model}" + (f" ({self.workspace})" if self.workspace else "")

    def same_rows(self, other: "Evaluated") -> bool:
        """Whether both were evaluated on the same records of the same data."""
        return self.digest == other.digest and np.array_equal(self.ecg_ids, other.ecg_ids)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        first, second: what was evaluated of them.
        differences: metric -> first minus second, with paired replicates.
    """

    first: Evaluated
    second: Evaluated
    differences: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``comparisons.json``."""
        differences = {
            name: {**found.to_dict(), "above_zero": finite(above_zero(found))}
            for name, found in self.differences.items()
        }
        records = len(self.first.ecg_ids)
        return {"first": self.first.name, "second": self.second.name, "records": records, "differences": differences}


def find_evaluated(workspace: Path, *others: Path) -> list[Evaluated]:
    """Every evaluated model of a workspace, then those of other workspaces."""
    found = []
    for place in dict.fromkeys((workspace, *others)):
        for feature_set in get_args(FeatureSet):
            for model in MODELS:
                folder = place / "evaluation" / feature_set / model
                if (folder / METRICS_FILE).is_file():
                    found.append(Evaluated.read(folder, "" if place == workspace else place.name))
    return found


def compare_all(models: Sequence[Evaluated], *, replicates: int, seed: int) -> list[Comparison]:
    """Every pair of models that were evaluated on the same rows, in the order given.

    Args:
        models: what was evaluated.
        replicates: of the bootstrap over patients.
        seed: of the bootstrap; all models see the same draws.
    """
    found = [
        estimates(partial(compared_metrics, model), patient_weights(model.patients, replicates, seed))
        for model in models
    ]
    return [
        Comparison(models[i], models[j], {name: found[i][name] - found[j][name] for name in found[i]})
        for i, j in combinations(range(len(models)), 2)
        if models[i].same_rows(models[j]) and _belong_together(models[i], models[j])
    ]


def _belong_together(one: Evaluated, other: Evaluated) -> bool:
    """Every pair within this workspace; with another workspace only models of the same name."""
    if one.workspace and other.workspace:
        return False
    return one.workspace == other.workspace or one.model == other.model


def above_zero(difference: Estimate) -> float:
    """Share of the replicates in which the first model has more; NaN where none is defined."""
    defined = difference.replicates[np.isfinite(difference.replicates)]
    return float((defined > 0).mean()) if len(defined) else np.nan


def compared_metrics(model: Evaluated, weights: NDArray[np.int16] | None) -> dict[str, NDArray[np.float64]]:
    """What is compared, each ``()`` or ``(replicate,)``: AUROC, and accuracy and F1 at 0.5 and as chosen."""
    shown = [METRICS[name] for name in ("auroc", "binary_accuracy", "f1")]
    found = all_metrics(model.labels, model.probabilities, weights, thresholds=model.thresholds, metrics=shown)
    known = metric_names()
    return {name: values for name, values in found.items() if name.startswith("auroc/") or not known[name].label}


STADIUM_COLUMNS = tuple(one.name for one in FEATURES.values() if one.leaks)
FINDING = "MI"


@dataclass(frozen=True)
class StadiumLeak:
    """How well the mere presence of a stage tells infarction, without any recording or model.

    Attributes:
        records: rows looked at.
        positives: of these, with infarction.
        present: of these, with a stage.
        present_positives: with both.
        auroc: of infarction by presence; NaN where undefined.
    """

    records: int
    positives: int
    present: int
    present_positives: int
    auroc: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Part of ``leak.json``."""
        found = self.auroc.to_dict()
        return {
            "finding": FINDING,
            "records": self.records,
            "positives": self.positives,
            "with_stadium": self.present,
            "with_stadium_and_finding": self.present_positives,
            "auroc": found["value"],
            "interval": found["interval"],
        }


def stadium_alone(records: pd.DataFrame, weights: NDArray[np.int16]) -> StadiumLeak:
    """The AUROC of infarction by whether one of ``STADIUM_COLUMNS`` is set.

    Args:
        records: rows of ``Store.records``.
        weights: ``(replicate, record)`` of ``patient_weights`` for these rows.
    """
    present = records[list(STADIUM_COLUMNS)].notna().any(axis=1).to_numpy()
    has_it = records[FINDING].to_numpy(dtype=bool)
    found = estimates(lambda drawn: {"auroc": auroc(has_it[:, None], present[:, None], drawn)[..., 0]}, weights)
    counts = len(records), int(has_it.sum()), int(present.sum()), int((present & has_it).sum())
    return StadiumLeak(*counts, found["auroc"])


FOLD_10_ROWS: Mapping[str, tuple[int, ...]] = {"1.0.1": (2203, 2198), "1.0.2": (2198,), "1.0.3": (2198,)}
"""Rows of fold 10 by release, all of them; release 1.0.1 without the records that 1.0.2 dropped as well."""


PUBLISHED: Mapping[str, float] = {
    "ECGFounder, pretrained on ten million ECGs and fine-tuned": 0.9347,
    "ECG-CPC, pretrained and fine-tuned": 0.9336,
    "S4, from scratch": 0.9320,
    "resnet1d_wang, from scratch (Strodthoff et al. 2021, doi:10.1109/JBHI.2020.3022989)": 0.930,
    "xresnet1d101, from scratch (the same)": 0.928,
}
"""Published macro AUROC over the five superclasses on fold 10. Figures with checkpoints or thresholds picked on fold 10
itself, or on a part of its rows, are left out."""

STATEMENTS_MACRO_AUROC = (0.925, 0.942)
"""Over all 71 statements."""


def comparable(manifest: Mapping[str, Any], rows: Mapping[str, int]) -> bool:
    """Whether an evaluation is on all rows of fold 10 of a release of PTB-XL."""
    return not manifest["simulated"] and rows["test"] in FOLD_10_ROWS.get(manifest["release"], ())


def published_line() -> str:
    """The published figures in one sentence."""
    figures = "; ".join(f"{area:g} {model}" for model, area in PUBLISHED.items())
    return f"Published on fold 10, macro AUROC: {figures}."
