import base64
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_package import TEMPERATURE, THRESHOLDS, TOLD

from leadwise.contract import DISCLAIMER, LEADS, STATEMENTS, SUPERCLASSES
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.synthetic import simulate_record
from leadwise.decision import Calibration, sigmoid
from leadwise.ecg.record import resample
from leadwise.registry.package import stage_code
from leadwise.serving.scorer import Scorer

Signal = list[list[float]]

PATIENT = {"age": 61.0, "sex": 1.0, "height_cm": 168.0, "weight_kg": 71.0, "pacemaker": 0.0}


def test_a_recording_is_answered_as_by_hand(
    scorer: Scorer, signal_mv: Signal, transformer: MetadataTransformer, weights: dict[str, np.ndarray]
) -> None:
    (answer,) = scorer.score([{"id": "x", "signal": signal_mv, "fs_hz": 100, **PATIENT}])
    scaled = (np.array(signal_mv) - 0.01) / 0.25
    facts = transformer.transform(pd.DataFrame([PATIENT]))[0] @ weights["of_metadata"]
    windows = [scaled[start : start + 800].mean(axis=0) @ weights["of_signal"] + facts for start in (0, 100, 200)]
    calibrated = Calibration.of_temperature(TEMPERATURE).apply(np.mean(sigmoid(np.array(windows)), axis=0))
    np.testing.assert_allclose(list(answer["probabilities"].values()), calibrated, atol=2e-6)
    assert list(answer["probabilities"]) == list(SUPERCLASSES)
    assert answer["decisions"] == {
        name: bool(p >= answer["thresholds"][name]) for name, p in answer["probabilities"].items()
    }
    assert answer["id"] == "x"
    assert answer["model"] == "fusion_augmented"
    assert answer["disclaimer"] == DISCLAIMER


def test_without_a_recording_the_metadata_model_answers_and_says_so(
    scorer: Scorer, transformer: MetadataTransformer, weights: dict[str, np.ndarray]
) -> None:
    (answer,) = scorer.score([{"age": 61}])
    facts = transformer.transform(pd.DataFrame([{"age": 61.0}]))[0] @ weights["of_metadata"]
    np.testing.assert_allclose(
        list(answer["probabilities"].values()), Calibration.of_temperature(TEMPERATURE).apply(sigmoid(facts)), atol=2e-6
    )
    assert answer["model"] == "metadata"
    assert answer["id"] is None
    assert answer["warnings"][0].startswith("no recording: answered from the facts")


def test_statements_at_or_above_their_thresholds_are_findings_most_probable_first(
    scorer: Scorer, signal_mv: Signal, weights: dict[str, np.ndarray]
) -> None:
    row = {"signal": signal_mv, "fs_hz": 100, **PATIENT}
    scaled = (np.array(signal_mv) - 0.01) / 0.25
    windows = [sigmoid(scaled[start : start + 800].mean(axis=0) @ weights["to_statements"]) for start in (0, 100, 200)]
    raw = np.mean(windows, axis=0)
    expected = {}
    for code, (slope, intercept, threshold) in TOLD.items():
        p = raw[STATEMENTS.index(code)]
        expected[code] = (sigmoid(slope * np.log(p / (1 - p)) + intercept), threshold)
    everything = scorer.score([row], all_findings=True)[0]["findings"]
    assert {finding["code"] for finding in everything} == set(TOLD)
    for finding in everything:
        probability, threshold = expected[finding["code"]]
        assert finding["probability"] == pytest.approx(probability, abs=2e-6)
        assert finding["threshold"] == threshold
        assert finding["reported"] == (probability >= threshold)
    probabilities = [finding["probability"] for finding in everything]
    assert probabilities == sorted(probabilities, reverse=True)
    told = scorer.score([row])[0]["findings"]
    assert told == [finding for finding in everything if finding["reported"]]
    assert 0 < len(told) < len(TOLD)
    names = {finding["code"]: (finding["description"], finding["group"]) for finding in everything}
    assert names["AFIB"] == ("atrial fibrillation", "rhythm")


