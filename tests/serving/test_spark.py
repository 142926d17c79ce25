"""The registered model as a function of Spark, on a local cluster of two workers; needs pyspark and Java."""

import base64
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import mlflow
import numpy as np
import pytest
from live_server import SmallModel, in_use

from leadwise.serving.scorer import Scorer

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: make test-spark")
if shutil.which("java") is None:
    pytest.skip("Java is not installed: Spark needs 17 or later", allow_module_level=True)

pytestmark = [pytest.mark.xdist_group("small server"), pytest.mark.timeout(900)]

COLUMNS = (
    "id string, signal string, dtype string, shape array<int>, units_per_count double, units string, fs_hz double,"
    " age double, sex string"
)
ANSWER = "id string, model string, version string, probabilities map<string,double>, error struct<code:string>"


@pytest.fixture(scope="module")
def spark(small_model: SmallModel) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("leadwise")
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "16",
            "spark.sql.shuffle.partitions": "2",
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


def test_two_workers_answer_as_the_scorer_does_and_a_bad_record_spoils_only_itself(
    spark: Any, small_model: SmallModel, scorer: Scorer, ecg_mv: np.ndarray
) -> None:
    from pyspark.sql import functions as F

    counts = base64.b64encode(np.round(ecg_mv * 1000).astype("<i2").tobytes()).decode("ascii")
    recording = {"signal": counts, "dtype": "int16", "shape": [1000, 12], "units_per_count": 1.0, "units": "uV"}
    rows: list[dict[str, Any]] = [
        {"id": str(number), **recording, "fs_hz": 100.0, "age": float(20 + number), "sex": "female"}
        for number in range(60)
    ]
    rows[3]["signal"] = "A" * 32000
    rows[5]["age"] = 300.0
    rows[7] = {"id": "7", "age": 50.0}
    with in_use(small_model.tracking):
        score = mlflow.pyfunc.spark_udf(spark, small_model.uri, result_type="string", params={"as_json": True})
        names = [column.split()[0] for column in COLUMNS.split(", ")]
        table = spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], COLUMNS)
        answered = table.repartition(4).select(score(F.struct(*table.columns)).alias("text"))
        found = answered.select("text", F.from_json("text", ANSWER).alias("answer")).collect()
    expected = {answer["id"]: answer for answer in scorer.score(rows)}
    assert {row.answer.id for row in found} == set(expected)
    for row in found:
        of_spark, of_scorer = json.loads(row.text), expected[row.answer.id]
        if "error" in of_scorer:
            assert (row.answer.error.code, row.answer.probabilities) == (of_scorer["error"]["code"], None)
        else:
            assert (row.answer.version, row.answer.error) == ("2", None)
            assert of_spark == of_scorer | {"registered_model": "small", "version": "2"}
            assert dict(row.answer.probabilities) == of_scorer["probabilities"]
    assert {row.answer.id: row.answer.error.code for row in found if row.answer.error} == {
        "3": "flat_line",
        "5": "not_allowed",
    }
