"""A registered model tried as its users will: loaded in a fresh process that knows nothing of this one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import leadwise
from leadwise.atomic import temporary_folder
from leadwise.contract import FS_HZ, MICROVOLTS_PER_UNIT, SUPERCLASSES, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.features import asked_names
from leadwise.registry import model_process
from leadwise.registry.package import example_row

TIME_LIMIT_S = 300
TIME_LIMIT_ROW_S = 0.5
LARGEST_DIFFERENCE = 1e-5
REPEATS = 100


@dataclass(frozen=True)
class HeldOutRows:
    """Fold 10: what a request may state of each record, and what a cardiologist saw in it.

    Attributes:
        digest: of the data.
        patients: ``(record,)``.
        labels: ``(record, 5)`` of 0 and 1; all 0 where unlabelled.
        signals: ``(record, time, 12)`` int16 in microvolts.
        facts: of each record, those that are known.
    """

    digest: str
    patients: NDArray[np.int64]
    labels: NDArray[np.float64]
    signals: NDArray[np.int16]
    facts: list[dict[str, Any]]

    @classmethod
    def read(cls, store: Store) -> "HeldOutRows":
        """Every record of fold 10, which the evaluate stage has read already."""
        rows = store.rows("test")
        return cls(
            digest=store.manifest["digest"],
            patients=store.records["patient_id"].to_numpy()[rows],
            labels=store.labels()[rows].astype(np.float64),
            signals=store.signals[rows],
            facts=list(stored_facts(store, rows)),
        )


def stored_facts(store: Store, rows: np.ndarray) -> list[dict[str, float]]:
    """What a request may state of the patients of some rows: the facts that are known."""
    patients = store.patients().iloc[rows][list(asked_names())].astype(float)
    return [
        {str(name): value for name, value in facts.items() if value == value}
        for facts in patients.to_dict(orient="records")
    ]


class RoundTripError(LeadwiseError):
    """A registered model cannot be loaded, or answers otherwise than its package."""


@dataclass(frozen=True)
class Served:
    """What a registered version did in a fresh process.

    Attributes:
        example: its answer to the input example.
        with_recording: ``(record, 5)`` calibrated probabilities; NaN where a row was not answered. No rows were asked
            for: ``(0, 5)``.
        without_recording: the same from the facts about the patient alone.
        refusals: why rows with a recording were not answered, the first five reasons.
        milliseconds: of each answer to a row with a recording, or to the example where there are no rows.
        load_s: seconds until the version was ready, with the import of MLflow.
        peak_mib: the most memory that the process held.
    """

    example: Mapping[str, Any]
    with_recording: NDArray[np.float64]
    without_recording: NDArray[np.float64]
    refusals: tuple[str, ...]
    milliseconds: NDArray[np.float64]
    load_s: float
    peak_mib: float

    @property
    def p95_ms(self) -> float:
        """The 95th percentile of ``milliseconds``."""
        return float(np.quantile(self.milliseconds, 0.95))


def serving_smoke_test(
    model_uri: str,
    example: Mapping[str, Any],
    rows: HeldOutRows | None = None,
    *,
    python: str = sys.executable,
    repeats: int = REPEATS,
) -> Served:
    """Load a registered model in a new Python process, with the code that is inside it, and ask it one row at a time.

    Args:
        model_uri: of the version.
        example: a row of a request.
        rows: answered after it; ``None``: none.
        python: the interpreter, of this environment or of another.
        repeats: how often the example is answered where there are no rows to time.

    Raises:
        RoundTripError: it cannot be loaded, or it needs TensorFlow or code from outside.
    """
    with temporary_folder("gate") as folder:
        task = {
            "uri": model_uri,
            "example": dict(example),
            "classes": list(SUPERCLASSES),
            "repeats": repeats,
            "facts": rows.facts if rows else [],
            "shape": rows.signals.shape[1:] if rows else [],
            "fs_hz": FS_HZ,
            "mv_per_unit": MICROVOLTS_PER_UNIT / 1000,
        }
        (folder / model_process.TASK_FILE).write_text(json.dumps(task), encoding="utf-8")
        if rows:
            (folder / model_process.SIGNALS_FILE).write_bytes(rows.signals.astype("<i2").tobytes())
        found = _run(folder, model_uri, python, TIME_LIMIT_S + TIME_LIMIT_ROW_S * (len(rows.facts) if rows else 0))
    if found["heavy"]:
        raise RoundTripError(f"{model_uri}: scoring imports {', '.join(found['heavy'])}; it must not")
    if found["code"] and Path(found["code"]).resolve() == Path(leadwise.__file__).resolve():
        raise RoundTripError(f"{model_uri}: does not bring its own code; it ran {found['code']}")
    return Served(
        example=found["example"],
        with_recording=_table(found["with_recording"]),
        without_recording=_table(found["without_recording"]),
        refusals=tuple(found["refusals"]),
        milliseconds=np.array(found["milliseconds"]),
        load_s=found["load_s"],
        peak_mib=found["peak_mib"],
    )


def require_answer(model_uri: str) -> None:
    """A registered model is loaded, and answers.

    Raises:
        RoundTripError: it cannot be loaded, or does not answer.
    """
    answer = serving_smoke_test(model_uri, example_row(), repeats=1).example
    if not answer.get("probabilities"):
        raise RoundTripError(f"{model_uri}: does not answer: {answer.get('error')}")


def _run(folder: Path, model_uri: str, python: str, limit_s: float) -> dict[str, Any]:
    import mlflow

    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    environment["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()
    environment["MLFLOW_REGISTRY_URI"] = mlflow.get_registry_uri()
    try:
        # -I: neither PYTHONPATH nor the folder of the script is a place to import from.
        finished = subprocess.run(
            [python, "-I", model_process.__file__, "answer", str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RoundTripError(f"{model_uri}: not loaded and scored within {limit_s:g} s") from None
    if finished.returncode != 0:
        # Of a traceback the last line says why; a process that was killed says nothing.
        reason = finished.stderr.strip().rpartition("\n")[2] or f"it ended with status {finished.returncode}"
        raise RoundTripError(f"{model_uri}: cannot be loaded in a fresh process: {reason}")
    found: dict[str, Any] = json.loads((folder / model_process.RESULT_FILE).read_text(encoding="utf-8"))
    return found


def _table(answers: list[list[float] | None]) -> NDArray[np.float64]:
    nothing = [np.nan] * len(SUPERCLASSES)
    return np.array([answer or nothing for answer in answers], dtype=np.float64).reshape(-1, len(SUPERCLASSES))


def compare_answers(expected: Mapping[str, Any], received: Mapping[str, Any], *, model_uri: str) -> float:
    """The answers of the package and of the registered model must agree.

    Returns:
        The largest difference of a probability.

    Raises:
        RoundTripError: they do not.
    """
    probabilities, others = _probabilities(expected), _probabilities(received)
    if set(probabilities) != set(others):
        raise RoundTripError(f"{model_uri}: answers {list(others)}, its package {list(probabilities)}")
    differences = {name: abs(probabilities[name] - others[name]) for name in probabilities}
    for name, difference in differences.items():
        if difference > LARGEST_DIFFERENCE:
            raise RoundTripError(f"{model_uri}: answers {name} {difference:.2g} off its package")
    for name in ("model", "decisions", "thresholds"):
        if expected[name] != received[name]:
            raise RoundTripError(f"{model_uri}: answers {name} {received[name]}, its package {expected[name]}")
    return max(differences.values())


def _probabilities(answer: Mapping[str, Any]) -> dict[str, float]:
    """Of the superclasses and of the findings by their codes, those apart by what they are."""
    findings = {f"finding {finding['code']}": finding["probability"] for finding in answer["findings"]}
    return {**answer["probabilities"], **findings}
