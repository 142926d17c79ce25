"""A download that is killed, stopped, or runs out of disk: nothing half looks whole, and the next call completes it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import leadwise

Site = Any

SUMS = "SHA256SUMS.txt"
FILES = 43
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(leadwise.__file__).parents[1])}


def command(dest: Path, server: Any) -> list[str]:
    return [sys.executable, "-m", "leadwise.cli", "download", str(dest), "--source", server.url, "--jobs", "4"]


def started(dest: Path, server: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(command(dest, server), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def finished(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)


def hold_after(server: Any, files: int) -> threading.Event:
    """Let the server give so many files, then half of each further one; the event is set when it comes to that."""
    held, given, lock = threading.Event(), iter(range(files)), threading.Lock()

    def act(request: Any, content: bytes) -> None:
        with lock:
            whole = next(given, None) is not None
        if whole:
            request.give(content)
        else:
            held.set()
            server.stall(request, content)

    server.always["*"] = act
    return held


def whole_files(dest: Path, needed: dict[str, bytes]) -> set[str]:
    """The names that stand in the tree; each of them must be whole. Half files have other names."""
    there = {file.relative_to(dest).as_posix() for file in dest.rglob("*") if file.is_file()}
    there = {name for name in there if not name.startswith(".download.partial-")}
    for name in there:
        assert (dest / name).read_bytes() == needed[name], name
    return there


def complete(dest: Path, server: Any, needed: dict[str, bytes], there: set[str]) -> None:
    """The same command, now undisturbed, asks for what is missing only."""
    server.forget()
    done = finished(command(dest, server))
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(server.asked) == {SUMS: 1} | dict.fromkeys(needed.keys() - there, 1)
    assert whole_files(dest, needed) == needed.keys()
    assert not list(dest.glob(".*")), "leftovers are removed"


def test_killed(site: Site) -> None:
    files = 17
    server, dest = site.start(), site.dest
    held = hold_after(server, files)
    process = started(dest, server)
    assert held.wait(60)
    process.kill()
    process.communicate()
    there = whole_files(dest, site.needed)
    assert len(there) <= files
    assert len(there) >= files - 4, "what had come was kept"
    assert list(dest.glob(".download.partial-*"))
    complete(dest, server, site.needed, there)


def test_stopped(site: Site) -> None:
    server, dest = site.start(), site.dest
    held = hold_after(server, 20)
    process = started(dest, server)
    assert held.wait(60)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert said == ("leadwise download: stopped. What has arrived is whole; the same command goes on from here.\n")
    assert not list(dest.glob(".*"))
    complete(dest, server, site.needed, whole_files(dest, site.needed))


@contextmanager
def closed_pipe() -> Iterator[int]:
    """Where a program's messages go whose reader, such as ``| head``, has left."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_the_reader_of_the_messages_has_left(site: Site) -> None:
    """A server that is left for the next one is worth a message; the download ends as other commands do then."""
    server, other, dest = site.start(), site.start(), site.dest
    server.always[SUMS] = server.status(404)
    with closed_pipe() as nobody:
        arguments = [*command(dest, server), "--source", other.url]
        done = subprocess.run(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=nobody, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE, "")
        # What went wrong is told by the status, if not by the message.
        alone = command(dest, server)
        assert subprocess.run(alone, env=ENVIRONMENT, stderr=nobody, timeout=120, check=False).returncode == 1
    assert not dest.exists()


def small_disk(dest: Path, size: str, arguments: list[str], keep: Path) -> list[str]:
    """A command in whose eyes ``dest`` is a disk of its own; what lies on it in the end is copied to ``keep``."""
    script = (
        'mount -t tmpfs -o "$1" none "$2"; cp -a "$3"/. "$2"; dest=$2; keep=$3; shift 3; "$@"; code=$?; '
        'cp -a "$dest"/. "$keep"; exit $code'
    )
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "-o", size, "none", str(dest)]
    if shutil.which("unshare") is None or finished(probe).returncode:
        pytest.skip("a disk of its own needs unshare and the right to mount in a namespace of one's own")
    keep.mkdir(exist_ok=True)
    return ["unshare", "-Urm", "bash", "-c", script, "bash", size, str(dest), str(keep), *arguments]


@pytest.mark.parametrize("limit", ["size=24m", "size=64m,nr_inodes=30"])
def test_full_disk(site: Site, limit: str, tmp_path: Path) -> None:
    """The disk takes what is expected; but one file is larger than expected, or it takes few files, however small."""
    if limit == "size=24m":
        (site.published / "ptbxl_database.csv").write_bytes(site.needed["ptbxl_database.csv"] + b"\n" * 2**25)
        site.list_files()
    server, dest, keep = site.start(), site.dest, tmp_path / "kept"
    dest.mkdir()
    done = finished(small_disk(dest, limit, command(dest, server), keep))
    assert done.returncode == 1, done.stderr
    assert "cannot be written: No space left on device. Stopped: " in done.stderr
    assert f"of {FILES} files are there and whole. The same command goes on from here" in done.stderr
    assert not list(keep.glob(".*"))
    there = whole_files(keep, site.needed)
    assert there
    complete(keep, server, site.needed, there)


def test_a_disk_that_is_too_small_is_noticed_before(site: Site, tmp_path: Path) -> None:
    server, dest, keep = site.start(), site.dest, tmp_path / "kept"
    dest.mkdir()
    done = finished(small_disk(dest, "size=4m", command(dest, server), keep))
    assert done.returncode == 1
    assert "about 9.1 MB are needed and 4.2 MB are free on its disk; nothing was fetched" in done.stderr
    assert dict(server.asked) == {SUMS: 1}
    assert not any(keep.iterdir())
