"""How fast is the REST scorer? Against MLflow's own Keras flavour and the bare session, in one run on two cores.

Both servers serve the same network, one after the other, each pinned to the two cores that the clients use too:

- one record at a time (p50, p95, p99) and four clients at once (records/s), keep-alive; the Keras flavour gets the
  windows of the record, standardised, and does nothing but predict
- one record in base64 less the bare ONNX Runtime call on the same windows
- forms of the payload: nested lists, base64 of float32 and int16
- batches of 1 to 256 records in one request; one worker and two, and ``leadwise serve`` in place of MLflow's command
- seconds until the server answers, and the memory of all its processes

    python benchmarks/serving.py --json serving.json
    python benchmarks/serving.py --quick        # every part once, in seconds: says nothing about speed
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from payload_forms import JSON, Body, as_json, payloads
from scoring_server import Server, serving
from serving_models import EXPERIMENT, Served, log_both
from serving_tables import compared, markdown

from leadwise.serving.request import parse_row
from leadwise.serving.scorer import Scorer

CLIENTS = 4
SIZES = (1, 4, 16, 64, 256)
WARM_UP = 20


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        requests: of one client, one after the other.
        together: of all four clients.
        repeats: of each batch size.
        sizes: of batches.
        workers: of Leadwise's server.
    """

    requests: int = 300
    together: int = 400
    repeats: int = 5
    sizes: tuple[int, ...] = SIZES
    workers: tuple[int, ...] = (1, 2)


QUICK = Effort(requests=3, together=4, repeats=1, sizes=(1, 4), workers=(1,))


@contextmanager
def connected(server: Server) -> Iterator[HTTPConnection]:
    """A connection that is kept open: Python's own, which takes the least of what is measured."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=120)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: HTTPConnection, body: Body) -> None:
    """Send one request; ends the program if it is not answered."""
    connection.request("POST", "/invocations", body[0], {"Content-Type": body[1]})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise SystemExit(f"status {response.status}: {content[:300]!r}")


def times_ms(work: Callable[[], object], count: int, warm_up: int) -> np.ndarray:
    """Milliseconds of each of ``count`` calls."""
    for _ in range(warm_up):
        work()
    found = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        found.append((time.perf_counter() - started) * 1000)
    return np.array(found)


def quantiles(milliseconds: np.ndarray) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{q}_ms": round(float(np.percentile(milliseconds, q)), 3) for q in (50, 95, 99)}


def alone(server: Server, body: Body, effort: Effort) -> dict[str, float]:
    """One client, one request after the other, over one connection."""
    with connected(server) as connection:
        warm_up = min(WARM_UP, effort.requests)
        return quantiles(times_ms(lambda: post(connection, body), effort.requests, warm_up))


def together(server: Server, body: Body, effort: Effort) -> float:
    """Requests a second of four clients at once, each with its connection."""

    def client(count: int) -> None:
        with connected(server) as connection:
            for _ in range(count):
                post(connection, body)

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, [1] * CLIENTS))
        started = time.perf_counter()
        list(clients.map(client, [effort.together // CLIENTS] * CLIENTS))
        return round(effort.together // CLIENTS * CLIENTS / (time.perf_counter() - started), 1)


def windows_of(scorer: Scorer, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the network sees of a record."""
    request = parse_row(row)
    network = scorer.fusion
    assert request.recording and network.signal
    windows = network.signal.windows(network.signal.standardise(request.recording.record.signal_mv))
    facts = network.metadata.transform_one(request.patient)
    return {"signal": windows, "metadata": np.repeat(facts, len(windows), axis=0)}


def measure_leadwise(served: Served, effort: Effort) -> dict[str, Any]:
    """All that is measured of Leadwise's server."""
    rows = payloads()
    base64_row = rows["base64 int16"]
    found: dict[str, Any] = {}
    servers = {f"workers {workers}": partial(serving, workers=workers) for workers in effort.workers}
    servers["`leadwise serve`"] = partial(serving, without_command=True)
    for name, started in servers.items():
        with started(served.leadwise) as server:
            one = alone(server, as_json([base64_row]), effort)
            found[name] = {
                "ready_s": round(server.ready_s, 2),
                "one record": one,
                "four clients, records/s": together(server, as_json([base64_row]), effort),
            } | server.memory()
            if name == "workers 1":
                forms = {form: as_json([row]) for form, row in rows.items()}
                found["payloads"] = {
                    form: {"bytes": len(body[0])} | alone(server, body, effort) for form, body in forms.items()
                }
                found["batches"] = batches(server, base64_row, effort)
    scorer = Scorer.load(served.package)
    inputs, session = windows_of(scorer, base64_row), scorer.fusion.session
    bare = times_ms(lambda: session.run(scorer.fusion.outputs, inputs), effort.requests, min(WARM_UP, effort.requests))
    found["bare session"] = quantiles(bare) | {"windows": len(inputs["signal"])}
    return found


def batches(server: Server, row: Mapping[str, Any], effort: Effort) -> dict[str, dict[str, float]]:
    """Milliseconds of a request, and records a second, by its size."""
    found = {}
    with connected(server) as connection:
        for size in effort.sizes:
            body = as_json([dict(row)] * size)
            median = float(np.median(times_ms(partial(post, connection, body), effort.repeats, 1)))
            found[str(size)] = {"p50_ms": round(median, 2), "records/s": round(size / median * 1000, 1)}
    return found


def measure_stock(served: Served, effort: Effort) -> dict[str, Any]:
    """MLflow's Keras flavour with the windows of the same record."""
    inputs = windows_of(Scorer.load(served.package), payloads()["base64 int16"])
    body = json.dumps({"inputs": {name: values.tolist() for name, values in inputs.items()}}).encode(), JSON
    with serving(served.stock) as server:
        return {
            "ready_s": round(server.ready_s, 2),
            "one record": alone(server, body, effort),
            "four clients, records/s": together(server, body, effort),
        } | server.memory()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--configuration", default="default", help="whose network: default, demo, champion, original")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="every part once")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    with tempfile.TemporaryDirectory(prefix="leadwise-bench-") as temporary:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        import mlflow

        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        mlflow.set_experiment(
            experiment_id=mlflow.create_experiment(EXPERIMENT, f"{Path(temporary).as_uri()}/artifacts")
        )
        served = log_both(Path(temporary), configuration=options.configuration)
        ours, stock = measure_leadwise(served, effort), measure_stock(served, effort)
    result = {
        "cores": len(cores),
        "python": platform.python_version(),
        "configuration": options.configuration,
        "parameters": served.parameters,
        "quick": options.quick,
        "compared": compared(ours, stock),
        "leadwise": ours,
        "stock": stock,
    }
    print(f"{served.parameters:,} parameters, {ours['bare session']['windows']} windows a record, {len(cores)} cores\n")
    print(markdown(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
