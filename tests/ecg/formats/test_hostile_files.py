"""Whatever a file holds, it is read or refused with a ReaderError, soon and in little memory."""

import io
import re
import resource
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from device_files import WRITERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from leadwise.ecg.formats import ReaderError, read_ecg

Make = Callable[..., Any]

KINDS = (
    "edf", "hl7", "muse", "dicom", "bare", "deflated", "csv", "npz", "npy", "parquet", "mat", "packed", "zip",
    *(kind for kind in WRITERS if kind != "segments"), "scp-plain", "scp-reference", "philips-plain", "hdf5-many",
)  # fmt: skip
MAGIC = (
    b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"PAR1", bytes(128) + b"DICM", b"0       ", b"<RestingECG>",
    b'<AnnotatedECG xmlns="urn:hl7-org:v3">', b"rec 12 500 5000\nrec.dat 16 1000/mV 16 0 0 0 0 I\n",
    bytes(124) + b"\x00\x01IM", b"ISHNE1.0", b"@\x20MFR Standard", b"\x89HDF\r\n\x1a\n\0",
    b"\0\0\0\1\0\0" + struct.pack("<HHI", 0, 0, 136) + b"\x14\x14SCPECG" + struct.pack("<HII", 0, 136, 7),
    b"<restingecgdata>", b"<ECG><CHANNEL ", b"<CardiologyXML><StripData>", b"rec/3 12 500 5000\nrec_1 2500\n",
    b"DICM", b"\x08\x00\x05\x00CS\n\0",
    b"I,II,V1,V2,V3,V4,V5,V6\n", b"\xff\xfe", b"\xef\xbb\xbf", b"",
)  # fmt: skip
ENDLESS_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
NUMBERS = (b"99999999", b"-1", b"0", b"1e308", b"nan", b"4294967295", b"123456789012345678901234567890", b"")


