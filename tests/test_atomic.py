"""Outputs that are whole or as they were before."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leadwise.atomic import file_lock, folder_written_atomically, put_back, write_atomically
from leadwise.config import PROJECT_ROOT

ENVIRONMENT = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src")}


class Interrupted(Exception):
    pass


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.json"
    write_atomically(file, "one")
    write_atomically(file, b"two")
    assert file.read_text() == "two"
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for content in ("one", "two"):
        with folder_written_atomically(folder) as target:
            (target / content).write_text(content)
            assert not (folder / content).exists()
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_stays_as_it_was_after_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with folder_written_atomically(folder) as target:
        (target / "old").touch()
    with pytest.raises(Interrupted), folder_written_atomically(folder) as target:
        (target / "new").touch()
        raise Interrupted
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


KILLED = """
import os, sys
from pathlib import Path
from leadwise.atomic import {name}
with {name}(Path(sys.argv[1])) as target:
    if {makes_folder}:
        (target / "half").write_text("written")
    os.kill(os.getpid(), 9)
"""


def killed_while(name: str, target: Path) -> None:
    """Use one of the context managers in a process that is killed inside it."""
    program = KILLED.format(name=name, makes_folder=name == "folder_written_atomically")
    done = subprocess.run([sys.executable, "-c", program, str(target)], env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_run_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (tmp_path / ".folder.partial-of-something-else").symlink_to(tmp_path)
    (tmp_path / ".other.partial-abcdefgh").mkdir()
    killed_while("folder_written_atomically", folder)
    assert not folder.exists()
    assert len(list(tmp_path.glob(".folder.partial-????????/half"))) == 1
    with folder_written_atomically(folder) as target:
        (target / "whole").touch()
    assert [path.name for path in folder.iterdir()] == ["whole"]
    # Another target's leftover, and a link, are not this one's to remove.
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"folder", ".other.partial-abcdefgh", ".folder.partial-of-something-else"}


def test_a_folder_that_is_giving_way_now_is_left_alone(tmp_path: Path) -> None:
    folder, beside = _folder(tmp_path / "folder"), _folder(tmp_path / ".folder.replaced-01234567")
    held = os.open(beside, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    folder.rmdir()
    put_back(folder)
    assert not folder.exists()
    os.close(held)
    put_back(folder)
    assert folder.exists()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    elsewhere = _folder(tmp_path / "large-disk") / "store"
    elsewhere.mkdir()
    (tmp_path / "store").symlink_to(elsewhere)
    with folder_written_atomically(tmp_path / "store", durable=True) as target:
        assert target.parent == elsewhere.parent
        (target / "new").touch()
    assert (tmp_path / "store").is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["new"]


def test_a_file_lock_makes_the_second_wait(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "store"
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with file_lock(target, waiting.set):
            order.append("second")

    with file_lock(target):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o775), (0o027, 0o750), (0o077, 0o700)])
def test_what_is_written_has_the_rights_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "one")
        write_atomically(tmp_path / "file", "two")
        for _ in range(2):
            with folder_written_atomically(tmp_path / "folder") as folder:
                (folder / "inside").touch()
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert found == {"file": mode & 0o666, "folder": mode, "inside": mode & 0o666}
