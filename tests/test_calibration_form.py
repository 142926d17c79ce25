"""What a calibration does to probabilities, and that its JSON gives back the same."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.special import logit as reference_logit

from leadwise.contract import SUPERCLASSES
from leadwise.decision import Calibration, DecisionError, logit, sigmoid

just_below, just_above = (float(np.nextafter(np.float32(0.5), np.float32(side))) for side in (0, 1))
probabilities = st.floats(0, 1, width=32) | st.sampled_from([0.0, just_below, 0.5, just_above, 1.0])
LINES = Calibration("per_class", (0.8, 1.2, 1.0, 2.5, 0.05), (-0.4, 0.3, 0.0, 5.0, -5.0))


@given(p=arrays(float, 30, elements=probabilities), temperature=st.floats(0.05, 20))
@settings(deadline=None)
def test_a_temperature_moves_no_decision_at_one_half(p: np.ndarray, temperature: float) -> None:
    calibration = Calibration.of_temperature(temperature, ("one",))
    np.testing.assert_array_equal(calibration.apply(p[:, None]) >= 0.5, p[:, None] >= 0.5)


def test_numbers_are_those_of_scipy() -> None:
    p = np.array([0.001, 0.2, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(logit(p), reference_logit(p), rtol=1e-12)
    np.testing.assert_allclose(sigmoid(logit(p)), p, rtol=1e-12)
    np.testing.assert_allclose(LINES.apply(p), expit(reference_logit(p) * LINES.slope + LINES.intercept), rtol=1e-12)
    np.testing.assert_allclose(Calibration.identity().apply(p), p, rtol=1e-12)
    assert np.isfinite(logit([0.0, 1.0])).all()
    assert sigmoid([-1e9, 1e9]).tolist() == [0, 1]


@pytest.mark.parametrize("calibration", [LINES, Calibration.of_temperature(1.7), Calibration.identity(("AFIB",))])
def test_json_gives_back_the_same(calibration: Calibration) -> None:
    content = json.loads(json.dumps({"thresholds": {}, **calibration.to_dict()}))
    assert Calibration.from_dict(content) == calibration


@pytest.mark.parametrize(
    ("slope", "intercept", "named"),
    [
        ((1.0, 1.0, 0.0, 1.0, 1.0), (0.0,) * 5, "slope 0.0 and intercept 0.0 for STTC"),
        ((1.0,) * 5, (0.0, float("nan"), 0.0, 0.0, 0.0), "intercept nan for MI"),
        ((1.0,) * 4, (0.0,) * 5, "4 slopes and 5 intercepts for 5 classes"),
    ],
)
def test_impossible_numbers_are_named(slope: tuple[float, ...], intercept: tuple[float, ...], named: str) -> None:
    with pytest.raises(DecisionError, match=named):
        Calibration("per_class", slope, intercept)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"temperature": 1.2},
        {"calibration": {"method": "magic", "slope": {"MI": 1}, "intercept": {"MI": 0}}},
        {"calibration": {"method": "none", "slope": {"MI": 1}, "intercept": {}}},
        {"calibration": {"method": "none", "slope": {"MI": "steep"}, "intercept": {"MI": 0}}},
    ],
)
def test_what_is_no_calibration_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(DecisionError, match="calibration: received"):
        Calibration.from_dict(content)


def test_a_temperature_is_above_0() -> None:
    with pytest.raises(DecisionError, match="temperature 0"):
        Calibration.of_temperature(0)
    assert Calibration.of_temperature(2).classes == SUPERCLASSES
