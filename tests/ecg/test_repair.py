"""What is taken out of a recording before it is scored: leads without an electrode, hum, wander; and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.ecg.assessment import Assessment, assess
from leadwise.ecg.record import RecordingError, build_recording, resample
from leadwise.serving.scorer import Scorer


def looked_at(signal_mv: np.ndarray, fs_hz: float = 100) -> Assessment:
    return assess(build_recording(signal_mv, fs_hz=fs_hz, order="time_lead"))


def flags(assessed: Assessment) -> dict[str, tuple[str, ...]]:
    return {flag.name: flag.leads for flag in assessed.flags}


def asked(scorer: Scorer, signal_mv: np.ndarray, fs_hz: float = 100) -> dict[str, Any]:
    (answer,) = scorer.score([{"signal": signal_mv, "fs_hz": fs_hz, "order": "time_lead"}])
    assert "error" not in answer, answer
    return answer


def test_what_is_not_flagged_stays_bit_for_bit(ecg_mv: np.ndarray) -> None:
    assessed = looked_at(ecg_mv)
    assert not assessed.flags
    assert not assessed.repaired
    np.testing.assert_array_equal(assessed.record.signal_mv, ecg_mv)


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "at a rail": lambda lead: np.full_like(lead, 80.0),
    "at a rail in part": lambda lead: np.where(np.arange(len(lead)) < 50, np.float32(-81.9), lead),
    "between rails": lambda lead: np.sign(np.sin(np.arange(len(lead)) / 7)).astype(np.float32) * 70,
    "still at a level": lambda lead: np.full_like(lead, 3.3),
    "stops": lambda lead: np.where(np.arange(len(lead)) < 600, np.float32(0.2), lead),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_chest_lead_that_is_off_is_named_and_silenced(ecg_mv: np.ndarray, fault: str) -> None:
    ecg_mv[:, 7] = FAULTS[fault](ecg_mv[:, 7])
    assessed = looked_at(ecg_mv)
    assert flags(assessed) == {"electrode_off": ("V2",)}
    assert assessed.silent == ("V2",)
    assert not assessed.record.signal_mv[:, 7].any()
    others = [k for k in range(12) if k != 7]
    np.testing.assert_array_equal(assessed.record.signal_mv[:, others], ecg_mv[:, others])


@pytest.mark.parametrize("lead", LEADS[:6])
def test_a_limb_lead_that_is_off_is_computed_from_the_others(scorer: Scorer, ecg_mv: np.ndarray, lead: str) -> None:
    clean = asked(scorer, ecg_mv)
    faulty, column = ecg_mv.copy(), LEADS.index(lead)
    faulty[:, column] = 80
    assessed = looked_at(faulty)
    assert flags(assessed) == {"electrode_off": (lead,)}
    assert f"computed from the other limb leads: {lead}" in assessed.flags[0].detail
    assert not assessed.silent
    np.testing.assert_allclose(assessed.record.signal_mv, ecg_mv, atol=0.003)
    answer = asked(scorer, faulty)
    for name in SUPERCLASSES:
        assert answer["probabilities"][name] == pytest.approx(clean["probabilities"][name], abs=0.01)


def test_leads_that_were_computed_from_one_that_is_off_are_computed_again(ecg_mv: np.ndarray) -> None:
    ecg_mv[:, 0] = 80
    names = ("I", "II", "III", *LEADS[6:])
    assessed = assess(build_recording(ecg_mv[:, [0, 1, 2, *range(6, 12)]], fs_hz=100, leads=names))
    expected = ecg_mv[:, 1] - ecg_mv[:, 2]
    np.testing.assert_allclose(assessed.record.signal_mv[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(assessed.record.signal_mv[:, 4], expected - ecg_mv[:, 1] / 2, atol=1e-5)
    assert not assessed.silent


def test_a_lead_is_silenced_only_where_it_is_off(ecg_mv: np.ndarray) -> None:
    long = np.tile(ecg_mv, (3, 1))
    long[1000:1400, 6] = 80
    assessed = looked_at(long)
    (flag,) = assessed.flags
    assert (flag.name, flag.leads) == ("electrode_off", ("V1",))
    assert "from 10 to 20 s: V1" in flag.detail
    np.testing.assert_array_equal(assessed.record.signal_mv[:1000], long[:1000])
    assert not assessed.record.signal_mv[1000:2000, 6].any()
    assert [[flag.name for flag in of] for of in assessed.segment_flags] == [[], ["flat"], []]


def test_more_than_half_of_the_leads_off_is_non_ecg(ecg_mv: np.ndarray) -> None:
    ecg_mv[:, 6:10] = 80
    assert looked_at(ecg_mv).kept == [0]
    ecg_mv[:, 10] = 80
    assessed = looked_at(ecg_mv)
    assert assessed.non_ecg == ("has its electrodes off in V1, V2, V3, V4, V5: 5 of 8 leads show no heart",)


def test_units_are_wrong_only_where_most_leads_say_so(ecg_mv: np.ndarray) -> None:
    with pytest.raises(RecordingError, match="were these microvolts, say units uV"):
        build_recording(ecg_mv * 1000, fs_hz=100)
    ecg_mv[:, 9:] = 80
    assert flags(looked_at(ecg_mv)) == {"electrode_off": ("V4", "V5", "V6")}


def test_no_reversal_is_claimed_where_a_lead_is_off(ecg_mv: np.ndarray) -> None:
    swapped = ecg_mv[:, [0, 2, 1, 3, 5, 4, *range(6, 12)]] * np.array([-1, 1, 1, 1, 1, 1, *[1] * 6], np.float32)
    swapped[:, 3:6] = ecg_mv[:, [4, 3, 5]]
    assert "limb_leads_swapped" in flags(looked_at(swapped))
    swapped[:, 8] = 80
    assert set(flags(looked_at(swapped))) == {"electrode_off"}


def test_classes_that_depend_on_a_silent_lead_are_uncertain(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    ecg_mv[:, [6, 7, 8]] = 0
    answer = asked(scorer, ecg_mv)
    assert answer["uncertain"]["MI"]
    (why,) = [warning for warning in answer["warnings"] if "show nothing" in warning]
    named = why.partition("uncertain: ")[2].split(", ")
    assert named == [name for name, is_uncertain in answer["uncertain"].items() if is_uncertain]


@pytest.mark.parametrize("fs_hz", [100, 250, 500])
@pytest.mark.parametrize("mains_hz", [49.9, 50, 60])
def test_hum_is_taken_out(scorer: Scorer, ecg_mv: np.ndarray, fs_hz: float, mains_hz: float) -> None:
    clean_mv = resample(ecg_mv, 100, fs_hz)
    hum = np.sin(2 * np.pi * mains_hz * np.arange(len(clean_mv)) / fs_hz + 0.7)
    clean, answer = asked(scorer, clean_mv, fs_hz), asked(scorer, clean_mv + hum[:, np.newaxis], fs_hz)
    assert "mains_hum" in [flag["flag"] for flag in answer["quality"]]
    for name in SUPERCLASSES:
        assert answer["probabilities"][name] == pytest.approx(clean["probabilities"][name], abs=0.05)


@pytest.mark.parametrize("fs_hz", [100, 250, 500])
@pytest.mark.parametrize("wander_mv", [1.5, 3])
@pytest.mark.parametrize("everywhere", [True, False])
def test_wander_is_taken_out(
    scorer: Scorer, ecg_mv: np.ndarray, fs_hz: float, wander_mv: float, everywhere: bool
) -> None:
    clean_mv = resample(ecg_mv, 100, fs_hz)
    wander = wander_mv * np.sin(2 * np.pi * 0.15 * np.arange(len(clean_mv)) / fs_hz + 1)
    size = np.ones(12) if everywhere else np.linspace(-0.5, 1, 12)
    clean, answer = asked(scorer, clean_mv, fs_hz), asked(scorer, clean_mv + wander[:, np.newaxis] * size, fs_hz)
    assert "baseline_wander" in [flag["flag"] for flag in answer["quality"]]
    for name in SUPERCLASSES:
        near = abs(answer["probabilities"][name] - clean["probabilities"][name]) < 0.05
        assert near or answer["uncertain"][name]


def test_a_lead_far_from_zero_is_brought_back(ecg_mv: np.ndarray) -> None:
    assessed = looked_at(ecg_mv + 20)
    assert "baseline_wander" in flags(assessed)
    assert np.abs(assessed.record.signal_mv.mean(axis=0)).max() < 0.001


def test_what_has_no_beats_under_hum_or_wander_is_refused(scorer: Scorer) -> None:
    time_s = np.arange(5000) / 500
    hum, wander = np.sin(2 * np.pi * 50 * time_s), 3 * np.sin(2 * np.pi * 0.15 * time_s)
    noise = np.random.default_rng(0).normal(scale=0.03, size=(5000, 12))
    for signal in (hum, wander, hum + wander):
        (answer,) = scorer.score([{"signal": signal[:, np.newaxis] + noise, "fs_hz": 500}])
        assert answer["error"]["code"] == "not_an_ecg"
