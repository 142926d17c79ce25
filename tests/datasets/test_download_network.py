"""A download from servers that give files rightly, wrongly, late, or not at all; each ends in a tree to go on with."""

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from free_port import free_port

from leadwise.cli import main
from leadwise.contract import LeadwiseError
from leadwise.datasets.download import FAILURES_IN_A_ROW, Arrived, download

Site = Any

SUMS = "SHA256SUMS.txt"
TABLE = "ptbxl_database.csv"
SIGNAL = "records100/00000/00007_lr.dat"
HEADER = "records100/00000/00009_lr.hea"


def fetch(
    dest: Path, *servers: Any, jobs: int = 4, timeout_s: float = 20.0, tries: int = 3, backoff_s: float = 0.001
) -> Arrived:
    sources = [server if isinstance(server, str) else server.url for server in servers]
    return download(dest, sources=sources, jobs=jobs, timeout_s=timeout_s, tries=tries, backoff_s=backoff_s)


def next_call_completes(site: Site, server: Any, *missing: str) -> None:
    """Once the server is well again, exactly what was missing is asked for, and the tree is whole."""
    assert site.content() == {name: raw for name, raw in site.needed.items() if name not in missing}
    server.forget()
    arrived = fetch(site.dest, server)
    assert server.asked.keys() == {SUMS, *missing}
    assert (arrived.fetched, arrived.files) == (len(missing), len(site.needed) - 1)
    assert site.is_whole


def test_only_what_is_needed_is_fetched_and_only_once(site: Site) -> None:
    server, dest = site.start(), site.dest
    arrived = fetch(dest, server)
    assert site.is_whole
    assert dict(server.asked) == dict.fromkeys(site.needed, 1)
    assert (arrived.records, arrived.files, arrived.fetched) == (20, len(site.needed) - 1, len(site.needed) - 1)
    assert arrived.fetched_bytes == sum(map(len, site.needed.values())) - len(site.needed[SUMS])
    before = {file: file.stat() for file in dest.rglob("*")}
    next_call_completes(site, server)
    assert {file: file.stat().st_mtime_ns for file in before} == {f: s.st_mtime_ns for f, s in before.items()}


def test_the_other_rate_is_added_beside(site: Site) -> None:
    server, dest = site.start(), site.dest
    fetch(dest, server)
    server.forget()
    arrived = download(dest, sources=[server.url], rate_hz=500)
    assert arrived.fetched == 40
    assert all(name == SUMS or name.startswith("records500/") for name in server.asked)
    assert site.content().items() > site.needed.items()


def test_damaged_and_outdated_files_are_replaced(site: Site) -> None:
    server, dest = site.start(), site.dest
    fetch(dest, server)
    (dest / SIGNAL).write_bytes(site.needed[SIGNAL][:-1])
    (dest / TABLE).write_bytes(site.needed[TABLE] + b"\n")
    (dest / SUMS).write_bytes(b"of another release")
    (dest / "notes.txt").write_text("mine")
    server.forget()
    arrived = fetch(dest, server)
    assert (arrived.fetched, arrived.replaced) == (2, 2)
    assert dict(server.asked) == {SUMS: 1, SIGNAL: 1, TABLE: 1}
    assert site.content() == site.needed | {"notes.txt": b"mine"}


@pytest.mark.parametrize("code", [404, 403])
def test_what_one_source_does_not_have_comes_from_the_next_without_asking_again(site: Site, code: int) -> None:
    server, mirror = site.start(), site.start()
    server.always |= dict.fromkeys((SIGNAL, HEADER), server.status(code))
    fetch(site.dest, server, mirror)
    assert dict(server.asked) == dict.fromkeys(site.needed, 1)
    assert dict(mirror.asked) == {SIGNAL: 1, HEADER: 1}
    assert site.is_whole


def test_what_no_source_has_is_named_and_all_others_come(site: Site) -> None:
    server, mirror = site.start(), site.start()
    gone = [name for name in site.needed if name.endswith(".hea")]
    server.always |= dict.fromkeys(gone, server.status(404))
    mirror.always |= dict.fromkeys(gone, server.status(403))
    with pytest.raises(LeadwiseError) as caught:
        fetch(site.dest, server, mirror)
    lines = str(caught.value).splitlines()
    assert "20 of 43 files could not be had" in lines[0]
    assert len(lines) == 1 + 5 + 1
    assert all("404 Not Found; 127.0.0.1" in line and line.endswith("403 Forbidden") for line in lines[1:-1])
    assert lines[-1].strip() == "and 15 more"
    next_call_completes(site, server, *gone)


