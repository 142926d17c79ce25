import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leadwise.contract import DISCLAIMER, SUPERCLASSES
from leadwise.data.metadata import MetadataTransformer
from leadwise.evaluation.calibration import apply_temperature
from leadwise.registry.packaging import stage_code
from leadwise.serving.payload import PayloadError
from leadwise.serving.scorer import Scorer

Signal = list[list[float]]

PATIENT = {"age": 61.0, "sex": 1.0, "height_cm": 168.0, "weight_kg": 71.0, "pacemaker": 0.0}
TEMPERATURE = 1.7


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_a_recording_is_answered_as_by_hand(
    scorer: Scorer, signal_mv: Signal, transformer: MetadataTransformer, weights: dict[str, np.ndarray]
) -> None:
    (answer,) = scorer.score([{"id": "x", "signal": signal_mv, "fs_hz": 100, **PATIENT}])
    scaled = (np.array(signal_mv) - 0.01) / 0.25
    facts = transformer.transform(pd.DataFrame([PATIENT]))[0] @ weights["of_metadata"]
    windows = [scaled[start : start + 800].mean(axis=0) @ weights["of_signal"] + facts for start in (0, 100, 200)]
    calibrated = apply_temperature(np.mean(sigmoid(np.array(windows)), axis=0), TEMPERATURE)
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
        list(answer["probabilities"].values()), apply_temperature(sigmoid(facts), TEMPERATURE), atol=2e-6
    )
    assert answer["model"] == "metadata"
    assert answer["id"] is None
    assert answer["warnings"][0].startswith("no recording: answered from the facts")


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
