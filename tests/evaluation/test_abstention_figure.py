"""The figure shows the curves that were computed, and where each band leaves its class."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.decisions import Decision
from leadwise.evaluation.thresholds import RECORD, coverage_risk
from leadwise.reports.curve_figures import CLASS_COLOURS, LEAST_COVERAGE, coverage_risk_figure


def test_the_curves_and_the_dots_are_those_of_the_decision() -> None:
    generator = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-generator.normal(-1, 2, (600, 5))))
    y = (generator.random(p.shape) < p).astype(float)
    decision = Decision.choose(y, p)
    calibrated = decision.calibration.apply(p)
    figure = coverage_risk_figure(y, calibrated, decision.thresholds, decision.uncertain, title="Here")
    assert type(figure) is Figure
    curves = coverage_risk(y, calibrated, list(decision.thresholds.values()))
    left, right = figure.axes
    for name in SUPERCLASSES:
        line, dot = (one for one in left.lines if one.get_color() == CLASS_COLOURS[name])
        shown = curves[name].coverage >= LEAST_COVERAGE
        np.testing.assert_allclose(line.get_ydata(), curves[name].risk[shown])
        assert float(dot.get_xdata()[0]) == pytest.approx(0.9, abs=0.01)
        assert f"AURC {curves[name].aurc:.3f}" in str(line.get_label())
    np.testing.assert_allclose(right.lines[0].get_ydata()[-1], curves[RECORD].full_risk)
    assert figure.get_suptitle() == "Here"
