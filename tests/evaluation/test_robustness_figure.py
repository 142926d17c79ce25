"""Figure and table of robustness show what was measured, side by side, and say what a model refuses."""

import io
import json
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.robustness import CURVES, Robustness, RobustnessError
from leadwise.reports.breakdown_figures import robustness_figure


def made(start: float, loss: float, *, refuses: str = "", seed: int = 1) -> dict[str, Any]:
    """As if measured: every level of a disturbance costs as much again."""
    noise = np.random.default_rng(0).normal(0, 0.01, 50)

    def areas(value: float) -> dict[str, Estimate]:
        return {"macro": Estimate(value, value + noise)}

    points = {
        curve.name: {
            level: areas(start - loss * (place + 1)) for place, level in enumerate(curve.labels) if level != refuses
        }
        for curve in CURVES
    }
    refused = {"duration": {refuses: "too short"}} if refuses else {}
    return json.loads(json.dumps(Robustness(80, seed, (), areas(start), points, refused, CURVES).to_dict()))


MODELS = {"fusion": made(0.93, 0.02), "fusion_augmented": made(0.92, 0.01)}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_lines_bands_and_dotted_lines_are_the_measured_values() -> None:
    figure = robustness_figure(MODELS)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [curve.title for curve in CURVES]
    for axes, curve in zip(panels, CURVES, strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == list(curve.labels)
        assert axes.get_xlabel() == curve.unit
        place = CURVES.index(curve)
        for (name, content), band in zip(MODELS.items(), axes.collections, strict=True):
            (line,) = (line for line in axes.lines if line.get_label() == name)
            expected = [level["auroc"]["macro"] for level in content["curves"][place]["levels"]]
            np.testing.assert_allclose(line.get_ydata(), [point["value"] for point in expected])
            vertical = np.concatenate([path.vertices[:, 1] for path in band.get_paths()])
            lows, highs = np.array([point["interval"] for point in expected]).T
            assert (vertical.min(), vertical.max()) == pytest.approx((lows.min(), highs.max()))
            dotted = [other.get_ydata()[0] for other in axes.lines if other.get_linestyle() == ":"]
            assert content["undisturbed"]["macro"]["value"] in dotted
    assert {"fusion", "fusion_augmented"} <= set(texts(figure))


def test_a_refused_level_is_a_gap_in_the_figure() -> None:
    models = {"fusion": made(0.93, 0.02, refuses="2.5"), "other": MODELS["fusion_augmented"]}
    figure = robustness_figure(models)
    panel = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Shorter recording")
    (line,) = (line for line in panel.lines if line.get_label() == "fusion")
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True]
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    assert buffer.tell() > 5_000


def test_models_tried_with_other_disturbances_are_not_put_together() -> None:
    with pytest.raises(RobustnessError, match=r"other: received 80 records with seed 2; allowed: .*seed 1"):
        robustness_figure({"fusion": MODELS["fusion"], "other": made(0.9, 0.01, seed=2)})
    with pytest.raises(RobustnessError, match="none"):
        robustness_figure({})
