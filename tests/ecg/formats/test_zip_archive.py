"""Zip archives: unpacked in memory, and refused where they mean harm."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.formats.zip_archive import unpack

Make = Callable[..., Any]

TABLE = b"I,II,V1,V2,V3,V4,V5,V6\n" + b"1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1\n" * 300


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_lose_their_folders_and_litter_is_left(compression: int) -> None:
    members = {"a/b/one.csv": TABLE, "__MACOSX/a/b/._one.csv": b"x", "a/.DS_Store": b"x", "two.txt": b"", "empty/": b""}
    assert unpack("a.zip", packed(members, compression)) == {"one.csv": TABLE, "two.txt": b""}


def encrypted(content: bytes) -> bytes:
    """The archive with the flag of encryption set on its first member."""
    at = content.index(b"PK\x01\x02")
    return content[:6] + b"\1" + content[7 : at + 8] + b"\1" + content[at + 9 :]


def of_false_size(content: bytes, size: int) -> bytes:
    """The archive claiming another size of its first member, unpacked."""
    at = content.index(b"PK\x01\x02")
    return content[:22] + struct.pack("<I", size) + content[26 : at + 24] + struct.pack("<I", size) + content[at + 28 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: packed({"a.csv": bytes(2**26 + 1)}), "zip: unpacks to more than 64 MiB"),
        (lambda: packed({f"{n}.csv": bytes(2**24) for n in range(5)}), "zip: unpacks to more than 64 MiB"),
        (lambda: of_false_size(packed({"a.csv": bytes(2**26 + 1)}), 10), "zip: is broken or cut off"),
        (lambda: packed({f"{n}.csv": b"" for n in range(65)}), "zip: holds more than 64 files"),
        (lambda: packed({"../../etc/cron.d/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"..\\x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"/tmp/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"C:/x.csv": TABLE}), "zip: names x.csv outside of the archive"),
        (lambda: packed({"a/x.csv": TABLE, "b/x.csv": TABLE}), "zip: holds x.csv more than once"),
        (lambda: encrypted(packed({"x.csv": TABLE})), "zip: is encrypted; unpack it"),
        (lambda: packed({"inner.zip": packed({"x.csv": TABLE})}), "inner.zip: format: is not recognised"),
        (lambda: packed({"__MACOSX/x": b""}), "zip: holds no file"),
        (lambda: packed({}), "zip: holds no file"),
        (lambda: packed({"x.csv": TABLE})[:-30], "zip: is broken or cut off"),
        (lambda: packed({"x.csv": TABLE}).replace(TABLE[:8], b"y"), "x.csv|zip"),
        (
            lambda: packed({"[Content_Types].xml": b"<x/>", "xl/a.xml": b"<x/>"}),
            "is an Office file; save the table as CSV",
        ),
        (lambda: packed({"a.csv": TABLE, "b.csv": TABLE}), r"files: hold 2 recordings \(a.csv, b.csv\); one at a time"),
    ],
)
def test_an_archive_that_means_harm_or_is_broken_is_refused(content: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        read_ecg(content(), name="a.zip").recording()


def test_other_files_beside_a_recording_are_named(ecg: Make, write: Make) -> None:
    one = ecg()
    read = read_ecg(packed({"ecg.edf": write("edf", one), "report.pdf": b"%PDF-1.4", "readme.txt": b"1, 2, 3 and 4"}))
    assert read.notes == ("Not read: report.pdf, readme.txt.",)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-5)
