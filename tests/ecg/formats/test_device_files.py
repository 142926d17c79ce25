"""The formats of carts, Holters, MATLAB and HDF5: every way in which they store samples, and headers that lie."""

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg

EXACT_MV = 3e-6
"""float32 of some millivolts."""


@pytest.fixture
def made(ecg: Callable[..., Any], write: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """``made(kind, one, ...)``: what ``read_ecg`` takes; the recording is of 500 Hz if none is given."""

    def make(kind: str, one: Any = None, **more: Any) -> Any:
        one = ecg(500) if one is None else one
        return write(kind, one, *([tmp_path / kind] if kind == "segments" else []), **more)

    return make


@pytest.mark.parametrize(
    ("kind", "how", "tolerance_mv"),
    [
        ("scp", {"huffman": False}, 0),
        ("scp", {"huffman": False, "differences": 0}, 0),
        ("scp", {"differences": 1}, 0),
        ("scp", {"reference": True}, 0),
        ("scp", {"reference": True, "huffman": False}, 0),
        ("scp", {"step_nv": 2500}, 1.25e-3),
        ("scp", {"version": 30, "bimodal": 1}, 0),
        ("philips", {"version": "1.03"}, 0),
        ("philips", {"version": "1.04.01", "packed": False}, 0),
        ("philips", {"packed": False, "encoding": "Plain"}, 0),
        ("philips", {"pulse": False}, 0),
        ("philips", {"step_uv": 5.0}, 2.5e-3),
        ("ishne", {"step_nv": 2500, "own": b""}, 1.25e-3),
        ("mfer", {"big": True}, 0),
        ("mfer", {"data_type": 2, "block": 5000}, 0),
        ("mfer", {"data_type": 7}, 0),
        ("mortara", {"per_mv": 200}, 2.5e-3),
        ("cardiosoft", {"step_uv": 4.88}, 2.44e-3),
        ("hdf5", {"lead_time": True, "compression": "gzip", "shuffle": True}, 0),
        ("hdf5", {"userblock_size": 512}, 0),
        ("mat73", {"cells": False}, 0),
        ("mat5", {"do_compression": True}, 0),
        ("segments", {"variable": True}, 0),
    ],
)
def test_every_way_in_which_a_format_stores_samples(
    ecg: Callable[..., Any], made: Callable[..., Any], kind: str, how: dict[str, Any], tolerance_mv: float
) -> None:
    one = ecg(500)
    named = {"leads": LEADS} if how == {"cells": False} else {}
    read = read_ecg(made(kind, **how), **named)
    assert (read.fs_hz, read.leads, read.samples) == (500, LEADS, 5000)
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=tolerance_mv + EXACT_MV)
    assert bool([note for note in read.notes if "pulse of 1 mV" in note]) is (kind == "philips" and "pulse" not in how)


def test_own_huffman_tables_of_scp(ecg: Callable[..., Any], made: Callable[..., Any]) -> None:
    """Section 2 spells the codes of the default table out, each with its bits the wrong way round."""

    def row(prefix: int, total: int, mode: int, value: int, bits: str) -> bytes:
        return struct.pack("<BBBhI", prefix, total, mode, value, int(bits[::-1], 2))

    default = [row(1, 1, 1, 0, "0")]
    for size in range(1, 9):
        default += [
            row(size + 2, size + 2, 1, sign * size, "1" * size + "0" + mark) for sign, mark in ((1, "0"), (-1, "1"))
        ]
    default += [row(10, 18, 1, 0, "1" * 9 + "0"), row(10, 26, 1, 0, "1" * 10)]
    tables = struct.pack("<HH", 1, len(default)) + b"".join(default)
    np.testing.assert_allclose(read_ecg(made("scp", tables=tables)).signal_mv, ecg(500).mv, atol=EXACT_MV)


def test_a_gap_between_segments_is_missing_and_so_is_what_a_segment_lacks(made: Callable[..., Any]) -> None:
    read = read_ecg(made("segments", variable=True, gap=50))
    assert np.isnan(read.signal_mv).all(axis=1).sum() == 50
    recording = read.recording()
    assert set(recording.missing.values()) == {50}
    assert "The file holds 4 segments, which were put together." in read.notes


def test_segments_are_found_on_a_disk_and_asked_for_where_they_are_missing(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    files = made("segments", variable=True)
    for source in (tmp_path / "segments" / "rec.hea", tmp_path / "segments" / "rec"):
        np.testing.assert_array_equal(read_ecg(source).signal_mv, read_ecg(files).signal_mv)
    for missing in ("rec_0002.hea", "rec_0002.dat"):
        with pytest.raises(ReaderError, match="missing"):
            read_ecg({name: content for name, content in files.items() if name != missing})
    with pytest.raises(ReaderError, match="header: is the layout of a record"):
        read_ecg(files["rec_layout.hea"], name="rec_layout.hea")


def test_which_of_many_recordings_is_asked_or_named(
    ecg: Callable[..., Any], made: Callable[..., Any], tmp_path: Path
) -> None:
    one = ecg(500)
    for kind, ending in (("hdf5", ".h5"), ("mat73", ".mat")):
        file = tmp_path / f"many{ending}"
        file.write_bytes(made(kind, many=20))
        asked = read_ecg(file)
        assert [question.field for question in asked.questions] == ["record"]
        assert f"many{ending}#0" in asked.questions[0].text
        with pytest.raises(ReaderError, match="record: The file holds 20 recordings"):
            asked.recording()
        for read in (read_ecg(f"{file}#17"), read_ecg(file.read_bytes(), name=file.name, record=17)):
            assert (read.questions, read.file) == ((), f"many{ending}#17")
            np.testing.assert_allclose(read.signal_mv, one.mv + 0.017, atol=EXACT_MV)
    read = read_ecg(f"{tmp_path}/many.h5#17")
    assert read.patient == {"age": 75, "sex": 1}
    with pytest.raises(ReaderError, match="record: received 20; 'signal' holds 0 to 19"):
        read_ecg(f"{tmp_path}/many.h5#20")
    (tmp_path / "one.scp").write_bytes(made("scp"))
    with pytest.raises(ReaderError, match="record: received 1; a file of this format holds one recording"):
        read_ecg(f"{tmp_path}/one.scp#1")


def test_what_an_hdf5_file_does_not_say_is_asked(ecg: Callable[..., Any]) -> None:
    with h5py.File(stream := io.BytesIO(), "w") as file:
        file["tracings"], file["exam_id"] = ecg(400).microvolts / 100, 7
    content = stream.getvalue()
    assert {question.field for question in read_ecg(content).questions} == {"fs_hz", "units", "leads"}
    answered = read_ecg(content, fs_hz=400, gain=10, leads=LEADS)
    np.testing.assert_allclose(answered.signal_mv, ecg(400).mv, atol=EXACT_MV)


def test_a_missing_extra_is_named(made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content = made("hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ReaderError, match=r"format: needs leadwise\[formats\]: pip install 'leadwise\[formats\]'"):
        read_ecg(content)


def test_damaged_samples_of_scp_are_noticed(made: Callable[..., Any]) -> None:
    content = bytearray(made("scp", huffman=False, differences=0))
    content[-2000] ^= 1
    read = read_ecg(bytes(content))
    assert "checksum_mismatch" in read.noticed
    assert any("checksum" in note for note in read.notes)
