"""A tree out of a zip archive that somebody else made: rightly, by hand, cut short, damaged, or with bad intent."""

import io
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadwise.cli import main
from leadwise.contract import LeadwiseError
from leadwise.datasets.completion import unpack_zip

SUMS = "SHA256SUMS.txt"
SIGNAL = "records100/00000/00007_lr.dat"
TOP = "ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3/"

Site = Any
Content = Iterable[tuple[str | zipfile.ZipInfo, bytes]]


def packed(archive: Path, content: Content, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for name, raw in content:
            opened.writestr(name, raw, compress_type=compression)
    return archive


@pytest.mark.parametrize(
    ("top", "compression"), [(TOP, zipfile.ZIP_DEFLATED), ("", zipfile.ZIP_STORED), ("ptbxl/", zipfile.ZIP_BZIP2)]
)
def test_only_what_is_needed_is_unpacked(site: Site, top: str, compression: int, tmp_path: Path) -> None:
    folders = [(top, b""), (f"{top}records100/", b"")] if top else []
    archive = packed(
        tmp_path / "a.zip", [*folders, *((top + name, raw) for name, raw in site.files.items())], compression
    )
    arrived = unpack_zip(archive, site.dest)
    assert site.is_whole
    assert (arrived.files, arrived.fetched, arrived.records) == (43, 43, 20)
    assert unpack_zip(archive, site.dest).fetched == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../escaped", "leaves the folder"),
        (f"{TOP}../../escaped", "leaves the folder"),
        ("/escaped", "is absolute"),
        ("..\\escaped", "holds a backslash or a colon"),
        ("x" * 1000, "has 1,000 characters"),
    ],
    ids=lambda value: value[:20],
)
def test_a_name_that_is_not_to_be_trusted_stops_it_before_anything_is_written(
    site: Site, name: str, message: str, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = packed(inside / "bad.zip", [*site.files.items(), (name, b"/etc/passwd")])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(LeadwiseError, match=rf"bad\.zip: the name .* {message}.*; nothing was unpacked"):
        unpack_zip(archive, inside / "deep" / "ptbxl")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFREG])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_is_written_through_a_link_or_by_a_second_member_of_the_same_name(
    site: Site, kind: int, tmp_path: Path
) -> None:
    second, folder = zipfile.ZipInfo(SIGNAL), zipfile.ZipInfo("records100")
    for info in (second, folder):
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    archive = packed(tmp_path / "a.zip", [*site.files.items(), (folder, b"/tmp"), (second, b"/etc/passwd")])
    with pytest.raises(LeadwiseError, match=f"1 of 43 files.*\n  {SIGNAL}: wrong content: 11 bytes"):
        unpack_zip(archive, site.dest)
    assert site.content() == {name: raw for name, raw in site.needed.items() if name != SIGNAL}
    assert not any(path.is_symlink() for path in site.dest.rglob("*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([("readme.txt", b"x")], r"holds no ptbxl_database\.csv"),
        ([], r"holds no ptbxl_database\.csv"),
        ([("a/b/ptbxl_database.csv", b"x")], r"holds no ptbxl_database\.csv"),
        ([("a/ptbxl_database.csv", b"x"), ("b/ptbxl_database.csv", b"x")], r"holds several trees \(a, b\)"),
        ([("ptbxl_database.csv", b"x"), (SUMS, b"<html>")], r"SHA256SUMS\.txt: line 1: received '<html>'"),
        ([("ptbxl_database.csv", b"x"), (SUMS, b"0" * 64 + b" x")], r"lists no ptbxl_database\.csv and no scp_"),
    ],
)
def test_an_archive_of_something_else(content: Content, message: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", content)
    with pytest.raises(LeadwiseError, match=message):
        unpack_zip(archive, tmp_path / "ptbxl")
    assert not (tmp_path / "ptbxl").exists()


def test_without_a_list_of_sums_nothing_is_unpacked_until_there_is_one(site: Site, tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", [(TOP + name, raw) for name, raw in site.files.items() if name != SUMS])
    dest = site.dest
    with pytest.raises(LeadwiseError, match=rf"holds no SHA256SUMS\.txt.*nothing was unpacked.*into {dest} and"):
        unpack_zip(archive, dest)
    assert not dest.exists()
    dest.mkdir()
    (dest / SUMS).write_bytes(site.files[SUMS])
    unpack_zip(archive, dest)
    assert site.is_whole


def test_a_member_with_another_content_or_none_is_named_and_all_others_come(site: Site, tmp_path: Path) -> None:
    changed = site.files | {SIGNAL: site.files[SIGNAL][::-1]}
    del changed["records100/00000/00002_lr.hea"]
    dest = site.dest
    with pytest.raises(LeadwiseError) as caught:
        unpack_zip(packed(tmp_path / "a.zip", changed.items()), dest)
    assert "2 of 43 files could not be had; the others are there and whole" in str(caught.value)
    assert "records100/00000/00002_lr.hea: not in the archive" in str(caught.value)
    assert f"{SIGNAL}: wrong content: 24,000 bytes with SHA-256" in str(caught.value)
    assert site.content().items() < site.needed.items()
    assert unpack_zip(packed(tmp_path / "b.zip", site.files.items()), dest).fetched == 2
    assert site.is_whole


def test_a_download_cut_short_is_named(site: Site, tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", site.files.items())
    raw = archive.read_bytes()
    for size in (0, 1, 1000, len(raw) // 2, len(raw) - 1):
        archive.write_bytes(raw[:size])
        with pytest.raises(LeadwiseError, match=rf"a\.zip: is no whole zip archive \({size:,} bytes; .* cut short"):
            unpack_zip(archive, site.dest)
    assert not site.dest.exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_named_and_all_others_come(site: Site, compression: int, tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", site.files.items(), compression)
    with zipfile.ZipFile(archive) as opened:
        member = opened.getinfo(SIGNAL)
    raw = bytearray(archive.read_bytes())
    middle = member.header_offset + 30 + len(SIGNAL) + member.compress_size // 2
    raw[middle : middle + 8] = bytes(byte ^ 255 for byte in raw[middle : middle + 8])
    archive.write_bytes(raw)
    with pytest.raises(LeadwiseError, match=rf"1 of 43 files.*\n  {SIGNAL}: cannot be read from the archive: "):
        unpack_zip(archive, site.dest)
    assert site.content() == {name: content for name, content in site.needed.items() if name != SIGNAL}


def test_bombs_are_not_unpacked(site: Site, tmp_path: Path) -> None:
    """One member says how large it is, another lies."""
    huge = site.files | {SIGNAL: bytes(2**26 + 1), "records100/00000/00008_lr.dat": bytes(2**26 + 2)}
    archive = packed(tmp_path / "a.zip", huge.items())
    assert archive.stat().st_size < 2**20
    archive.write_bytes(archive.read_bytes().replace(struct.pack("<L", 2**26 + 2), struct.pack("<L", 24_000)))
    with pytest.raises(LeadwiseError) as caught:
        unpack_zip(archive, site.dest)
    assert (
        f"{SIGNAL}: cannot be read from the archive: ValueError: 67,108,865 bytes; no file of PTB-XL has more"
        in str(caught.value)
    )
    assert "records100/00000/00008_lr.dat: cannot be read from the archive: BadZipFile: Bad CRC-32" in str(caught.value)
    assert sum(map(len, site.content().values())) < 2_000_000


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damage_is_an_error_or_harmless(
    site: Site, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    few = {name: raw for name, raw in site.files.items() if "records" not in name or "00007" in name}
    few["ptbxl_database.csv"] = few["ptbxl_database.csv"][:500]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, raw in few.items():
            opened.writestr(name, raw)
    damaged = bytearray(buffer.getvalue())
    structure = damaged.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(structure, len(damaged) - 1), st.integers(0, len(damaged) - 1)))
        damaged[place] = data.draw(st.integers(0, 255))
    (folder / "a.zip").write_bytes(damaged)
    try:
        unpack_zip(folder / "a.zip", folder / "in" / "ptbxl")
    except LeadwiseError as error:
        said = str(error)
    else:
        said = "complete"
    assert said != "complete", "40 of the listed files are not in this archive"
    tree = folder / "in" / "ptbxl"
    written = [file for file in folder.rglob("*") if file.is_file() and file.name not in ("a.zip", SUMS)]
    assert all(file.read_bytes() == few.get(file.relative_to(tree).as_posix()) for file in written)


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    for name, message in (("absent.zip", "No such file"), ("", "Is a directory"), ("page.zip", "is no whole zip")):
        with pytest.raises(LeadwiseError, match=message):
            unpack_zip(tmp_path / name, tmp_path / "ptbxl")
    with pytest.raises(LeadwiseError, match="250 Hz"):
        unpack_zip(tmp_path / "absent.zip", tmp_path / "ptbxl", rate_hz=250)


def test_the_command(site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    archive, dest = packed(tmp_path / "a.zip", site.files.items()), site.dest
    assert main(["download", str(dest), "--from-zip", str(archive)]) == 0
    assert capsys.readouterr().out.endswith(f"Next: make run DATA={dest}\n")
    assert site.is_whole
    assert main(["download", str(dest), "--from-zip", str(tmp_path / "absent.zip")]) == 1
    message = f"leadwise download: error: {tmp_path}/absent.zip: cannot be read: No such file or directory\n"
    assert capsys.readouterr().err == message
