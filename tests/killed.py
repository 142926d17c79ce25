"""Work that is killed at a point that is named: a program imports everything once, and forks for each piece of work."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from leadwise.config import PROJECT_ROOT

KILLED = -signal.SIGKILL
_PROGRAM = """
import json, os, sys, traceback

def work_until(point, arguments):
    where, _, what = point.partition(":")
    def hook(event, given):
        if event == where and what in str(given[0]):
            os.kill(os.getpid(), 9)
    if where:
        sys.addaudithook(hook)
    try:
        return work(*arguments) or 0
    except BaseException:
        traceback.print_exc()
        return 1

for line in sys.stdin:
    times, point, *arguments = json.loads(line)
    children = []
    for _ in range(times):
        child = os.fork()
        if child == 0:
            os._exit(work_until(point, arguments))
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


class Nursery:
    """A program that does pieces of work, each in a process of its own."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def run(self, point: str, *arguments: object, times: int = 1) -> list[int]:
        """Work, so many times at once, until a point is reached, if it is; the exit statuses.

        Args:
            point: ``event:text``, an audit event of Python whose first argument contains a text; empty: to the end.
            arguments: of ``work``, as text or JSON.
            times: processes at once.
        """
        assert self._program.stdin is not None and self._program.stdout is not None
        given = [one if isinstance(one, dict | int) else str(one) for one in arguments]
        print(json.dumps([times, point, *given]), file=self._program.stdin, flush=True)
        statuses: list[int] = json.loads(self._program.stdout.readline())
        return statuses


@contextmanager
def nursery(prelude: str) -> Iterator[Nursery]:
    """Start one.

    Args:
        prelude: Python that imports what is needed, and defines ``work``, which may return an exit status.
    """
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", prelude + _PROGRAM]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield Nursery(program)
        assert program.stdin is not None
        program.stdin.close()
