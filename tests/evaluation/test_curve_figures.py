"""The figures show what scikit-learn computes, name what is undefined, and can be saved."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.decisions import RECORD, Decision, coverage_risk
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
