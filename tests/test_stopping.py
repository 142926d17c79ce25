"""When a stop is raised: not in the midst of what would keep a lock, and not only once."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")

BEGINNING = """
import os, signal, time
import leadwise.stopping as stopping

stopping.LOST_S = 0.3


def ask():
    os.kill(os.getpid(), signal.SIGTERM)


def until_stopped(work, then_s=20):
    try:
        with stopping.stoppable(), stopping.held_back(), stopping.at_once():
            work()
            time.sleep(then_s)
    except stopping.Stopped as stopped:
        print(stopped, stopped.number)
"""

WITHIN_A_TRANSACTION = """
import sqlalchemy as sql

engine = sql.create_engine("sqlite://", poolclass=sql.StaticPool)
table = sql.Table("runs", sql.MetaData(), sql.Column("name", sql.String))
table.create(engine)


@sql.event.listens_for(engine, "before_cursor_execute")
def in_the_midst(*of_the_statement):
    ask()
    time.sleep(0.5)


def work():
    with engine.begin() as connection:
        connection.execute(sql.insert(table).values(name="first"))


until_stopped(work, THEN_S)
sql.event.remove(engine, "before_cursor_execute", in_the_midst)
with engine.begin() as connection:
    print(connection.execute(sql.select(table.c.name)).all())
"""

SWALLOWED = """
class Finaliser:
    def __del__(self):
        ask()
        time.sleep(0.1)


until_stopped(Finaliser)
"""


def after(program: str) -> list[str]:
    """The lines that a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("then_s", [20, 0])
def test_a_stop_waits_for_a_databases_transaction(then_s: int) -> None:
    """Also for one that is the last that is done: nothing comes after it."""
    said = after(f"THEN_S = {then_s}\n{WITHIN_A_TRANSACTION}")
    assert said == [f"stopped by SIGTERM {signal.SIGTERM.value}", "[('first',)]"]


def test_a_stop_that_is_swallowed_comes_again() -> None:
    """Python prints what a finaliser raises, and goes on."""
    assert after(SWALLOWED) == [f"stopped by SIGTERM {signal.SIGTERM.value}"]
