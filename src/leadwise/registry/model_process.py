"""What processes of their own do with a registered version, which brings its code: nothing of Leadwise is imported.

    model_process.py answer FOLDER: the serving smoke test; FOLDER holds ``task.json``
    model_process.py serve MODEL ADDRESS PORT WORKERS [FOLDER]: MLflow's scoring server; FOLDER is removed at its end

`mlflow models serve` starts the same server as a child and waits beside it: twice the import of MLflow, and 200 MiB.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TASK_FILE, SIGNALS_FILE, RESULT_FILE = "task.json", "signals.i2", "result.json"
APPLICATION = "mlflow.pyfunc.scoring_server.app:app"
MODEL_VARIABLE = "__pyfunc_model_path__"
"""Where that application looks for its model."""
WARM_UP = 5
"""Answers before the first that is timed."""
HEAVY = ("tensorflow", "keras", "torch", "jax")
LONGEST_MESSAGE = 200


def answer(folder: Path) -> None:
    """Answer the example, then the rows with their recordings, then the rows without."""
    task = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    started = time.perf_counter()
    import mlflow

    model = mlflow.pyfunc.load_model(task["uri"])
    ready = time.perf_counter() - started
    found = {"example": _answer(model, task["example"])[0], "load_s": ready}
    for _ in range(WARM_UP):
        _answer(model, task["example"])
    # Where there are no rows the example is timed.
    rows = _recordings(folder / SIGNALS_FILE, task) if task["facts"] else [task["example"]] * task["repeats"]
    answers = [_tried(model, row, task["classes"]) for row in rows]
    facts = [_tried(model, row, task["classes"]) for row in task["facts"]]
    found |= {
        "milliseconds": [took for _, took, _ in answers],
        "with_recording": [answer for answer, _, _ in answers] if task["facts"] else [],
        "without_recording": [answer for answer, _, _ in facts],
        "refusals": list(dict.fromkeys(problem for _, _, problem in answers if problem))[:5],
        "heavy": sorted(set(HEAVY) & set(sys.modules)),
        # Leadwise as it is installed, if the version has taken that; versions of former days bring one of this name.
        "code": getattr(sys.modules.get("leadwise"), "__file__", ""),
        "peak_mib": _peak_mib(),
    }
    (folder / RESULT_FILE).write_text(json.dumps(found), encoding="utf-8")


def _recordings(file: Path, task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row of a request at a time, so that the process holds no more than a server does."""
    import numpy as np

    shape = task["shape"]
    with file.open("rb") as stream:
        for facts in task["facts"]:
            units = np.frombuffer(stream.read(2 * shape[0] * shape[1]), dtype="<i2").reshape(shape)
            yield {"signal": (units * task["mv_per_unit"]).tolist(), "fs_hz": task["fs_hz"], **facts}


def _answer(model: Any, row: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The answer to one row, and milliseconds."""
    import pandas as pd

    table = pd.DataFrame([dict(row)])
    started = time.perf_counter()
    (answer,) = model.predict(table)
    return answer, 1000 * (time.perf_counter() - started)


def _tried(model: Any, row: Mapping[str, Any], classes: list[str]) -> tuple[list[float] | None, float, str]:
    """Probabilities by class or ``None``, milliseconds, and why there is no answer."""
    started = time.perf_counter()
    try:
        answer, took = _answer(model, row)
    except Exception as error:
        return None, 1000 * (time.perf_counter() - started), f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
    if not answer.get("probabilities"):
        problem = answer.get("error") or {"message": "an answer without probabilities"}
        return None, took, str(problem["message"])[:LONGEST_MESSAGE]
    return [answer["probabilities"][name] for name in classes], took, ""


def _peak_mib() -> float:
    """The most memory that this process has held. Not ``getrusage``'s, which begins with that of the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) / 1024


def serve(model: str, address: str, port: str, workers: str) -> None:
    """Load the model and answer until the process is told to end."""
    os.environ[MODEL_VARIABLE] = model
    import uvicorn
    from mlflow.exceptions import MlflowException

    try:
        if workers != "1":
            # Here an error can be told in a line, before several are started.
            importlib.import_module(APPLICATION.partition(":")[0])
        # By name, so that the model is loaded where it finds the server that will answer with it.
        uvicorn.run(APPLICATION, host=address, port=int(port), workers=int(workers), ws="none")
    except (MlflowException, OSError) as error:
        sys.exit(f"leadwise serve: error: {model}: cannot be served: {str(error).partition(chr(10))[0][:300]}")


@contextmanager
def removed_at_the_end(folders: list[str]) -> Iterator[None]:
    """Also after a signal to end: uvicorn raises again what has ended it."""
    if folders:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        with removed_at_the_end(sys.argv[6:]):
            serve(*sys.argv[2:6])
    else:
        answer(Path(sys.argv[2]))
