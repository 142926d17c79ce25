"""What was measured in two runs can be shown together as if it had been measured in one."""

import json
from pathlib import Path

import numpy as np
import pytest

from leadwise.evaluation.files import ROBUSTNESS_FILE
from leadwise.evaluation.metrics import Estimate
from leadwise.evaluation.robustness import (
    CURVES,
    REPLICATES_FILE,
    Robustness,
    RobustnessError,
    read_robustness,
    write_robustness,
)


def measured(seed: int) -> Robustness:
    rng = np.random.default_rng(seed)

    def areas() -> dict[str, Estimate]:
        return {
            "macro": Estimate(rng.uniform(0.7, 0.9), rng.uniform(0.7, 0.9, 30)),
            "HYP": Estimate(np.nan, np.full(30, np.nan)),
        }

    points = {curve.name: {level: areas() for level in curve.labels} for curve in CURVES}
    del points["duration"]["2.5"]
    return Robustness(50, 7, ("HYP",), areas(), points, {"duration": {"2.5": "too short"}}, CURVES)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    one = measured(1)
    write_robustness(one, tmp_path)
    assert json.loads((tmp_path / ROBUSTNESS_FILE).read_text()) == one.to_dict()
    read = read_robustness(tmp_path)
    assert (read.refused, read.left_out) == (one.refused, one.left_out)
    assert read.metrics() == pytest.approx(one.metrics(), abs=1e-6)
    drop, expected = read.drop("white_noise", "0.1"), one.drop("white_noise", "0.1")
    assert drop.interval.bounds() == pytest.approx(expected.interval.bounds(), abs=1e-6)


def test_without_replicates_there_is_no_interval_after_reading_either(tmp_path: Path) -> None:
    areas = {"macro": Estimate(0.8, np.empty(0))}
    points = {curve.name: dict.fromkeys(curve.labels, areas) for curve in CURVES}
    write_robustness(Robustness(5, 1, (), areas, points, {}, CURVES), tmp_path)
    assert read_robustness(tmp_path).mean().to_dict() == {"value": pytest.approx(0.8), "interval": [None, None]}


@pytest.mark.parametrize("name", [ROBUSTNESS_FILE, REPLICATES_FILE])
def test_a_file_that_is_absent_or_broken_is_named(name: str, tmp_path: Path) -> None:
    write_robustness(measured(1), tmp_path)
    (tmp_path / name).write_text("{}")
    with pytest.raises(RobustnessError, match="evaluate again"):
        read_robustness(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(RobustnessError, match=name):
        read_robustness(tmp_path)


def test_other_disturbances_than_todays_are_refused(tmp_path: Path) -> None:
    write_robustness(measured(1), tmp_path)
    content = json.loads((tmp_path / ROBUSTNESS_FILE).read_text())
    content["curves"][0]["levels"][0]["level"] = "0.03"
    (tmp_path / ROBUSTNESS_FILE).write_text(json.dumps(content))
    with pytest.raises(RobustnessError, match="other disturbances"):
        read_robustness(tmp_path)