def test_without_a_recording_or_without_trusted_statements_there_are_no_findings(
    scorer: Scorer, package_folder: Path, signal_mv: Signal, tmp_path: Path
) -> None:
    assert scorer.score([{"age": 61}], all_findings=True)[0]["findings"] == []
    row = {"signal": signal_mv, "fs_hz": 100, **PATIENT}
    description = json.loads((package_folder / "model.json").read_text(encoding="utf-8"))
    shutil.copytree(package_folder, tmp_path / "package")
    answers = []
    for statements in ([], [{**entry, "trusted": False} for entry in description["networks"]["fusion"]["statements"]]):
        description["networks"]["fusion"]["statements"] = statements
        (tmp_path / "package" / "model.json").write_text(json.dumps(description), encoding="utf-8")
        silent = Scorer.load(tmp_path / "package")
        assert silent.fusion.outputs == ["superclasses"]
        answers += silent.score([row], all_findings=True)
    assert [answer["findings"] for answer in answers] == [[], []]
    assert answers[0]["probabilities"] == scorer.score([row])[0]["probabilities"]


@pytest.mark.parametrize("fs_hz", [250, 500, 1000])
def test_the_sampling_rate_does_not_change_the_answer(scorer: Scorer, fs_hz: int) -> None:
    clean_mv = simulate_record("NORM", 3, noise=0).signal_mv
    (expected,) = scorer.score([{"signal": clean_mv.tolist(), "fs_hz": 100, **PATIENT}])
    at_rate = resample(clean_mv, 100, fs_hz)
    (found,) = scorer.score([{"signal": at_rate.tolist(), "fs_hz": fs_hz, **PATIENT}])
    for name in SUPERCLASSES:
        assert found["probabilities"][name] == pytest.approx(expected["probabilities"][name], abs=2e-3)


def repeated(ecg_mv: np.ndarray, seconds: float) -> np.ndarray:
    return np.tile(ecg_mv, (int(seconds / 10) + 1, 1))[: round(seconds * 100)]


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (5, []),
        (7.9, []),
        (10, []),
        (10.5, [0, 0.5]),
        (20, [0, 10]),
        (33.3, [0, 10, 20, 23.3]),
        (60, range(0, 60, 10)),
    ],
)
def test_a_long_recording_is_answered_per_ten_seconds_and_as_a_whole(
    scorer: Scorer, ecg_mv: np.ndarray, seconds: float, starts: list[float]
) -> None:
    signal_mv = repeated(ecg_mv, seconds)
    (answer,) = scorer.score([{"signal": signal_mv.tolist(), "fs_hz": 100, **PATIENT}])
    assert [window["start_s"] for window in answer["windows"]] == list(starts)
    for window in answer["windows"]:
        first = round(window["start_s"] * 100)
        part = signal_mv[first : first + 1000]
        (alone,) = scorer.score([{"signal": part.tolist(), "fs_hz": 100, **PATIENT}])
        assert window["end_s"] == pytest.approx(window["start_s"] + 10)
        for field in ("probabilities", "decisions", "uncertain", "quality"):
            assert window[field] == alone[field]
    if len(starts) == 2:
        assert answer["windows"][0]["probabilities"] != answer["windows"][1]["probabilities"] or seconds == 20
        low, high = (bound(window["probabilities"]["MI"] for window in answer["windows"]) for bound in (min, max))
        assert low <= answer["probabilities"]["MI"] <= high


