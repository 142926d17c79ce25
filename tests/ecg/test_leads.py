import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.ecg.leads import (
    INDEPENDENT_COLUMNS,
    INDEPENDENT_LEADS,
    RecordingError,
    arrange_leads,
    canonical_leads,
)


@pytest.fixture
def electrodes() -> dict[str, np.ndarray]:
    """Potentials of the electrodes on the right arm, left arm and left leg, in mV."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=500) for name in ("RA", "LA", "LL", *LEADS[6:])}


@pytest.fixture
def twelve(electrodes: dict[str, np.ndarray]) -> np.ndarray:
    """The 12 leads by their definition from electrodes: ``(500, 12)``."""
    right, left, leg = electrodes["RA"], electrodes["LA"], electrodes["LL"]
    limb = [left - right, leg - right, leg - left]
    augmented = [right - (left + leg) / 2, left - (right + leg) / 2, leg - (right + left) / 2]
    return np.stack([*limb, *augmented, *(electrodes[name] for name in LEADS[6:])], axis=1)


def test_four_leads_are_computed_as_electrodes_define_them(twelve: np.ndarray) -> None:
    eight = twelve[:, INDEPENDENT_COLUMNS]
    arranged, computed = arrange_leads(eight, INDEPENDENT_LEADS)
    np.testing.assert_allclose(arranged, twelve, atol=1e-12)
    assert computed == ("III", "aVR", "aVL", "aVF")


@given(order=st.permutations(range(12)), upper=st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_order_and_case_gives_the_standard_order(order: list[int], upper: list[bool]) -> None:
    signal = np.arange(24.0).reshape(2, 12)
    names = [LEADS[k].upper() if big else f" {LEADS[k].lower()} " for k, big in zip(order, upper, strict=True)]
    arranged, computed = arrange_leads(signal[:, order], names)
    np.testing.assert_array_equal(arranged, signal)
    assert computed == ()


def test_a_given_limb_lead_is_kept_and_not_computed(twelve: np.ndarray) -> None:
    names = ("I", "II", "III", *LEADS[6:])
    arranged, computed = arrange_leads(twelve[:, [0, 1, 2, *range(6, 12)]], names)
    assert computed == ("aVR", "aVL", "aVF")
    np.testing.assert_array_equal(arranged[:, 2], twelve[:, 2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["I", "II", "X"], r"leads: position 2: unknown lead 'X'; allowed: I, II, III"),
        (["I", "II", "i"], r"leads: position 2: lead I is named twice"),
        (list(LEADS[:11]), r"leads: missing V6; needed"),
        ([], r"leads: missing I, II, V1"),
        (["y" * 5000], r"unknown lead text of 5000 characters"),
    ],
)
def test_names_that_are_not_allowed_are_named(names: list[str], message: str) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        canonical_leads(names)
    assert caught.value.field == "leads"
    assert len(str(caught.value)) < 200
