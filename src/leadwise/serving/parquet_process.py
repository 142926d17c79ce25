"""The process that reads Parquet: started with the first table, and again after one that it did not survive."""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow

from leadwise.serving.parquet_table import read_message, write_message
from leadwise.serving.values import RequestError

PATIENCE_S = 20.0
_PROGRAM = f"from {__package__}.parquet_table import main; main()"


class ParquetProcess:
    """Reads one table at a time; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._inherited: subprocess.Popen[bytes] | None = None
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self._begin_anew)

    @property
    def runs(self) -> bool:
        """Whether it has been started, and no table has ended it."""
        return self._process is not None

    @property
    def process_id(self) -> int:
        """Its number; 0 where it does not run."""
        return self._process.pid if self._process else 0

    def read(self, body: bytes) -> pyarrow.Table:
        """The table of a Parquet file.

        Raises:
            RequestError: it is none, or too large, or the process did not survive it.
        """
        with self._lock:
            process = self._running()
            timer = threading.Timer(PATIENCE_S, process.kill)
            timer.start()
            try:
                assert process.stdin is not None and process.stdout is not None
                write_message(process.stdin, True, body)
                answer = read_message(process.stdout)
            except OSError:
                answer = None
            finally:
                timer.cancel()
            if answer is None:
                self.end()
                raise RequestError("not_parquet", "body", "not a Parquet table")
        well, content = answer
        if not well:
            raise RequestError(*json.loads(content))
        with pyarrow.ipc.open_stream(content) as stream:
            return stream.read_all()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            code = str(Path(__file__).parents[2])
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    # Arrow's own allocators reserve much more than they use, which the limit would count.
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What a dying process says may hold parts of the table.
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def end(self) -> None:
        """Stop it; the next table starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _begin_anew(self) -> None:
        """In a process that was forked off this one: leave the parent's reader, and the lock it may hold, alone."""
        self._lock = threading.Lock()
        # Kept: a pipe that is given up would be flushed into what the parent is writing.
        self._inherited, self._process = self._process, None
