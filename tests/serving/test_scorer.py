import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadwise.calibration import Calibration
from leadwise.contract import DISCLAIMER, STATEMENTS, SUPERCLASSES
from leadwise.data.metadata import MetadataTransformer
from leadwise.registry.packaging import stage_code
from leadwise.serving.payload import PayloadError
from leadwise.serving.scorer import Scorer

Signal = list[list[float]]

PATIENT = {"age": 61.0, "sex": 1.0, "height_cm": 168.0, "weight_kg": 71.0, "pacemaker": 0.0}
TEMPERATURE = 1.7
TOLD = {"IMI": (0.9, 0.4, 0.2), "PVC": (1.5, -0.3, 0.5), "AFIB": (1.1, 0.2, 0.35), "PACE": (1.0, 0.0, 0.99)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


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


def test_everything_is_answered_in_one_call_of_the_network(scorer: Scorer, signal_mv: Signal) -> None:
    calls: list[list[str]] = []

    class Counting:
        def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            calls.append(outputs)
            found: list[np.ndarray] = scorer.fusion.session.run(outputs, inputs)
            return found

    counted = replace(scorer, fusion=replace(scorer.fusion, session=Counting()))
    row = {"signal": signal_mv, "fs_hz": 100, **PATIENT}
    assert counted.score([row]) == scorer.score([row])
    assert calls == [["superclasses", "statements"]]


def test_simulated_weights_are_pointed_out(scorer: Scorer) -> None:
    assert scorer.score([{"age": 61}])[0]["warnings"][-1] == "trained on simulated data: says nothing about a patient"


@pytest.mark.parametrize("fs_hz", [250, 500, 1000])
def test_the_sampling_rate_does_not_change_the_answer(scorer: Scorer, fs_hz: int) -> None:
    def recording(rate: int) -> Signal:
        times = np.arange(10 * rate)[:, np.newaxis] / rate
        signal = np.sin(2 * np.pi * times * np.linspace(1, 3, 12)) * np.linspace(0.4, 1.2, 12)
        values: Signal = signal.tolist()
        return values

    (expected,) = scorer.score([{"signal": recording(100), "fs_hz": 100, **PATIENT}])
    (found,) = scorer.score([{"signal": recording(fs_hz), "fs_hz": fs_hz, **PATIENT}])
    for name in SUPERCLASSES:
        assert found["probabilities"][name] == pytest.approx(expected["probabilities"][name], abs=2e-3)


@pytest.mark.parametrize("seconds", [5, 7.9, 8, 33.3, 600])
def test_recordings_of_any_allowed_length_are_answered(scorer: Scorer, seconds: float) -> None:
    samples = round(seconds * 100)
    signal = np.random.default_rng(1).normal(scale=0.3, size=(samples, 12))
    (answer,) = scorer.score([{"signal": signal.tolist(), "fs_hz": 100, **PATIENT}])
    assert all(0 < p < 1 for p in answer["probabilities"].values())


def test_rows_keep_their_order_and_a_wrong_one_is_named(scorer: Scorer, signal_mv: Signal) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "age": 40}, {"id": "b", "signal": signal_mv, "fs_hz": 100}]
    assert [answer["id"] for answer in scorer.score(rows)] == ["a", "b"]
    with pytest.raises(PayloadError, match="row 2: age: received 300"):
        scorer.score([*rows, {"age": 300}])


def test_an_answer_is_plain_json(scorer: Scorer, signal_mv: Signal) -> None:
    answers = scorer.score([{"signal": signal_mv, "fs_hz": 100}, {"age": 40}])
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers


def test_many_threads_get_the_answers_of_one(scorer: Scorer, signal_mv: Signal) -> None:
    rows = [{"id": str(k), "signal": signal_mv, "fs_hz": 100, "age": 30 + k} for k in range(12)]
    expected = [scorer.score([row]) for row in rows]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda row: scorer.score([row]), rows)) == expected


def test_the_staged_code_scores_alone_and_without_the_training_stack(package_folder: Path, tmp_path: Path) -> None:
    stage_code(tmp_path / "code")
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "for name in ('tensorflow', 'keras', 'pydantic', 'yaml', 'mlflow', 'sklearn', 'wfdb', 'great_expectations'):\n"
        "    sys.modules[name] = None\n"
        "import leadwise.serving.invocations\n"
        "from leadwise.serving.scorer import Scorer\n"
        "print(json.dumps([leadwise.__file__, Scorer.load(Path(sys.argv[1])).score([{'age': 61}])]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(package_folder)],
        env={"PYTHONPATH": str(tmp_path / "code")},
        capture_output=True,
        text=True,
        check=True,
    )
    where, answers = json.loads(finished.stdout)
    assert where.startswith(str(tmp_path))
    assert answers == Scorer.load(package_folder).score([{"age": 61}])
