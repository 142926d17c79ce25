"""Does the scorer hold? Four clients at a share of its capacity for some minutes, against `mlflow models serve`.

Capacity is measured first: four clients, each sending its next record as soon as the last one is answered. Then each
client sends at fixed times, late or not, so that an answer that takes long delays nobody's clock. Asked for: no error,
and no growth of memory.

    python benchmarks/load.py                       # ten minutes at 80 %
    python benchmarks/load.py --minutes 1 --workers 2
"""

import argparse
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
from payload_forms import as_json, payloads
from process_memory import memory_mib
from scoring_server import serving

CLIENTS = 4
WARM_UP_S, CAPACITY_S = 3.0, 10.0


@dataclass
class Outcome:
    """What clients saw; times are from when a request was due to its answer."""

    milliseconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def ask(session: requests.Session, url: str, data: bytes) -> str | None:
    """Send one request; what went wrong, or ``None``."""
    try:
        response = session.post(
            f"{url}/invocations", data=data, headers={"Content-Type": "application/json"}, timeout=60
        )
        (answer,) = response.json()["predictions"]
        return None if response.status_code == 200 and "probabilities" in answer else f"status {response.status_code}"
    except (requests.RequestException, ValueError, KeyError) as error:
        return type(error).__name__


def capacity(url: str, data: bytes, seconds: float) -> float:
    """Requests a second of four clients that never wait."""
    ends = time.perf_counter() + seconds

    def client(_: int) -> int:
        count = 0
        with requests.Session() as session:
            while time.perf_counter() < ends:
                count += ask(session, url, data) is None
        return count

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(client, range(CLIENTS))) / seconds


def load(url: str, data: bytes, rate: float, seconds: float) -> Outcome:
    """Four clients that send together ``rate`` requests a second."""
    outcome, lock = Outcome(), threading.Lock()
    starts = time.perf_counter() + 0.5
    total = int(rate * seconds)

    def client(first: int) -> None:
        times: list[float] = []
        errors: list[str] = []
        with requests.Session() as session:
            for number in range(first, total, CLIENTS):
                due = starts + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                if wrong := ask(session, url, data):
                    errors.append(wrong)
                times.append((time.perf_counter() - due) * 1000)
        with lock:
            outcome.milliseconds += times
            outcome.errors += errors

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))
    return outcome


def main() -> None:
    """Measure and print; exit status 1 if there was an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="models:/leadwise-demo@champion")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    data, _ = as_json([payloads()["base64 int16"]])
    with serving(options.model, workers=options.workers) as server:
        capacity(server.url, data, WARM_UP_S)
        most = capacity(server.url, data, CAPACITY_S)
        before = memory_mib(server.group)
        outcome = load(server.url, data, most * options.share, options.minutes * 60)
        after = memory_mib(server.group)
    p50, p99, longest = np.percentile(outcome.milliseconds, [50, 99, 100])
    result = {
        "workers": options.workers,
        "capacity, records/s": round(most, 1),
        "asked for, records/s": round(most * options.share, 1),
        "minutes": options.minutes,
        "requests": len(outcome.milliseconds),
        "errors": len(outcome.errors),
        "p50, ms": round(p50, 2),
        "p99, ms": round(p99, 2),
        "longest, ms": round(longest, 1),
        "memory before, MiB": round(sum(before.values()), 1),
        "memory after, MiB": round(sum(after.values()), 1),
        "same processes": before.keys() == after.keys(),
    }
    print("| | |\n|---|---|")
    for name, value in result.items():
        print(f"| {name} | {value} |")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if outcome.errors:
        raise SystemExit(f"errors: {', '.join(sorted(set(outcome.errors)))}")


if __name__ == "__main__":
    main()
