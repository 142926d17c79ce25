"""Does the scorer hold? Four clients at a share of its capacity for some minutes, against `mlflow models serve`.

Capacity is measured first: four clients, each sending its next record as soon as the last one is answered. Then each
client sends at fixed times, late or not, so that an answer that takes long delays nobody's clock. Asked for: no error,
and no growth of memory.

With ``--mixed`` eight clients send whatever a server is sent: every form, one record and many, 10 s and 10 min,
explanations, and what is refused. Asked for: after the first minute, memory never passes 1.2 times its most.

    python benchmarks/load.py                       # ten minutes at 80 %
    python benchmarks/load.py --minutes 1 --workers 2
    python benchmarks/load.py --mixed --rate 6      # ten minutes of six requests a second
"""

import argparse
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
from payload_forms import mixed, one_record
from process_memory import memory_mib
from scoring_server import Server, serving

CLIENTS, MIXED_CLIENTS = 4, 8
WARM_UP_S, CAPACITY_S = 3.0, 10.0
MOST_GROWTH = 1.2


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


def mixed_load(server: Server, rate: float, minutes: float) -> tuple[list[list[float]], dict[int, int]]:
    """Eight clients that send together ``rate`` requests a second, of every kind in a random order.

    Returns:
        MiB of all processes, second by second, by minute; and how often each status was answered.
    """
    bodies, ends = mixed(), time.perf_counter() + minutes * 60
    statuses: Counter[int] = Counter()

    def client(number: int) -> None:
        chosen = random.Random(number)
        while time.perf_counter() < ends:
            data, kind = chosen.choice(bodies)
            # A connection each: one that rests for 5 s is closed by the server.
            answer = requests.post(f"{server.url}/invocations", data=data, headers={"Content-Type": kind}, timeout=120)
            statuses[answer.status_code] += 1
            time.sleep(chosen.expovariate(rate / MIXED_CLIENTS))

    found: list[list[float]] = []
    with ThreadPoolExecutor(MIXED_CLIENTS) as clients:
        running = [clients.submit(client, number) for number in range(MIXED_CLIENTS)]
        started = time.perf_counter()
        while (seconds := time.perf_counter() - started) < minutes * 60:
            while len(found) <= seconds // 60:
                found.append([])
            found[-1].append(sum(memory_mib(server.group).values()))
            time.sleep(1)
        for one in running:
            one.result()
    return found, dict(statuses)


def report_mixed(server: Server, rate: float, minutes: float) -> dict[str, object]:
    """Print memory minute by minute; ends the program if it grew, or if the server failed."""
    found, statuses = mixed_load(server, rate, minutes)
    most = [round(max(minute), 1) for minute in found]
    print("| minute | most MiB | median MiB |\n|--:|--:|--:|")
    for number, minute in enumerate(found, 1):
        print(f"| {number} | {most[number - 1]} | {np.median(minute):.1f} |")
    print(f"answers by status: {statuses}")
    if not set(statuses) <= {200, 400} or max(most) > most[0] * MOST_GROWTH:
        raise SystemExit(f"memory: {max(most):g} MiB after {most[0]:g} in the first minute; answers: {statuses}")
    return {"most MiB by minute": most, "answers by status": statuses, "requests/s asked for": rate}


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
    parser.add_argument("--mixed", action="store_true", help="every kind of request, and memory minute by minute")
    parser.add_argument("--rate", type=float, default=6.0, help="requests a second of --mixed")
    parser.add_argument("--without-command", action="store_true", help="started by leadwise serve")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    data, _ = one_record()
    with serving(options.model, workers=options.workers, without_command=options.without_command) as server:
        if options.mixed:
            result = report_mixed(server, options.rate, options.minutes)
            _write(options.json, result)
            return
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
    _write(options.json, result)
    if outcome.errors:
        raise SystemExit(f"errors: {', '.join(sorted(set(outcome.errors)))}")


def _write(file: Path | None, result: Mapping[str, object]) -> None:
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
