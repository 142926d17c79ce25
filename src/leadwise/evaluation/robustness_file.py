"""Robustness as files, so that models evaluated in different runs can be shown together, differences in pairs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from leadwise.evaluation.estimate import Estimate
from leadwise.evaluation.files import ROBUSTNESS_FILE, write_json
from leadwise.evaluation.robustness import UNDISTURBED, Robustness, RobustnessError
from leadwise.evaluation.robustness_levels import CURVES

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
