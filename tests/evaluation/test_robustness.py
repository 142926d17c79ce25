"""Robustness: what is measured is what explicit corruption, scikit-learn and explicit resampling give."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.ecg.noise import reverse_electrodes
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.robustness import CURVES, RECORDS_AT_ONCE, Robustness, robustness_curves

RECORDS = 120
SEED = 11
BY_NAME = {curve.name: curve for curve in CURVES}
FEW = (BY_NAME["white_noise"], BY_NAME["swapped_limb_leads"], BY_NAME["metadata"])

generator = np.random.default_rng(0)
LABELS = (generator.random((RECORDS, 5)) < 0.35).astype(np.float32)
PATIENTS = pd.DataFrame({"age": 50 + 20 * LABELS[:, 1] + generator.normal(0, 10, RECORDS), "sex": 1.0})
SIGNAL = generator.normal(0, 0.1, (RECORDS, 1000, 12)).astype(np.float32)
# Class k shows as an offset of a lead of its own, a limb lead for the first three; no beat is needed here.
SIGNAL[:, :, [0, 1, 5, 8, 9]] += (
    0.15 * (LABELS + generator.normal(0, 1, LABELS.shape).astype(np.float32))[:, np.newaxis]
)
WEIGHTS = patient_weights(np.arange(RECORDS) // 2, 40, SEED)


def answers(signal_mv: np.ndarray, patients: pd.DataFrame) -> np.ndarray:
    """A model that reads each class off its lead, and MI off the age, too."""
    level = np.mean(signal_mv[:, :, [0, 1, 5, 8, 9]], axis=1)
    if "age" in patients:
        level[:, 1] += 0.01 * (patients["age"].to_numpy() - 60)
    return 1 / (1 + np.exp(-20 * level - 3 * np.abs(np.diff(signal_mv[:, :200, [0, 1, 5, 8, 9]], axis=1)).mean(axis=1)))


def tried(**changed: object) -> Robustness:
    arguments = {"seed": SEED, "weights": WEIGHTS, "curves": FEW} | changed
    return robustness_curves(answers, SIGNAL, PATIENTS, LABELS, **arguments)


@pytest.fixture(scope="module")
def few() -> Robustness:
    return tried()


def test_areas_are_those_of_scikit_learn_on_explicitly_corrupted_recordings(few: Robustness) -> None:
    clean = answers(SIGNAL, PATIENTS)
    swapped = answers(reverse_electrodes(SIGNAL, "LA-LL"), PATIENTS)
    forgotten = answers(SIGNAL, PATIENTS[[]])
    for found, expected in (
        (few.clean, clean),
        (few.points["swapped_limb_leads"]["LA-LL"], swapped),
        (few.points["metadata"]["nothing"], forgotten),
    ):
        assert found["macro"].value == pytest.approx(roc_auc_score(LABELS, expected, average="macro"))
        for k, name in enumerate(SUPERCLASSES):
            assert found[name].value == pytest.approx(roc_auc_score(LABELS[:, k], expected[:, k]))


def test_drops_are_paired_with_the_clean_recordings_of_the_same_patients(few: Robustness) -> None:
    clean, swapped = answers(SIGNAL, PATIENTS), answers(reverse_electrodes(SIGNAL, "RA-LL"), PATIENTS)
    drops = []
    for one in WEIGHTS:
        rows = np.repeat(np.arange(RECORDS), one)
        drops.append(roc_auc_score(LABELS[rows], clean[rows]) - roc_auc_score(LABELS[rows], swapped[rows]))
    drop = few.drop("swapped_limb_leads", "RA-LL")
    assert (drop.interval.low, drop.interval.high) == pytest.approx(tuple(np.quantile(drops, [0.025, 0.975])))
    assert drop.value > 0.1


def test_the_means_count_every_corruption_once(few: Robustness) -> None:
    areas = {name: [level["macro"].value for level in levels.values()] for name, levels in few.points.items()}
    means = {name: np.mean(values) for name, values in areas.items()}
    metrics = few.metrics()
    for name, value in means.items():
        assert metrics[f"test/robustness/{name}/macro_auroc"] == pytest.approx(value)
    assert metrics["test/robustness/mean_macro_auroc"] == pytest.approx(np.mean(list(means.values())))
    assert metrics["test/robustness/mean_drop"] == pytest.approx(
        few.clean["macro"].value - metrics["test/robustness/mean_macro_auroc"]
    )
    low, high = (metrics[f"test/robustness/mean_macro_auroc_{side}"] for side in ("low", "high"))
    assert low < metrics["test/robustness/mean_macro_auroc"] < high


def test_the_seed_decides_and_models_are_tried_with_the_same_recordings(few: Robustness) -> None:
    assert tried().to_dict() == few.to_dict()
    assert tried(seed=SEED + 1).to_dict() != few.to_dict()
    seen: list[list[np.ndarray]] = [[], []]
    for signals in seen:
        robustness_curves(
            lambda signal, _, kept=signals: (kept.append(signal), np.full((len(signal), 5), 0.5))[1],
            SIGNAL[:9],
            PATIENTS[:9],
            LABELS[:9],
            seed=3,
            curves=FEW,
        )
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    clean, mild, stronger = seen[0][:3]
    np.testing.assert_allclose(stronger - clean, (mild - clean) * 0.05 / 0.02, atol=1e-4)


def test_a_class_without_positives_is_left_out_of_the_mean() -> None:
    labels = LABELS.copy()
    labels[:, 4] = 0
    found = robustness_curves(answers, SIGNAL, PATIENTS, labels, seed=SEED, weights=WEIGHTS, curves=FEW)
    assert found.left_out == ("HYP",)
    expected = roc_auc_score(labels[:, :4], answers(SIGNAL, PATIENTS)[:, :4], average="macro")
    assert found.clean["macro"].value == pytest.approx(expected)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["undisturbed"]["HYP"] == {"value": None, "interval": [None, None]}
    assert np.isfinite(list(found.metrics().values())).all()


def test_a_level_that_the_model_refuses_is_named_and_left_out() -> None:
    def picky(signal_mv: np.ndarray, patients: pd.DataFrame) -> np.ndarray:
        if signal_mv.shape[1] < 600:
            raise LeadwiseError(f"received {signal_mv.shape[1]} samples; allowed: 600")
        return answers(signal_mv, patients)

    found = robustness_curves(picky, SIGNAL, PATIENTS, LABELS, seed=SEED, curves=(BY_NAME["duration"],))
    assert list(found.points["duration"]) == ["7.5"]
    assert found.refused == {
        "duration": {"5": "received 500 samples; allowed: 600", "2.5": "received 250 samples; allowed: 600"}
    }
    levels = found.to_dict()["curves"][0]["levels"]
    assert [sorted(level) for level in levels] == [
        ["auroc", "drop", "level"],
        ["level", "refused"],
        ["level", "refused"],
    ]
    assert found.mean().value == found.points["duration"]["7.5"]["macro"].value


def test_records_are_corrupted_block_by_block_and_come_back_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    count = RECORDS_AT_ONCE + 44
    number = np.arange(count)
    signal = np.broadcast_to(number[:, np.newaxis, np.newaxis], (count, 100, 12)).astype(np.float32)
    sizes = []

    def counting(signal_mv: np.ndarray, patients: pd.DataFrame) -> np.ndarray:
        sizes.append(len(signal_mv))
        assert (patients["age"].to_numpy() == np.round(signal_mv.mean(axis=(1, 2)))).all()
        return np.repeat(signal_mv.mean(axis=(1, 2))[:, np.newaxis] / count, 5, axis=1).clip(0, 1)

    labels = np.repeat((number >= 150)[:, np.newaxis], 5, axis=1).astype(np.float32)
    found = robustness_curves(
        counting, signal, pd.DataFrame({"age": number}), labels, seed=1, curves=(BY_NAME["white_noise"],)
    )
    assert set(sizes) == {RECORDS_AT_ONCE, 44}
    assert found.clean["macro"].value == 1
    assert capsys.readouterr().err == ""