def test_a_server_that_asks_for_an_hour_is_left_for_the_mirror(site: Site) -> None:
    server, mirror = site.start(), site.start()
    server.always |= {"*": server.status(503, Retry_After="3600"), SUMS: server.right}
    fetch(site.dest, server, mirror, jobs=1, tries=2)
    assert sum(server.asked.values()) <= 1 + 2 * FAILURES_IN_A_ROW, "it is not asked for every file"
    assert site.is_whole


def test_a_server_that_stays_busy_ends_it_early(site: Site) -> None:
    server = site.start()
    server.always |= {"*": server.status(503), SUMS: server.right}
    with pytest.raises(LeadwiseError) as caught:
        fetch(site.dest, server)
    assert "503 Service Unavailable" in str(caught.value)
    assert "0 of 43 files are there and whole. The same command goes on from here" in str(caught.value)
    assert sum(server.asked.values()) <= 1 + 3 * (FAILURES_IN_A_ROW + 4)
    next_call_completes(site, server, *(site.needed.keys() - {SUMS}))


@pytest.mark.parametrize("act", ["wrong", "drip", "cut", "reset"])
def test_a_content_that_is_wrong_or_a_connection_that_breaks_is_asked_for_again(site: Site, act: str) -> None:
    server = site.start()
    server.script[SIGNAL].append(getattr(server, act))
    fetch(site.dest, server, timeout_s=1)
    assert server.asked[SIGNAL] == 2
    assert site.is_whole


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("stall", r"stalled: nothing came for 1 s"),
        ("cut", "the connection was cut"),
    ],
)
def test_a_connection_that_always_breaks_is_left_for_the_mirror_or_named(site: Site, act: str, message: str) -> None:
    server, mirror = site.start(), site.start()
    server.always[SIGNAL] = getattr(server, act)
    mirror.always[SIGNAL] = getattr(server, act)
    with pytest.raises(LeadwiseError, match=rf"{SIGNAL}: \S+ {message}.*; \S+ {message}"):
        fetch(site.dest, server, mirror, timeout_s=1, tries=2)
    mirror.forget()
    server.asked.clear()
    fetch(site.dest, server, mirror, timeout_s=1, tries=2)
    assert server.asked[SIGNAL] == 2
    assert dict(mirror.asked) == {SIGNAL: 1}
    assert site.is_whole


def nobody() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}/"


def test_no_source_can_be_reached(site: Site) -> None:
    with pytest.raises(LeadwiseError) as caught:
        fetch(site.dest, nobody(), nobody())
    assert "nothing could be fetched, not even SHA256SUMS.txt: 127.0.0.1" in str(caught.value)
    assert str(caught.value).count("no connection: Connection refused") == 2
    assert not site.dest.exists()
    fetch(site.dest, nobody(), site.start())
    assert site.is_whole


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("<html>please log in</html>", "line 1: received '<html>please log in</html>'"),
        (f"{'0' * 64} ptbxl_database.csv\n", "lists no scp_statements.csv"),
        (f"{'0' * 64} ptbxl_database.csv\n{'0' * 64} scp_statements.csv\n", "lists no record in records100/"),
        (
            "".join(f"{'0' * 64} {name}\n" for name in ("ptbxl_database.csv", "scp_statements.csv"))
            + "".join(f"{'0' * 64} records100/{number}.hea\n" for number in range(21_837)),
            "lists the 21,837 records of release 1.0.1, not of 1.0.3",
        ),
    ],
)
def test_a_list_that_is_none_is_taken_from_the_mirror_or_named(
    site: Site, listed: str, message: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / SUMS).write_text(listed)
    with pytest.raises(LeadwiseError) as caught:
        fetch(site.dest, site.serve(other))
    assert message in str(caught.value)
    assert not site.dest.exists()
    (other / SUMS).write_text(listed)
    fetch(site.dest, site.serve(other), site.start())
    assert site.is_whole


