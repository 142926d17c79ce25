"""The registered model by MLflow's own functions: refuses what REST refuses, and answers each row."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from live_server import SmallModel, in_use
from mlflow.exceptions import MlflowException

from leadwise.serving.api import JSON, respond
from leadwise.serving.scorer import Scorer

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(600)]

Predict = Callable[..., Any]


@pytest.fixture(scope="module")
def predict(small_model: SmallModel) -> Iterator[Predict]:
    with in_use(small_model.tracking):
        yield mlflow.pyfunc.load_model(small_model.uri).predict


def codes(answers: list[dict[str, Any]]) -> list[str | None]:
    return [answer["error"]["code"] if "error" in answer else None for answer in answers]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"agee": 71}], ["unknown_field"]),
        ([{"age": 71}, {"age": 71, "sexx": 1}, {"agee": 3}], [None, "unknown_field", "unknown_field"]),
        (pd.DataFrame({"agee": [71, 50]}), ["unknown_field"] * 2),
        (pd.DataFrame({"age": [71, 50], "sexx": [1, None]}), ["unknown_field"] * 2),
        ({"agee": 71}, ["unknown_field"]),
        ({"age": [71, 50], "Sex": [0, 1]}, ["unknown_field"] * 2),
        (pd.Series([71, 50]), ["unknown_field"] * 2),
        (pd.DataFrame({0: [71]}), ["unknown_field"]),
        (pd.DataFrame(index=range(3)), ["missing_field"] * 3),
        (pd.DataFrame({"age": []}), []),
        (pd.Series([71, 50], name="age"), [None, None]),
        ({"age": np.array([71, 50]), "id": np.array([7, 8])}, [None, None]),
    ],
)
def test_each_row_has_an_answer_or_an_error(predict: Predict, data: Any, expected: list[str | None]) -> None:
    assert codes(predict(data)) == expected


TWICE = pd.DataFrame([[71, 50]], columns=["age", "age"])


@pytest.mark.parametrize("data", [[[71]], np.array([[71.0]]), "age", 71, [71, 50], [{"age": 1}, [2]], TWICE])
def test_rows_without_names_are_an_error(predict: Predict, data: Any) -> None:
    with pytest.raises(MlflowException):
        predict(data)


@pytest.mark.parametrize(
    "params", [{"polcy": "youden"}, {"policy": "youden", "threshold": 0.5}, {"Policy": "youden"}, {"": 1}]
)
def test_an_unknown_parameter_is_an_error_as_it_is_by_rest(predict: Predict, scorer: Scorer, params: Any) -> None:
    body = json.dumps({"inputs": [{"age": 71}], "params": params}).encode()
    status, content = respond(scorer, body, JSON)
    with pytest.raises(MlflowException) as caught:
        predict(pd.DataFrame({"age": [71]}), params=params)
    assert status == 400
    assert caught.value.message == content["message"]
    assert repr(next(name for name in params if name != "policy")) in content["message"]


def test_rows_are_answered_as_by_rest(predict: Predict, scorer: Scorer, ecg_mv: np.ndarray) -> None:
    rows = [{"id": 7, "signal": ecg_mv.tolist(), "fs_hz": 100, "age": 63}, {"id": 2**64 + 1, "age": 300}, {"sex": "f"}]
    content = respond(scorer, json.dumps({"inputs": rows}).encode(), JSON)[1]["predictions"]
    for data in (rows, pd.DataFrame(rows, dtype=object)):
        answers = predict(data)
        for answer, expected in zip(answers, content, strict=True):
            # The scorer of the other side did not come from a registry.
            registered = {name: answer[name] for name in ("registered_model", "version") if name in answer}
            assert answer == expected | registered


@pytest.mark.parametrize(
    "ids", [[np.array([1.0, 2.0]), None], [[7], 7.0], [{"a": 1}, None], [b"7", 7.0], [math.inf, None]]
)
def test_what_cannot_name_a_row_of_a_table_is_an_error(predict: Predict, scorer: Scorer, ids: list[Any]) -> None:
    table = pd.DataFrame({"age": [50, 60], "id": pd.Series(ids, dtype=object)})
    assert codes(predict(table)) == ["not_allowed", None]


MENDED = "id: whole numbers that a column with gaps held as floats are given back as whole numbers"


@pytest.mark.parametrize(
    ("ids", "expected", "mended"),
    [
        (pd.Series([7, 8]), [7, 8], False),
        (pd.Series([7, None]), [7, None], True),
        (pd.Series([0, None]), [0, None], True),
        (pd.Series([7.0, 8.0]), [7.0, 8.0], False),
        (pd.Series([7.5, None]), [7.5, None], False),
        (pd.Series([2.0**60, None]), [2.0**60, None], False),
        (pd.Series([2**60 + 1, None], dtype="Int64"), [2**60 + 1, None], False),
        (pd.Series([10**30, 7], dtype=object), [10**30, 7], False),
        (pd.Series(["7", None]), ["7", None], False),
        (pd.Series([7, -1], dtype="int16[pyarrow]"), [7, -1], False),
    ],
)
def test_ids_of_a_table(predict: Predict, scorer: Scorer, ids: Any, expected: list[Any], mended: bool) -> None:
    table = pd.DataFrame({"age": [50, 60], "id": ids})
    answers = predict(table)
    found = [answer["id"] for answer in answers]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))
    assert [MENDED in answer["warnings"] for answer in answers] == [mended, False]


def test_the_command_of_mlflow(small_model: SmallModel) -> None:
    """`mlflow models predict`, of which `mlflow.models.predict` is the function."""
    command = ["mlflow", "models", "predict", "-m", small_model.uri, "-t", "csv", "--env-manager", "local"]
    environment = small_model.environment | {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    done = subprocess.run(
        command, input="agee,id\n71,7\n50,8\n", cwd=small_model.folder, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.strip().splitlines()[-1])["predictions"]
    assert [answer["id"] for answer in answers] == [7, 8]
    assert codes(answers) == ["unknown_field"] * 2
