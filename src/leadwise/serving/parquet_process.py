"""The process that reads Parquet: started with the first table, and again after one that it did not survive."""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import leadwise
from leadwise.serving.errors import RequestError
from leadwise.serving.parquet_table import read_message, write_message

if TYPE_CHECKING:
    import pyarrow

PATIENCE_S = 20.0
_PROGRAM = "from leadwise.serving.parquet_table import main; main()"


class ParquetProcess:
    """Reads one table at a time; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def runs(self) -> bool:
        """Whether it has been started, and no table has ended it."""
        return self._process is not None

    @property
    def process_id(self) -> int:
        """Its number; 0 where it does not run."""
        return self._process.pid if self._process else 0

    def read(self, body: bytes) -> "pyarrow.Table":
        """The table of a Parquet file.

        Raises:
            RequestError: it is none, or too large, or the process did not survive it.
        """
        import pyarrow

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
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            code = str(Path(leadwise.__file__).parents[1])
            if not self._owner:
                atexit.register(self.end)
            self._owner = os.getpid()
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
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
            self._process = None
