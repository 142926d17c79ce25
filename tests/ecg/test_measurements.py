"""What is measured on a recording, against hearts whose intervals are known."""

import numpy as np
import pytest

from leadwise.contract import LEADS, ECGRecord
from leadwise.datasets.synthetic import simulate_record
from leadwise.datasets.synthetic.recording import draw_body, simulate
from leadwise.ecg.measurements import Measurement, measure
from leadwise.ecg.record import resample

BOUNDS = {"Rate": 1.0, "PR": 32.0, "QRS": 12.0, "QT": 12.0}
"""How far from the truth a clean simulated heart may be measured; benchmarks/measurements.py has the spread."""


def values(record: ECGRecord) -> dict[str, float | None]:
    return {one.name: one.value for one in measure(record)}


def known(name: str, record: ECGRecord) -> float:
    value = values(record)[name]
    assert value is not None
    return value


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("rate", [52.0, 75.0, 95.0])
def test_intervals_are_those_of_the_simulated_heart(rate: float, noise: float) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        heart, _ = body = draw_body(rng)
        units = simulate(body, {"NORM": 100.0}, rng, rate_bpm=rate, noise=noise, strength=1.0)
        t = heart.t["t"]
        truth = {"Rate": rate, "PR": heart.pr_ms, "QRS": heart.qrs_ms}
        # The tangent to a Gaussian at its steepest place meets the level two deviations from the peak.
        truth["QT"] = (t.peak_ms + 2 * t.fall_ms) * np.sqrt(60 / rate)
        found = values(ECGRecord((units / 1000).astype(np.float32), 100.0, {}))
        for name, expected in truth.items():
            assert found[name] == pytest.approx(expected, abs=BOUNDS[name]), (seed, name)


def test_qtc_is_fridericias() -> None:
    found = values(simulate_record("NORM", 4, rate_bpm=90.0))
    assert found["QT"] is not None
    assert found["Rate"] is not None
    assert found["QTc"] == pytest.approx(found["QT"] / (60 / found["Rate"]) ** (1 / 3))


def test_a_bundle_branch_block_is_wide_and_a_first_degree_block_late() -> None:
    for seed in range(4):
        usual = simulate_record("NORM", seed, noise=0.3)
        assert known("QRS", simulate_record("CLBBB", seed, noise=0.3)) > known("QRS", usual) + 20
        assert known("QRS", simulate_record("CRBBB", seed, noise=0.3)) > known("QRS", usual) + 20
        assert known("PR", simulate_record("1AVB", seed, noise=0.3)) > known("PR", usual) + 30


@pytest.mark.parametrize("degrees", [-60.0, 0.0, 45.0, 110.0, 170.0])
def test_the_axis_is_where_the_dipole_points(degrees: float) -> None:
    """Six limb leads as Einthoven and Goldberger define them, of a dipole in one direction of the frontal plane."""
    time_s = np.arange(5000) / 500
    spike = np.exp(-0.5 * np.square(((time_s + 0.4) % 0.8 - 0.4) / 0.015))
    angles = {"I": 0.0, "II": 60.0, "III": 120.0, "aVR": -150.0, "aVL": -30.0, "aVF": 90.0}
    signal = np.zeros((5000, 12), dtype=np.float32)
    for lead, angle in angles.items():
        length = np.sqrt(3) / 2 if lead.startswith("aV") else 1.0
        signal[:, LEADS.index(lead)] = spike * length * np.cos(np.radians(degrees - angle))
    signal[:, 6:] = spike[:, np.newaxis]
    found = values(ECGRecord(signal, 500.0, {}))
    assert found["Axis"] == pytest.approx(degrees, abs=2)
    assert found["Rate"] == pytest.approx(75, abs=0.5)
    assert found["PR"] is None, "there is no P wave"
    assert found["QT"] is None, "there is no T wave"


def test_the_sampling_rate_changes_little() -> None:
    for seed in range(3):
        slow = simulate_record("NORM", seed, noise=0.3)
        fine = ECGRecord(resample(slow.signal_mv, 100.0, 500.0).astype(np.float32), 500.0, {})
        for name, value in values(slow).items():
            assert values(fine)[name] == pytest.approx(value, abs=4), name


def test_in_atrial_fibrillation_there_is_no_pr() -> None:
    told = [values(simulate_record("AFIB", seed))["PR"] for seed in range(8)]
    assert sum(value is None for value in told) >= 7


@pytest.mark.parametrize("signal", [np.zeros((1000, 12)), np.full((1000, 12), np.nan), np.zeros((50, 12))])
def test_without_beats_nothing_is_measured(signal: np.ndarray) -> None:
    assert set(values(ECGRecord(signal.astype(np.float32), 100.0, {})).values()) == {None}


def test_what_is_usual_gets_no_verdict() -> None:
    told = [Measurement("PR", value, "ms", (120, 200)).verdict for value in (119.0, 120.0, 200.0, 201.0, None)]
    assert told == ["low", "", "", "high", ""]
