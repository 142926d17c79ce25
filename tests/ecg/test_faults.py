"""Faults that the leads give away, put into recordings; and what lies outside of what the networks know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.store import open_store
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.assessment import Assessment, assess, assess_many
from leadwise.ecg.record import INDEPENDENT_COLUMNS, INDEPENDENT_LEADS, build_recording, resample
from leadwise.serving.scorer import Scorer


def looked_at(signal_mv: np.ndarray, fs_hz: float = 100) -> Assessment:
    return assess(build_recording(signal_mv, fs_hz=fs_hz, order="time_lead"))


def details(assessed: Assessment) -> dict[str, str]:
    return {flag.name: flag.detail for flag in assessed.flags}


SCALED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "to spans": lambda signal_mv: signal_mv / np.ptp(signal_mv, axis=0),
    "to deviations": lambda signal_mv: 0.2 * (signal_mv - signal_mv.mean(axis=0)) / signal_mv.std(axis=0),
    "limb leads": lambda signal_mv: signal_mv * np.array([1, 0.6, 1.5, *[1] * 9]),
}


@pytest.mark.parametrize("scale", SCALED)
@pytest.mark.parametrize("fs_hz", [100, 500])
def test_leads_that_were_scaled_one_by_one_make_every_class_uncertain(
    scorer: Scorer, ecg_mv: np.ndarray, scale: str, fs_hz: float
) -> None:
    (answer,) = scorer.score([{"signal": SCALED[scale](resample(ecg_mv, 100, fs_hz)), "fs_hz": fs_hz}])
    assert "scaled_lead_by_lead" in [flag["flag"] for flag in answer["quality"]]
    assert all(answer["uncertain"].values())
    assert any("HYP is read off their size" in warning for warning in answer["warnings"])


def test_scaled_leads_are_noticed_where_the_limb_leads_are_computed(ecg_mv: np.ndarray) -> None:
    eight = SCALED["to spans"](ecg_mv[:, INDEPENDENT_COLUMNS])
    assessed = assess(build_recording(eight, fs_hz=100, leads=INDEPENDENT_LEADS))
    assert details(assessed)["scaled_lead_by_lead"] == "every lead spans 1 mV"


def test_one_scale_for_all_leads_is_not_noticed(ecg_mv: np.ndarray) -> None:
    assert not looked_at(0.7 * ecg_mv).flags


@pytest.mark.parametrize(("true_hz", "declared_hz"), [(500, 100), (1000, 200)])
def test_a_rate_that_is_far_too_low_is_noticed(ecg_mv: np.ndarray, true_hz: float, declared_hz: float) -> None:
    assessed = looked_at(resample(ecg_mv, 100, true_hz), declared_hz)
    detail = details(assessed)["rate_suspected"]
    assert "beats a minute, and waves as slow" in detail
    plausible = float(detail.split("; ")[1].split()[0])
    assert 0.7 < plausible / true_hz < 1.5


def test_a_rate_that_is_far_too_high_is_often_noticed() -> None:
    found = []
    for seed in range(20):
        faulty = looked_at(np.tile(simulate_record("NORM", seed, rate_bpm=75).signal_mv, (3, 1)), 500)
        found.append(not faulty.kept or "and waves as fast, at 500 Hz" in details(faulty).get("rate_suspected", ""))
    assert sum(found) >= 10


@pytest.mark.parametrize(("true_hz", "declared_hz"), [(100, 100), (500, 500), (257, 250), (240, 250)])
def test_a_rate_that_is_about_right_is_not(ecg_mv: np.ndarray, true_hz: float, declared_hz: float) -> None:
    assert not looked_at(resample(ecg_mv, 100, true_hz), declared_hz).flags


@pytest.mark.parametrize("rate_bpm", [40, 150, 200])
def test_slow_and_fast_hearts_are_not_a_wrong_rate(rate_bpm: float) -> None:
    signals = [simulate_record("NORM", seed, rate_bpm=rate_bpm).signal_mv for seed in range(6)]
    assert not any("rate_suspected" in details(looked_at(signal)) for signal in signals)


@pytest.mark.parametrize("share", [0.4, 0.6])
@pytest.mark.parametrize("fs_hz", [100, 250, 500])
def test_leads_cut_off_at_any_level_are_noticed(ecg_mv: np.ndarray, share: float, fs_hz: float) -> None:
    signal = resample(ecg_mv, 100, fs_hz)
    limit = share * np.abs(signal).max(axis=0)
    found = {flag.name: flag.leads for flag in looked_at(np.clip(signal, -limit, limit), fs_hz).flags}
    assert len(found["clipped"]) >= 6


def test_leads_cut_off_at_one_end_are_noticed_whichever_it_is(ecg_mv: np.ndarray) -> None:
    limit = 0.5 * ecg_mv.max(axis=0)
    top, bottom = (
        {flag.name: flag.leads for flag in looked_at(signal).flags}
        for signal in (np.minimum(ecg_mv, limit), np.maximum(-ecg_mv, -limit))
    )
    assert len(top["clipped"]) >= 2
    assert top["clipped"] == bottom["clipped"]


def test_flat_tops_that_are_entered_gently_are_not_clipped(ecg_mv: np.ndarray) -> None:
    coarse = np.round(resample(ecg_mv, 100, 500) / 0.02) * 0.02
    assert "clipped" not in details(looked_at(coarse, 500))


def test_a_recording_that_is_upside_down_is_noticed(ecg_mv: np.ndarray) -> None:
    assert set(details(looked_at(-ecg_mv))) == {"inverted"}


def test_chest_leads_in_reverse_order_are_called_so(ecg_mv: np.ndarray) -> None:
    (flag,) = looked_at(ecg_mv[:, [*range(6), *range(11, 5, -1)]]).flags
    assert (flag.name, flag.leads) == ("chest_leads_swapped", LEADS[6:])
    assert "in reverse order" in flag.detail


@pytest.mark.real
def test_faults_are_noticed_in_many_recordings_and_rarely_seen_without_one(ptbxl_store: Path) -> None:
    store = open_store(ptbxl_store)
    signals = [signal.astype(np.float32) / 1000 for signal in store.signals[:400]]

    def share(flag: str, change: Any, fs_hz: float = 100) -> float:
        recordings = [build_recording(change(signal), fs_hz=fs_hz) for signal in signals]
        return float(np.mean([flag in details(assessed) for assessed in assess_many(recordings)]))

    unchanged = {"inverted", "clipped", "rate_suspected", "scaled_lead_by_lead", "electrode_off", "mains_hum"}
    assert {name: share(name, lambda x: x) for name in unchanged} == pytest.approx(
        dict.fromkeys(unchanged, 0), abs=0.006
    )
    assert share("inverted", lambda x: -x) > 0.8
    assert share("scaled_lead_by_lead", SCALED["to spans"]) > 0.99
    assert share("chest_leads_swapped", lambda x: x[:, [*range(6), *range(11, 5, -1)]]) > 0.9
    assert share("rate_suspected", lambda x: resample(x, 100, 500)) > 0.95


def warnings(scorer: Scorer, signal_mv: np.ndarray, fs_hz: float = 100, **facts: float) -> str:
    (answer,) = scorer.score([{"signal": signal_mv, "fs_hz": fs_hz, "order": "time_lead", **facts}])
    assert set(answer["probabilities"]) == set(SUPERCLASSES), answer
    return "\n".join(answer["warnings"])


def test_what_the_networks_were_not_made_for_is_said(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    assert "17 years old" in warnings(scorer, ecg_mv, age=17)
    assert "years old" not in warnings(scorer, ecg_mv, age=18)
    assert "7.5 s long" in warnings(scorer, ecg_mv[:750])
    assert " s long" not in warnings(scorer, np.tile(ecg_mv, (6, 1)))
    told = warnings(scorer, np.tile(ecg_mv, (7, 1)))
    assert "70 s long: the answer is the mean over 7 of its 7 parts" in told


@pytest.mark.parametrize("fs_hz", [250, 500, 1000])
def test_pacing_spikes_are_counted(scorer: Scorer, ecg_mv: np.ndarray, fs_hz: float) -> None:
    paced = resample(ecg_mv, 100, fs_hz).copy()
    assert "spikes" not in warnings(scorer, paced, fs_hz)
    starts = np.arange(round(0.4 * fs_hz), len(paced) - 10, round(0.9 * fs_hz))
    for sample in range(max(1, round(0.002 * fs_hz))):
        paced[starts + sample, :] += np.linspace(1.5, 4, 12)
    assert f"{len(starts)} spikes as of a pacemaker" in warnings(scorer, paced, fs_hz)


def test_too_few_beats_are_said(scorer: Scorer) -> None:
    slow = simulate_record("NORM", 5, rate_bpm=25, noise=0.3).signal_mv
    assert "2 heart beats were found" in warnings(scorer, slow[:500])