@pytest.fixture(scope="module")
def valid(ecg: Make, write: Make, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small valid file of every kind, or the files of a record by name."""
    one = ecg(seconds=6)
    files = {kind: write(kind, one) for kind in ("edf", "hl7", "muse", "dicom", "csv", "npz", "parquet")}
    files |= {kind: write(kind, one) for kind in WRITERS if kind != "segments"}
    files["scp-plain"] = write("scp", one, huffman=False, differences=1)
    files["scp-reference"] = write("scp", one, reference=True)
    files["philips-plain"] = write("philips", one, packed=False, encoding="Plain")
    files["hdf5-many"] = write("hdf5", one, many=3, compression="gzip", chunks=(1, 600, 12))
    files["deflated"] = write("dicom", one, syntax="1.2.840.10008.1.2.1.99")
    files["npy"] = write("npy", one.microvolts)
    files["bare"] = files["dicom"][132:]
    for kind, packed in (("mat", False), ("packed", True)):
        stream = io.BytesIO()
        savemat(stream, {"ECG": {"sex": "Male", "age": 60, "data": one.mv.T}}, do_compression=packed)
        files[kind] = stream.getvalue()
    folder = tmp_path_factory.mktemp("hostile")
    files["record"] = write("wfdb", one, folder / "record")
    files["compressed"] = write("wfdb", one, folder / "compressed", fmt="516")
    return files | {"zip": write("zip", files["record"])}


def read_or_refuse(source: Any) -> None:
    """Nothing but a ReaderError may come out, with questions answered as well."""
    refusal: ReaderError | None = None
    try:
        read = read_ecg(source)
        if read.questions:
            suggested = {one.field: one.suggestion for one in read.questions if one.suggestion is not None}
            read = read_ecg(source, **suggested)
        assert read.signal_mv is None or read.signal_mv.dtype == np.float32
        read.recording()
    except ReaderError as error:
        refusal = error
    # A field "reader" is said of one that fell: of whatever a file holds, a part of it is named.
    if refusal is not None:
        assert (bool(refusal.problem), str(refusal).isprintable(), refusal.field == "reader") == (True, True, False)


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes changed, cut out, put in, or another number in the place of one."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        # Most that can go wrong stands in headers, at the beginning and at the end.
        near = draw(st.integers(0, min(len(damaged), 2500)))
        at = draw(st.sampled_from([near, len(damaged) - near, near * max(len(damaged) // 2500, 1)]))
        match draw(st.integers(0, 4)):
            case 0:
                damaged[at : at + 4] = draw(st.binary(min_size=1, max_size=4))
            case 1:
                del damaged[at : at + draw(st.sampled_from([1, 2, 7, 100]))]
            case 2:
                damaged[at:at] = draw(st.binary(min_size=1, max_size=20))
            case 3:
                found = re.compile(rb"\d+").search(damaged, at)
                if found is not None:
                    damaged[found.start() : found.end()] = draw(st.sampled_from(NUMBERS))
            case 4:
                del damaged[at:]
    return bytes(damaged)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("kind", [*KINDS, "record", "compressed"])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(valid: dict[str, Any], kind: str, data: st.DataObject) -> None:
    content = valid[kind]
    if isinstance(content, bytes):
        read_or_refuse(data.draw(damage(content)))
    else:
        names = data.draw(st.sets(st.sampled_from(sorted(content)), min_size=1))
        read_or_refuse(content | {name: data.draw(damage(content[name])) for name in sorted(names)})


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from(MAGIC),
    rest=st.one_of(st.binary(max_size=600), st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore"))),
    name=st.sampled_from(["", "a.csv", "a.edf", "a.dcm", "a.hea", "a.dat", "a.npy", "a.xml", "a.zip"]),
)
def test_random_bytes_after_any_beginning_are_refused(start: bytes, rest: bytes, name: str) -> None:
    with pytest.raises(ReaderError) as caught:
        read_ecg(start + rest, name=name).recording()
    assert caught.value.field != "reader"


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="0123456789.,;\t -+eE\nInaV\"'#:", max_size=3000))
def test_random_tables_are_read_or_refused(text: str) -> None:
    read_or_refuse(text.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_off_anywhere_is_read_or_refused(valid: dict[str, Any], kind: str) -> None:
    content = valid[kind]
    for length in np.unique(np.geomspace(1, len(content), 40).astype(int)):
        read_or_refuse(content[:length])


HUGE: dict[str, Callable[[], bytes]] = {
    "one long line": lambda: b"1," * 20_000_000,
    "empty lines": lambda: b"\n" * 2**25,
    "too many lines": lambda: b"1,2,3,4,5,6,7,8\n" * 2_000_000,
    "comments": lambda: b"<!--" * 5_000_000,
    "blank text": lambda: b"<RestingECG>" + b"\n" * 10_000_000,
    "deep XML": lambda: b"<RestingECG>" + b"<a>" * 5_000_000,
    "digits": lambda: b"<AnnotatedECG><digits>" + b"1 " * 10_000_000,
    "nested header": lambda: b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000,
    "huge header": lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" * 60_000,
    "signals": lambda: b"0       " + b" " * 176 + b"256     " + b" " * 44 + b"1       1       256 " + b"0" * 5_000_000,
    "directory": lambda: b"PK\x01\x02" * 1_000_000 + b"PK\x05\x06" + bytes(18),
    "items": lambda: bytes(128) + b"DICM" + ENDLESS_ITEM * 200_000,
    "nested sequences": lambda: (
        bytes(128) + b"DICM" + (b"\x00\x54\x00\x01SQ\0\0\xff\xff\xff\xff" + ENDLESS_ITEM) * 50_000
    ),
}
"""Made when they are needed: together they have 200 MB."""


@pytest.mark.parametrize("name", HUGE)
def test_huge_and_nested_files_are_refused_in_little_memory(name: str) -> None:
    content = HUGE[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReaderError):
        read_ecg(content).recording()
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 1024


def test_two_hundred_signals_of_a_tiny_record_do_no_harm() -> None:
    lines = "\n".join("r.dat 16:1000000 1000/mV 16 0 0 0 0 I" for _ in range(256))
    read_or_refuse({"r.hea": f"r 256 100 1\n{lines}".encode(), "r.dat": bytes(2**20)})