def test_two_downloads_into_one_folder(site: Site) -> None:
    server, arrived = site.start(), []
    both = [threading.Thread(target=lambda: arrived.append(fetch(site.dest, server))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [one.files for one in arrived] == [43, 43]
    assert site.is_whole
    assert not list(site.dest.glob(".*"))


def test_a_folder_in_the_way_is_named_and_all_others_come(site: Site) -> None:
    server, dest = site.start(), site.dest
    (dest / SIGNAL / "deeper").mkdir(parents=True)
    with pytest.raises(LeadwiseError, match=f"1 of 43 files.*\n  {SIGNAL}: cannot be written: Is a directory"):
        fetch(dest, server)
    shutil.rmtree(dest / SIGNAL)
    next_call_completes(site, server, SIGNAL)


def test_other_peoples_folders_are_left_alone(site: Site) -> None:
    server, dest = site.start(), site.dest
    dest.mkdir()
    (dest / "LICENSE.txt").write_text("mine")
    with pytest.raises(LeadwiseError, match=r"ptbxl: holds other files \(LICENSE.txt\) and no PTB-XL"):
        fetch(dest, server)
    assert site.content() == {"LICENSE.txt": b"mine"}
    with pytest.raises(LeadwiseError, match=r"LICENSE.txt: cannot be written: Not a directory"):
        fetch(dest / "LICENSE.txt", server)
    assert not server.asked
    with pytest.raises(LeadwiseError, match="cannot be written"):
        fetch(dest / "LICENSE.txt" / "below", server)


def test_a_simulated_tree_is_not_mixed_with_another(site: Site) -> None:
    dest = site.dest
    dest.mkdir()
    for name in ("simulation.json", TABLE):
        (dest / name).write_text("{}")
    with pytest.raises(LeadwiseError, match="holds a simulated tree; real records are never mixed with it"):
        fetch(dest, site.start())
    assert set(site.content()) == {"simulation.json", TABLE}


def test_the_command_says_what_came_and_what_to_type_next(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadwise.datasets.download.LONGEST_WAIT", 0.1)
    server, dest = site.start(), tmp_path / "my data"
    assert main(["download", str(dest), "--source", nobody(), "--source", server.url, "--jobs", "2"]) == 0
    captured = capsys.readouterr()
    (notice,) = captured.err.splitlines()
    assert "no connection: Connection refused. Going on with 127.0.0.1:" in notice
    lines = captured.out.splitlines()
    assert lines[0].endswith("20 records, complete: all 43 files are there and match SHA256SUMS.txt.")
    assert lines[1].startswith("43 files (")
    assert "CC BY 4.0" in captured.out
    assert "doi:10.13026/kfzx-aw45" in captured.out
    assert lines[-1] == f"Next: make run DATA='{dest}'"
    assert main(["download", str(dest), "--source", server.url]) == 0
    assert "0 files (0.0 MB) came in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--release 2", "--release"),
        ("--rate 250", "--rate"),
        ("--from-zip x.zip --jobs 2", "leave them out with --from-zip"),
        ("--from-zip x.zip --source http://x/", "leave them out with --from-zip"),
    ],
)
def test_a_bad_command_line_is_status_2(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["download", "nowhere", *arguments.split()])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": ["s3://physionet-open/ptb-xl/1.0.3/"]}, "received 's3://physionet-open/ptb-xl/1.0.3/'; allowed"),
        ({"sources": ["https://"]}, "received 'https://'"),
        ({"sources": ["ftp://me:secret@host/x"]}, "received 'ftp://host/x'"),
        ({"sources": []}, "no source"),
        ({"jobs": 0}, "0 jobs; allowed: .*1 to 64 jobs"),
        ({"rate_hz": 250}, "250 Hz"),
        ({"release": "1.0.2"}, "release 1.0.2"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(LeadwiseError, match=message):
        download(tmp_path / "ptbxl", **arguments)
    assert not (tmp_path / "ptbxl").exists()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed but itself, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    file = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (tmp_path / "key.pem").read_text())
    return file


def test_only_a_certificate_that_is_trusted_will_do(
    site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, dest = site.start(), site.dest
    server.encrypt(certificate)
    with pytest.raises(LeadwiseError, match=r"certificate verify failed"):
        download(dest, sources=[server.url], backoff_s=0.001)
    assert not server.asked
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert download(dest, sources=[server.url]).fetched == 43


def test_an_encrypted_source_does_not_send_on_to_one_that_is_not(
    site: Site, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, plain = site.start(), site.start()
    server.encrypt(certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server.always[SIGNAL] = server.status(302, Location=plain.url + SIGNAL)
    with pytest.raises(LeadwiseError, match=f"{SIGNAL}: .* sent on to 'http://127.* which is not encrypted"):
        download(site.dest, sources=[server.url])
    server.forget()
    server.script[SIGNAL].append(server.status(302, Location=server.url + SIGNAL))
    assert download(site.dest, sources=[server.url]).fetched == 1
