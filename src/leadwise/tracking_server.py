"""A tracking server that goes away for a while: what is to be logged waits for it, and the user is told.

MLflow repeats every request that is refused, broken off, or answered with a server error. It waits 0, 4, 8, 16, 32 and
64 seconds, and then two minutes each time (urllib3's back-off with MLflow's factor of 2). Metrics, parameters and tags
that a server has taken already are taken a second time without being doubled.
"""

import logging
import os
import sys
import threading

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
MOST_RETRIES = 10
"""As many as MLflow allows, ten minutes in all; its own default of seven comes to four."""
RETRIES_WHEN_STOPPED = 2
SILENT_TRIES = 1
"""The first one comes at once: a connection that was kept open is often just stale."""


def gave_up_on(address: str) -> str:
    """What to tell whoever waited in vain."""
    return (
        f"the tracking server {address} did not answer, however often MLflow tried. What is done is kept, of a "
        "training its last whole epoch: the same command goes on from there, and logs all of it"
    )


def wait_for_server() -> None:
    """Let every request of this process and of those that it starts wait up to ten minutes; a value set by hand stays.

    MLflow waits without a word; each further try of the main thread is told on standard error.
    """
    os.environ.setdefault(RETRIES, str(MOST_RETRIES))
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller(logging.WARNING))


def wait_briefly_for_server() -> None:
    """Let what this process has yet to say wait no longer than a person does who has stopped it."""
    os.environ[RETRIES] = str(min(int(os.environ.get(RETRIES, MOST_RETRIES)), RETRIES_WHEN_STOPPED))


def given_up(error: BaseException) -> bool:
    """Whether an error comes from a server that MLflow has waited for in vain.

    Nothing else in this process waits for it then: its runs are ended at once, or are left as they are.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError, RetryError, Timeout

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MlflowException) and isinstance(seen.__context__, ConnectionError | RetryError | Timeout):
            os.environ[RETRIES] = "0"
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class _Teller(logging.Handler):
    """Turns urllib3's warning about a try that failed into a line for people."""

    def emit(self, record: logging.LogRecord) -> None:
        if not str(record.msg).startswith("Retrying") or not isinstance(record.args, tuple) or len(record.args) < 2:
            return
        retries, error = record.args[:2]
        left, tried = getattr(retries, "total", None), len(getattr(retries, "history", ()))
        if tried > SILENT_TRIES and threading.current_thread() is threading.main_thread():
            print(f"no answer from the tracking server ({error}); trying again, {left} tries are left", file=sys.stderr)
