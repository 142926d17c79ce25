"""How a stage is stopped: by a signal, or by the end of the program that started it and waits for it.

A stop is an exception of the main thread: every run on its way out is ended with the reason, and nothing that would
have come later is done. While a run begins or ends, the stop waits, and so it does within a library that an exception
in its midst leaves with a lock: a database's transaction, or Keras' queue of batches.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from types import FrameType
from typing import Any

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}
NOT_WITHIN = (
    "sqlalchemy",
    "alembic",
    "mlflow.store.db",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "optuna.storages",
    "keras",
    "tensorflow",
)
"""The modules that a stop would leave with a lock that is never given back."""
ORPHANED = "stopped: the program that started it has ended"
LOOK_EVERY_S = 0.5
AGAIN_S, LOST_S = 0.2, 5.0
"""A stop that waits is tried again; one that was raised, and swallowed by what it has hit, is raised once more."""
PATIENCE_S = 5.0
"""Ctrl-C reaches a stage twice, from the terminal and from MLflow. Whoever asks again later has waited in vain."""
PATIENCE_WITHOUT_LAUNCHER_S = 60.0


class Stopped(KeyboardInterrupt):
    """The program is to end now. No library takes it for an error of its own, as it might an ``Exception``.

    Attributes:
        number: of the signal.
        orphaned: the program that started this one has ended.
    """

    def __init__(self, reason: str, number: int, *, orphaned: bool) -> None:
        super().__init__(reason)
        self.number, self.orphaned = number, orphaned


@dataclass
class _State:
    """Of this process: signals know no other scope."""

    launcher: Sequence[psutil.Process] = ()
    orphaned: bool = False
    heard: Stopped | None = None
    heard_at: float = 0.0
    told_at: float | None = None
    may_raise: bool = False
    again: bool = False
    over: threading.Event = field(default_factory=threading.Event)


_state = _State()


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise ``Stopped`` where ``at_once`` allows it; one that is ignored stays ignored.

    With nohup or in the background of a script, a program is started with signals that it is to ignore.
    """
    global _state
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state = _State(launcher=_launcher())
    before: dict[signal.Signals, Any] = {}
    for number in SIGNALS:
        if callable(signal.getsignal(number)) or signal.getsignal(number) == signal.SIG_DFL:
            before[number] = signal.signal(number, _hear)
    threading.Thread(target=_insist, args=(_state,), daemon=True, name="stop").start()
    try:
        yield
    finally:
        _state.over.set()
        for number, handler in before.items():
            signal.signal(number, handler)
        _state = _State()


@contextmanager
def held_back() -> Iterator[None]:
    """A stop waits until the end of this block."""
    before, _state.may_raise = _state.may_raise, False
    try:
        yield
    finally:
        _state.may_raise = before
    if before:
        _raise_what_was_heard()


@contextmanager
def at_once() -> Iterator[None]:
    """Within ``held_back``: a stop is raised here, also one that has waited."""
    _state.may_raise = True
    try:
        _raise_what_was_heard()
        yield
        # One that waited, or was swallowed, until all was done: nothing may follow it.
        _raise_what_was_heard()
    except Exception as error:
        # A library below Python may make an error of its own of the stop that it was hit by.
        if _state.told_at is not None and _state.heard is not None:
            raise _state.heard from error
        raise
    finally:
        _state.may_raise = False


def stop_here() -> None:
    """Raise a stop that waits: for a callback of what is seldom left for Leadwise's own code."""
    if _state.may_raise and _state.told_at is None:
        _raise_what_was_heard()


def _raise_what_was_heard() -> None:
    if _state.heard is not None:
        _state.told_at = time.monotonic()
        raise _state.heard


def _hear(number: int, frame: FrameType | None) -> None:
    again, _state.again = _state.again, False
    if _state.heard is None:
        orphaned = _state.orphaned
        reason = ORPHANED if orphaned else f"stopped by {signal.Signals(number).name}"
        _state.heard, _state.heard_at = Stopped(reason, number, orphaned=orphaned), time.monotonic()
    elif not again and time.monotonic() - _state.heard_at > PATIENCE_S:
        os._exit(128 + number)
    if _state.may_raise and _due(_state) and _may_be_left(frame):
        _raise_what_was_heard()


def _due(state: _State) -> bool:
    return state.told_at is None or time.monotonic() - state.told_at > LOST_S


def _may_be_left(frame: FrameType | None) -> bool:
    """Whether Leadwise's own code is nearer than what must not be left in its midst."""
    while frame is not None:
        module = f"{frame.f_globals.get('__name__', '')}."
        if module.startswith(tuple(f"{name}." for name in NOT_WITHIN)):
            return False
        if module.startswith("leadwise."):
            return True
        frame = frame.f_back
    return True


def _insist(state: _State) -> None:
    while not state.over.wait(AGAIN_S):
        if state.heard is not None and state.may_raise and _due(state):
            state.again = True
            # Not signal.raise_signal, which would not wake a main thread that waits.
            os.kill(os.getpid(), state.heard.number)


def stop_with_launcher() -> None:
    """Stop this program when the one that started it and waits for it ends, whatever ends that one.

    It is for a program that was started by another one. A shell that a person has started it from may end.
    """
    if _state.launcher:
        threading.Thread(target=_watch, args=(_state,), daemon=True, name="launcher-watch").start()


def _watch(state: _State) -> None:
    while not _ended(state.launcher):
        if state.over.wait(LOOK_EVERY_S):
            return
    state.orphaned = True
    while not state.over.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        state.over.wait(PATIENCE_WITHOUT_LAUNCHER_S)


def _launcher() -> list[psutil.Process]:
    """The shells that run nothing but this program's command, and the program above them."""
    found: list[psutil.Process] = []
    try:
        process = psutil.Process().parent()
        while process is not None:
            found.append(process)
            words = process.cmdline()
            if not (words and PurePath(words[0]).name in SHELLS and "-c" in words[1:]):
                break
            process = process.parent()
    except psutil.Error:
        # What is not allowed to be seen is not watched.
        pass
    return found


def _ended(launcher: Sequence[psutil.Process]) -> bool:
    for process in launcher:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE or _adopts(process):
                return True
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            continue
    return False


def _adopts(process: psutil.Process) -> bool:
    """Whether a process is one that orphans are given to; in a container, the first process may be the launcher."""
    return process.name() == "systemd" or (process.pid == 1 and "python" not in " ".join(process.cmdline()[:2]))