def test_what_is_non_ecg_is_left_out_of_a_long_recording(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(scale=0.3, size=(1000, 12))
    signal_mv = np.concatenate([ecg_mv, 0 * noise, noise])
    (answer,) = scorer.score([{"signal": signal_mv.tolist(), "fs_hz": 100, **PATIENT}])
    (alone,) = scorer.score([{"signal": ecg_mv.tolist(), "fs_hz": 100, **PATIENT}])
    assert [window["probabilities"] is None for window in answer["windows"]] == [False, True, True]
    assert answer["probabilities"] == alone["probabilities"]
    assert answer["warnings"][0] == "10 to 20 s left out: is a flat line in every lead"
    assert answer["warnings"][1] == "20 to 30 s left out: shows no beats: it is as steep everywhere, as noise is"


def test_the_policy_that_is_asked_for_decides(scorer: Scorer, signal_mv: Signal) -> None:
    row = {"signal": signal_mv, "fs_hz": 100, **PATIENT}
    for rows in ([row], [PATIENT]):
        (usual,), (sensitive,) = scorer.score(rows), scorer.score(rows, policy="target_sensitivity")
        assert (usual["policy"], sensitive["policy"]) == ("best_f1", "target_sensitivity")
        assert usual["probabilities"] == sensitive["probabilities"]
        for name, p in usual["probabilities"].items():
            limit = THRESHOLDS[name]
            assert usual["decisions"][name] == (p >= limit)
            assert usual["uncertain"][name] == (abs(p - limit) <= 0.05)
            assert sensitive["decisions"][name] == (p >= 0.01)
            assert sensitive["uncertain"][name]


def test_quality_is_told_with_its_leads(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    spoilt = ecg_mv.copy()
    spoilt[:, LEADS.index("V5")] = 0.1
    spoilt[:, LEADS.index("V2")] += np.random.default_rng(2).normal(scale=0.1, size=1000)
    swapped_arms = simulate_record("NORM", 1).signal_mv
    # Left and right arm: I is turned, II and III change places, and so do aVR and aVL.
    swapped_arms[:, :6] = swapped_arms[:, [0, 2, 1, 4, 3, 5]] * [-1, 1, 1, 1, 1, 1]
    signals = (ecg_mv, spoilt, swapped_arms, ecg_mv * 15)
    rows = [{"signal": signal.tolist(), "fs_hz": 100, **PATIENT} for signal in signals]
    clean, found, swapped, large = (
        {flag["flag"]: (flag["leads"], flag["detail"]) for flag in answer["quality"]} for answer in scorer.score(rows)
    )
    assert clean == {}
    assert {name: leads for name, (leads, _) in found.items()} == {"flat": ["V5"], "noisy": ["V2"]}
    assert swapped["limb_leads_swapped"] == (list(LEADS[:6]), "the electrodes LA-RA look reversed")
    assert "units_suspected" in large


def test_an_explanation_adds_up_to_the_log_odds(scorer: Scorer, signal_mv: Signal) -> None:
    row = {"signal": signal_mv, "fs_hz": 100, **PATIENT}
    (answer,) = scorer.score([row], explain=["MI", "HYP"])
    assert list(answer["explanations"]) == ["MI", "HYP"]
    told = answer["explanations"]["MI"]
    assert list(told["effects"]["QRS complex"]) == list(LEADS)
    attribution = np.frombuffer(base64.b64decode(told["attribution"]["data"]), "<f4").reshape(
        told["attribution"]["shape"]
    )
    total = sum(effect for leads in told["effects"].values() for effect in leads.values())
    assert attribution.shape == (1000, 12)
    assert attribution.sum() / 100 == pytest.approx(total, abs=0.01)
    again = scorer.score([row], explain=["HYP"])[0]["explanations"]
    assert again == {"HYP": answer["explanations"]["HYP"]}
    assert scorer.score([row])[0]["explanations"] == {}


def test_what_cannot_be_explained_is_said(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    rows = [PATIENT] + [{"signal": repeated(ecg_mv, s).tolist(), "fs_hz": 100, **PATIENT} for s in (5, 70)]
    answers = scorer.score(rows, explain=["MI"])
    assert [answer["explanations"] for answer in answers] == [{}, {}, {}]
    reasons = [[warning for warning in answer["warnings"] if "not explained" in warning] for answer in answers]
    assert reasons == [
        ["not explained: only what a recording shows can be explained"],
        ["not explained: shorter than the network's window of 8 s"],
        ["not explained: longer than 30 s"],
    ]


def test_many_threads_get_the_answers_of_one(scorer: Scorer, signal_mv: Signal) -> None:
    rows = [{"id": str(k), "signal": signal_mv, "fs_hz": 100, "age": 30 + k} for k in range(12)]
    expected = [scorer.score([row]) for row in rows]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda row: scorer.score([row]), rows)) == expected


def test_the_staged_code_scores_alone_and_without_the_training_stack(package_folder: Path, tmp_path: Path) -> None:
    code = stage_code(tmp_path / "code").name
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "for name in ('tensorflow', 'keras', 'pydantic', 'yaml', 'mlflow', 'sklearn', 'wfdb', 'leadwise'):\n"
        "    sys.modules[name] = None\n"
        f"import {code}.serving.api\n"
        f"from {code}.serving.scorer import Scorer\n"
        "loaded = sorted(name for name in sys.modules if name.startswith('leadwise.'))\n"
        "print(json.dumps([loaded, Scorer.load(Path(sys.argv[1])).score([{'age': 61}])]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(package_folder)],
        env={"PYTHONPATH": str(tmp_path / "code")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, answers = json.loads(finished.stdout)
    assert loaded == []
    assert answers == Scorer.load(package_folder).score([{"age": 61}])
