"""Each simulated finding shows in the leads where a cardiologist looks for it; measured on clean recordings."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from leadwise.contract import LEADS, SUPERCLASSES, LeadwiseError
from leadwise.datasets.releases import STATEMENT_BY_CODE
from leadwise.datasets.synthetic import simulate_record
from leadwise.datasets.synthetic.recording import draw_body, simulate
from leadwise.datasets.synthetic.waveform import LEAD_FIELD
from leadwise.ecg.record import INDEPENDENT_COLUMNS

EDENBRANDT_PAHLM_1988 = np.array(
    [
        [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
        [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
        [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
    ]
)
"""The published inverse Dower matrix: x, y, z from V1 to V6, I and II."""

SEEDS = range(12)


def clean(code: str, seed: int, *, stage: str = "", rate_bpm: float = 70) -> np.ndarray:
    """Mean beat in mV, (100, 12), of a clean recording: the steepest point of QRS is at sample 30."""
    rng = np.random.default_rng(seed)
    codes = {code: 100.0}
    units = simulate(draw_body(rng), codes, rng, rate_bpm=rate_bpm, stage=stage, noise=0, strength=1.0)
    speed = steepness(units)
    beats = [units[peak - 30 : peak + 70] for peak in beats_of(speed) if 30 <= peak < 930]
    return np.mean(beats, axis=0) / 1000


def steepness(signal: np.ndarray) -> np.ndarray:
    independent = signal[:, INDEPENDENT_COLUMNS].astype(float)
    return np.linalg.norm(np.gradient(independent, axis=0), axis=1)


def beats_of(speed: np.ndarray) -> np.ndarray:
    return find_peaks(speed, height=0.4 * speed.max(), distance=25)[0]


def lead(beat: np.ndarray, name: str) -> np.ndarray:
    """One lead of a mean beat; a clean recording has its zero where the heart is at rest."""
    return beat[:, LEADS.index(name)]


def st_level(beat: np.ndarray, name: str) -> float:
    return float(lead(beat, name)[43:46].mean())


def typical(measure: Callable[[np.ndarray], float], code: str, *, stage: str = "") -> float:
    """Median of a measure over several bodies."""
    return float(np.median([measure(clean(code, seed, stage=stage)) for seed in SEEDS]))


def qrs_ms(beat: np.ndarray) -> float:
    speed = steepness(beat)[15:55]
    moving = np.flatnonzero(speed > 0.12 * speed.max())
    return 10.0 * (moving[-1] - moving[0])


def sokolow_lyon_mv(beat: np.ndarray) -> float:
    return max(lead(beat, "V5").max(), lead(beat, "V6").max()) - lead(beat, "V1").min()


def axis_deg(beat: np.ndarray) -> float:
    net = [lead(beat, name)[24:42].sum() for name in ("I", "aVF")]
    return float(np.degrees(np.arctan2(net[1] * 2 / np.sqrt(3), net[0])))


def test_lead_field_is_undone_by_the_published_inverse_dower_matrix() -> None:
    published_order = LEAD_FIELD[[2, 3, 4, 5, 6, 7, 0, 1]]
    np.testing.assert_allclose(EDENBRANDT_PAHLM_1988 @ published_order, np.eye(3), atol=0.02)


@pytest.mark.parametrize("superclass", SUPERCLASSES)
def test_limb_leads_obey_einthoven_and_goldberger_in_stored_units(superclass: str) -> None:
    units = np.rint(simulate_record(superclass, seed=5).signal_mv * 1000).astype(int)
    one, two, three, avr, avl, avf = units[:, :6].T
    assert (one + three == two).all()
    for derived, exact in ((avr, -(one + two) / 2), (avl, (one - three) / 2), (avf, (two + three) / 2)):
        assert np.abs(derived - exact).max() <= 0.5


@pytest.mark.parametrize("rate_bpm", [45, 60, 75, 100, 140])
def test_sinus_rhythm_beats_at_the_rate_asked_for(rate_bpm: int) -> None:
    for seed in range(4):
        peaks = beats_of(steepness(simulate_record("NORM", seed, rate_bpm=rate_bpm, noise=0).signal_mv))
        assert 6000 / np.diff(peaks).mean() == pytest.approx(rate_bpm, rel=0.05)


def test_atrial_fibrillation_is_irregular_and_has_no_p_wave() -> None:
    def spread(rhythm: str, seed: int) -> float:
        intervals = np.diff(beats_of(steepness(simulate_record(rhythm, seed, noise=0).signal_mv)))
        return float(intervals.std() / intervals.mean())

    assert min(spread("AFIB", seed) for seed in SEEDS) > max(spread("NORM", seed) for seed in SEEDS)


def late(beat: np.ndarray, name: str) -> np.ndarray:
    """The end of QRS in one lead."""
    return lead(beat, name)[32:42]


def early_mv(beat: np.ndarray, name: str) -> float:
    """The deepest of the beginning of QRS."""
    return float(lead(beat, name)[26:32].min())


@pytest.mark.parametrize(
    ("code", "measure", "low", "high"),
    [
        ("NORM", qrs_ms, 0, 100),
        ("CLBBB", qrs_ms, 120, 999),
        ("CRBBB", qrs_ms, 110, 999),
        ("NORM", lambda beat: late(beat, "V1").max(), -9, 0.1),
        ("CRBBB", lambda beat: late(beat, "V1").max(), 0.25, 9),
        ("CRBBB", lambda beat: late(beat, "V6").min(), -9, -0.2),
        ("NORM", axis_deg, 0, 80),
        ("LAFB", axis_deg, -180, -30),
        ("LPFB", axis_deg, 90, 180),
        ("LVH", sokolow_lyon_mv, 2.8, 99),
        ("RVH", lambda beat: lead(beat, "V1").max(), 0.5, 9),
        ("ISC_", lambda beat: st_level(beat, "V5"), -9, -0.04),
        ("ISC_", lambda beat: lead(beat, "V5")[50:66].mean(), -9, 0),
        ("NORM", lambda beat: lead(beat, "V5")[50:66].mean(), 0.05, 9),
    ],
)
def test_a_finding_shows_where_it_is_looked_for(
    code: str, measure: Callable[[np.ndarray], float], low: float, high: float
) -> None:
    assert low <= typical(measure, code) <= high


def test_hypertrophy_raises_sokolow_lyon_voltage_and_strains_lateral_st() -> None:
    assert typical(sokolow_lyon_mv, "LVH") > 1.3 * typical(sokolow_lyon_mv, "NORM")
    assert typical(lambda beat: st_level(beat, "V6"), "LVH") < typical(lambda beat: st_level(beat, "V6"), "NORM")


@pytest.mark.parametrize(("code", "raised", "lowered"), [("IMI", "III", "aVL"), ("LMI", "aVL", "III")])
def test_fresh_infarction_raises_st_and_cuts_q_in_its_territory(code: str, raised: str, lowered: str) -> None:
    assert typical(lambda beat: st_level(beat, raised), code, stage="Stadium I") > 0.1
    assert typical(lambda beat: st_level(beat, lowered), code, stage="Stadium I") < -0.05
    old = typical(lambda beat: early_mv(beat, raised), code, stage="Stadium III")
    assert old < typical(lambda beat: early_mv(beat, raised), "NORM") - 0.1


@settings(max_examples=15, deadline=None)
@given(
    codes=st.lists(st.sampled_from(list(STATEMENT_BY_CODE)), min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_combination_of_statements_gives_a_plausible_recording(codes: list[str], seed: int) -> None:
    record = simulate_record(codes, seed)
    assert record.signal_mv.shape == (1000, 12)
    assert record.signal_mv.dtype == np.float32
    assert np.isfinite(record.signal_mv).all()
    assert 0.2 < np.abs(record.signal_mv).max() < 16


def test_same_seed_same_recording() -> None:
    first, again, other = (simulate_record("MI", seed) for seed in (3, 3, 4))
    assert np.array_equal(first.signal_mv, again.signal_mv)
    assert first.patient == again.patient
    assert not np.array_equal(first.signal_mv, other.signal_mv)


def test_errors_name_what_was_received_and_what_is_allowed() -> None:
    with pytest.raises(LeadwiseError, match=r"pathology: received 'FLU'; allowed: NORM, MI, STTC, CD, HYP or an SCP"):
        simulate_record("FLU", 1)
    with pytest.raises(LeadwiseError, match="rate_bpm: received 900; allowed: 25 to 220"):
        simulate_record("NORM", 1, rate_bpm=900)
