"""How many records does Spark score a second? The registered model as a Spark function on a local cluster.

From 1,000 records on, each size once: seconds, records a second, and the most memory that Spark's Python workers held.
The records are one simulated recording of 10 s in base64 with ages that differ, made by Spark itself; the answers are
written to Parquet. Time should grow as the records do, memory should not.

    PYTHONPATH=src python benchmarks/spark.py --sizes 1000 10000 50000 200000
"""

import argparse
import base64
import json
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.datasets.synthetic import simulate_record

SIZES = (1_000, 10_000, 50_000, 200_000)
BATCH = 128
PARTITION = 2_500
"""Records of one task: each loads the model once."""


def session(master: str) -> Any:
    """A local cluster; Arrow's batches are kept small, as one record is 32 kB."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH),
    }
    builder = SparkSession.builder.master(master).appName("leadwise")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def records(spark: Any, count: int) -> Any:
    """``count`` records."""
    from pyspark.sql import functions as F

    counts = np.round(simulate_record("MI", 2).signal_mv * 1000).astype("<i2")
    fixed = {
        "signal": F.lit(base64.b64encode(counts.tobytes()).decode("ascii")),
        "dtype": F.lit("int16"),
        "shape": F.array(F.lit(len(counts)), F.lit(12)),
        "units_per_count": F.lit(1.0),
        "units": F.lit("uV"),
        "fs_hz": F.lit(100.0),
        "sex": F.lit("female"),
    }
    partitions = max(2, -(-count // PARTITION))
    table = spark.range(0, count, 1, partitions).select(
        F.col("id").cast("string").alias("id"), (20 + F.col("id") % 70).cast("double").alias("age")
    )
    return table.select("*", *(column.alias(name) for name, column in fixed.items()))


class Memory:
    """The most resident memory of Spark's Python workers together, watched until ``stop``."""

    def __init__(self) -> None:
        self.highest_mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            total = 0
            for entry in Path("/proc").iterdir():
                with suppress(OSError, ValueError):
                    if entry.name.isdecimal() and b"pyspark.daemon" in (entry / "cmdline").read_bytes():
                        lines = (entry / "smaps_rollup").read_text().splitlines()
                        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            self.highest_mib = max(self.highest_mib, total / 1024)

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self.highest_mib


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="models:/leadwise-demo@champion")
    parser.add_argument("--master", default="local-cluster[2,1,1024]")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    import mlflow
    from pyspark.sql import functions as F

    spark = session(options.master)
    score = mlflow.pyfunc.spark_udf(spark, options.model, result_type="string", params={"as_json": True})
    found = []
    print("| records | s | records/s | Python workers, MiB |\n|---|---|---|---|")
    for count in options.sizes:
        table = records(spark, count)
        with tempfile.TemporaryDirectory(prefix="leadwise-spark-") as folder:
            memory, started = Memory(), time.perf_counter()
            answered = table.select(score(F.struct(*table.columns)).alias("answer"))
            answered.write.mode("overwrite").parquet(f"{folder}/answers")
            seconds = time.perf_counter() - started
            peak = memory.stop()
            written = spark.read.parquet(f"{folder}/answers")
            errors = written.where(F.get_json_object("answer", "$.error.code").isNotNull()).count()
            if written.count() != count or errors:
                raise SystemExit(f"{written.count()} answers to {count} records, {errors} of them errors")
        found.append({"records": count, "s": round(seconds, 1), "records/s": round(count / seconds, 1)})
        found[-1]["python_mib"] = round(peak)
        print("| " + " | ".join(f"{value:,}" for value in found[-1].values()) + " |", flush=True)
    spark.stop()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
