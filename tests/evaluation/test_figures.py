"""Figures show what was measured, name what is undefined or refused, and can be saved."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.releases import STATEMENT_TABLE
from leadwise.evaluation.bootstrap import Estimate
from leadwise.evaluation.decisions import RECORD, Decision, coverage_risk
from leadwise.evaluation.robustness import CURVES, Robustness
from leadwise.evaluation.subgroups import SubgroupResult
from leadwise.reports.breakdown_figures import robustness_figure, statement_figure, subgroup_figure
from leadwise.reports.figures import (
    CLASS_COLOURS,
    LEAST_COVERAGE,
    confusion_figure,
    coverage_risk_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
)

generator = np.random.default_rng(0)
LABELS = (generator.random((200, 5)) < 0.3).astype(np.float32)
PROBABILITIES = 1 / (1 + np.exp(-(generator.normal(size=(200, 5)) + 2 * LABELS - 1)))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def curve(figure: Figure, name: str) -> tuple[np.ndarray, np.ndarray]:
    (line,) = (line for line in figure.axes[0].lines if str(line.get_label()).startswith(f"{name} "))
    assert line.get_color() == CLASS_COLOURS[name]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


@pytest.mark.parametrize("name", SUPERCLASSES)
def test_the_area_below_a_drawn_curve_is_the_metric(name: str) -> None:
    y, p = LABELS[:, SUPERCLASSES.index(name)], PROBABILITIES[:, SUPERCLASSES.index(name)]
    assert auc(*curve(roc_figure(LABELS, PROBABILITIES), name)) == pytest.approx(roc_auc_score(y, p))
    figure = pr_figure(LABELS, PROBABILITIES)
    recall, precision = curve(figure, name)
    assert -(np.diff(recall) * precision[:-1]).sum() == pytest.approx(average_precision_score(y, p))
    assert f"{name}  AP {average_precision_score(y, p):.3f}" in texts(figure)


def test_a_class_with_one_value_is_named_and_not_drawn() -> None:
    labels = LABELS.copy()
    labels[:, 4] = 0
    for figure in (roc_figure(labels, PROBABILITIES), pr_figure(labels, PROBABILITIES)):
        assert "HYP  undefined: one value only" in texts(figure)


def test_confusion_counts_stand_in_the_figure() -> None:
    shown = texts(confusion_figure(LABELS, PROBABILITIES, [0.1, 0.3, 0.5, 0.7, 0.9]))
    counts = [int(text.replace(",", "")) for text in shown if text.replace(",", "").isdigit()]
    assert sum(counts) == 5 * 200
    assert "decision (at 0.900)" in shown


def test_reliability_points_are_means_of_equal_bins() -> None:
    figure = reliability_figure(LABELS, PROBABILITIES**2, PROBABILITIES)
    line = figure.axes[0].containers[1].lines[0]
    order = np.argsort(PROBABILITIES.ravel(), kind="stable").reshape(10, -1)
    np.testing.assert_allclose(line.get_xdata(), PROBABILITIES.ravel()[order].mean(axis=1))
    np.testing.assert_allclose(line.get_ydata(), LABELS.ravel()[order].mean(axis=1), rtol=1e-6)


def test_every_figure_can_be_saved_even_of_one_record() -> None:
    for y, p in ((LABELS, PROBABILITIES), (LABELS[:1], PROBABILITIES[:1])):
        for figure in (roc_figure(y, p), pr_figure(y, p), reliability_figure(y, p, p), confusion_figure(y, p)):
            buffer = io.BytesIO()
            figure.savefig(buffer, dpi=50)
            assert buffer.tell() > 2_000


def test_the_curves_and_the_dots_are_those_of_the_decision() -> None:
    generator = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-generator.normal(-1, 2, (600, 5))))
    y = (generator.random(p.shape) < p).astype(float)
    decision = Decision.choose(y, p)
    calibrated = decision.calibration.apply(p)
    figure = coverage_risk_figure(y, calibrated, decision.used.thresholds, decision.used.uncertain, title="Here")
    assert type(figure) is Figure
    curves = coverage_risk(y, calibrated, list(decision.used.thresholds.values()))
    left, right = figure.axes
    for name in SUPERCLASSES:
        line, dot = (one for one in left.lines if one.get_color() == CLASS_COLOURS[name])
        shown = curves[name].coverage >= LEAST_COVERAGE
        np.testing.assert_allclose(line.get_ydata(), curves[name].risk[shown])
        assert float(dot.get_xdata()[0]) == pytest.approx(0.9, abs=0.01)
        assert f"AURC {curves[name].aurc:.3f}" in str(line.get_label())
    np.testing.assert_allclose(right.lines[0].get_ydata()[-1], curves[RECORD].full_risk)
    assert figure.get_suptitle() == "Here"


def made(start: float, loss: float, *, refuses: str = "", seed: int = 1) -> dict[str, Any]:
    """As if measured: every level of a corruption costs as much again."""
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
    FigureCanvasAgg(figure).draw()


def test_models_tried_with_other_corruptions_are_not_put_together() -> None:
    with pytest.raises(LeadwiseError, match=r"other: received 80 records with seed 2; allowed: .*seed 1"):
        robustness_figure({"fusion": MODELS["fusion"], "other": made(0.9, 0.01, seed=2)})


TOLD = ("AFIB", "PACE", "LAFB", "VCLVH")


def content(*, intervals: bool = True, told: tuple[str, ...] = TOLD) -> dict[str, Any]:
    """What ``statements.json`` holds, as far as the figure reads it."""
    entries = []
    for k, statement in enumerate(STATEMENT_TABLE):
        area = {"value": 0.9 + k / 1000, "low": 0.62, "high": 0.99} if intervals else {"value": 0.95, "low": None}
        entries.append(
            {
                "code": statement.code,
                "name": statement.name,
                "group": statement.group,
                "trusted": statement.code in told,
                "reason": None if statement.code in told else "3 records have it",
                "positives": {"test": 1000 + k},
                "test": {"auroc": area, "auprc": {"value": 0.5}},
            }
        )
    macro = {"statements": 68, "value": 0.93, "low": 0.92 if intervals else None, "high": 0.94}
    return {"statements": entries, "macro_auroc": {"all": macro}}


def test_told_statements_stand_with_their_figures_and_the_others_by_name() -> None:
    figure = statement_figure(content(), title="Statements of fusion")
    found = texts(figure)
    assert {"atrial fibrillation", "paced rhythm", "left anterior fascicular block"} <= set(found)
    for heading in ("Diagnoses: 1 of 44 reported", "Form of the waves: 1 of 15 reported", "Rhythm: 2 of 12 reported"):
        assert heading in found
    below = " ".join(found)
    assert all(s.name in below for s in STATEMENT_TABLE)
    assert "68 statements with a positive, 0.930 [0.920, 0.940]" in figure.axes[0].get_xlabel()
    # Best first: PACE stands behind AFIB among the statements, so its AUROC is higher here.
    assert found.index("paced rhythm") < found.index("atrial fibrillation")


def undefined() -> Mapping[str, Any]:
    found = content(told=("AFIB",))
    for entry in found["statements"]:
        entry["test"]["auroc"] = {"value": None, "low": None, "high": None}
    found["macro_auroc"]["all"] = {"statements": 0, "value": None, "low": None, "high": None}
    return found


@pytest.mark.parametrize("given", [content(told=()), content(intervals=False), undefined()])
def test_few_or_undefined_figures_still_make_a_figure(given: Mapping[str, Any]) -> None:
    canvas = FigureCanvasAgg(statement_figure(given))
    canvas.draw()
    assert np.asarray(canvas.buffer_rgba()).std() > 0


def test_the_forest_plot_has_a_row_for_every_subgroup() -> None:
    area = Estimate(0.8, np.linspace(0.7, 0.9, 100))
    groups = [
        SubgroupResult("a", name, records, records, {}, found, {})
        for name, records, found in (("b", 400, {"macro_auroc": area}), ("c", 20, {}))
    ]
    axes = subgroup_figure(groups, area).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()][1:] == ["b", "c"]
    assert [text.get_text() for text in axes.texts] == ["400", "20", "too few to say"]
