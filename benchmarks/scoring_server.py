"""``mlflow models serve``, or ``leadwise serve``, for the benchmarks that ask it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from free_port import free_port
from process_memory import memory_mib

LONGEST_START_S = 400


@dataclass(frozen=True)
class Server:
    """A live scoring server.

    Attributes:
        url: where it answers.
        ready_s: seconds from the command until it did.
        group: its process group, which has the number of the command.
        waits: whether the command waits beside the server.
    """

    url: str
    ready_s: float
    group: int
    waits: bool

    def memory(self) -> dict[str, int]:
        """MiB of all processes of the server, and of the command that waits among them."""
        found = memory_mib(self.group)
        command = round(found[self.group]) if self.waits else 0
        return {"memory_mib": round(sum(found.values())), "command_mib": command}


@contextmanager
def serving(uri: str, *, workers: int = 1, without_command: bool = False) -> Iterator[Server]:
    """The server of a model until the block ends; ends the program if it does not start.

    Args:
        uri: of the model.
        workers: processes that answer.
        without_command: started by ``leadwise serve`` in place of ``mlflow models serve``.
    """
    port = free_port()
    programs = Path(sys.executable).parent
    command = [str(programs / "mlflow"), "models", "serve", "-m", uri, "--env-manager", "local"]
    if without_command:
        command = [str(programs / "leadwise"), "serve", "--model", uri]
    command += ["--port", str(port), "--workers", str(workers)]
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            with suppress(requests.ConnectionError):
                if requests.get(f"{url}/ping", timeout=60).ok:
                    break
            if process.poll() is not None or time.perf_counter() - started > LONGEST_START_S:
                raise SystemExit(f"{uri}: the server did not start; try: {' '.join(command)}")
            time.sleep(0.02)
        yield Server(url, time.perf_counter() - started, process.pid, not without_command)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
