"""What a leaking input is worth: the stage of infarction alone, which only a diagnosed infarction has.

``infarction_stadium1`` and ``infarction_stadium2`` are "only set to a value if at least one statement belongs to the
superclass MI" (Wagner et al., Scientific Data 2020, 7:154, table 11), so whether they are set says what is to be found.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Interval, bootstrap_intervals
from leadwise.evaluation.metrics import auroc

STADIUM_COLUMNS = ("infarction_stadium1", "infarction_stadium2")
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
        interval: 95 %, patients resampled.
    """

    records: int
    positives: int
    present: int
    present_positives: int
    auroc: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Part of ``leak.json``."""
        return {
            "finding": FINDING,
            "records": self.records,
            "positives": self.positives,
            "with_stadium": self.present,
            "with_stadium_and_finding": self.present_positives,
            "auroc": self.auroc if np.isfinite(self.auroc) else None,
            "interval": self.interval.bounds(),
        }


def stadium_alone(records: pd.DataFrame, weights: NDArray[np.int16]) -> StadiumLeak:
    """The AUROC of infarction by whether one of ``STADIUM_COLUMNS`` is set.

    Args:
        records: rows of ``Store.records``.
        weights: ``(replicate, record)`` of ``patient_weights`` for these rows.
    """
    present = records[list(STADIUM_COLUMNS)].notna().any(axis=1).to_numpy()
    has_it = records[list(SUPERCLASSES)][FINDING].to_numpy(dtype=bool)
    compute = partial(_area, has_it, present)
    return StadiumLeak(
        records=len(records),
        positives=int(has_it.sum()),
        present=int(present.sum()),
        present_positives=int((present & has_it).sum()),
        auroc=float(compute(None)["auroc"]),
        interval=bootstrap_intervals(compute, weights)["auroc"],
    )


def _area(
    has_it: NDArray[np.bool_], present: NDArray[np.bool_], weights: NDArray[np.int16] | None
) -> dict[str, NDArray[np.float64]]:
    return {"auroc": auroc(has_it[:, None], present[:, None], weights)[..., 0]}
