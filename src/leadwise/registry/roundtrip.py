"""A registered model tried as its users will: loaded in a fresh process that knows nothing of this one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import leadwise
from leadwise.contract import LeadwiseError

TIME_LIMIT_S = 300
LARGEST_DIFFERENCE = 1e-5

SCRIPT = """
import json, sys
import mlflow, pandas
row = json.load(sys.stdin)
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pandas.DataFrame([row]))
import leadwise
heavy = sorted({"tensorflow", "keras", "torch", "jax"} & set(sys.modules))
json.dump({"answer": answers[0], "heavy": heavy, "code": leadwise.__file__}, sys.stdout)
"""


class RoundTripError(LeadwiseError):
    """A registered model cannot be loaded, or answers otherwise than its package."""


def score_in_fresh_process(model_uri: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Load a registered model in a new Python process, with the code that is inside it, and score one row.

    Raises:
        RoundTripError: it cannot be loaded, or it needs TensorFlow or code from outside.
    """
    import mlflow

    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_RUN_ID")}
    environment["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()
    environment["MLFLOW_REGISTRY_URI"] = mlflow.get_registry_uri()
    try:
        finished = subprocess.run(
            [sys.executable, "-c", SCRIPT, model_uri],
            input=json.dumps(dict(row)),
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RoundTripError(f"{model_uri}: not loaded and scored within {TIME_LIMIT_S} s") from None
    if finished.returncode != 0:
        raise RoundTripError(f"{model_uri}: cannot be loaded in a fresh process:\n{finished.stderr[-2000:]}")
    found = json.loads(finished.stdout.splitlines()[-1])
    if found["heavy"]:
        raise RoundTripError(f"{model_uri}: scoring imports {', '.join(found['heavy'])}; it must not")
    if Path(found["code"]).resolve() == Path(leadwise.__file__).resolve():
        raise RoundTripError(f"{model_uri}: does not bring its own code; it ran {found['code']}")
    answer: dict[str, Any] = found["answer"]
    return answer


def compare_answers(expected: Mapping[str, Any], received: Mapping[str, Any], *, model_uri: str) -> None:
    """The answers of the package and of the registered model must agree.

    Raises:
        RoundTripError: they do not.
    """
    probabilities, others = _probabilities(expected), _probabilities(received)
    if set(probabilities) != set(others):
        raise RoundTripError(f"{model_uri}: answers {list(others)}, its package {list(probabilities)}")
    for name in probabilities:
        difference = abs(probabilities[name] - others[name])
        if difference > LARGEST_DIFFERENCE:
            raise RoundTripError(f"{model_uri}: answers {name} {difference:.2g} off its package")
    for name in ("model", "decisions", "thresholds"):
        if expected[name] != received[name]:
            raise RoundTripError(f"{model_uri}: answers {name} {received[name]}, its package {expected[name]}")


def _probabilities(answer: Mapping[str, Any]) -> dict[str, float]:
    """Of the superclasses and of the findings by their codes, those apart by what they are."""
    findings = {f"finding {finding['code']}": finding["probability"] for finding in answer["findings"]}
    return {**answer["probabilities"], **findings}
