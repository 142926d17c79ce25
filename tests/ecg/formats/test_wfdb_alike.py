"""Records with headers that are alike are read the quick way, and it gives what the general way gives."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.formats.header_cache import read_alike

SAMPLES = np.round(simulate_record("NORM", 4, noise=0.5).signal_mv * 1000).astype("<i2")


def write(folder: Path, samples: np.ndarray, *, name: str = "rec", gain: str = "1000.0(0)/mV", offset: int = 0) -> Path:
    """A record as PhysioNet lays it out, or with an offset as the challenges of 2020 and 2021 do."""
    fmt, ending = (f"16+{offset}", "mat") if offset else ("16", "dat")
    sums = samples.sum(axis=0, dtype=np.int64).astype(np.int16)
    lines = [f"{name} {len(LEADS)} 100 {len(samples)} 12:30:00 01/02/2020"]
    lines += [
        f"{name}.{ending} {fmt} {gain} 16 0 {first} {total} 0 {lead}"
        for first, total, lead in zip(samples[0], sums, LEADS, strict=True)
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.{ending}").write_bytes(bytes(offset) + samples.tobytes())
    header = folder / f"{name}.hea"
    header.write_text("\n".join([*lines, "# Age: 61", "# Sex: F"]) + "\n")
    return header


def outcome(header: Path, **hints: Any) -> Any:
    """All that is read of a record, or how it is refused; with any hint the general way is taken."""
    try:
        read = read_ecg(header, **hints)
    except ReaderError as error:
        return str(error)
    told = {field.name: getattr(read, field.name) for field in fields(read)}
    signal_mv = told.pop("signal_mv")
    return told, None if signal_mv is None else (signal_mv.dtype, signal_mv.shape, signal_mv.tobytes())


def taken_quickly(header: Path) -> bool:
    return read_alike(header, Path.read_bytes) is not None


@pytest.mark.parametrize(
    ("gain", "offset"), [("1000.0(0)/mV", 0), ("1000/mV", 24), ("204.8(-37)/mV", 0), ("1(12)/uV", 0)]
)
def test_the_next_record_of_a_collection_is_read_quickly_and_alike(tmp_path: Path, gain: str, offset: int) -> None:
    read_ecg(write(tmp_path, SAMPLES, name="first", gain=gain, offset=offset))
    other = np.roll(SAMPLES, 40, axis=0) * np.int16(-1)
    header = write(tmp_path, other, name="second", gain=gain, offset=offset)
    header.write_text(header.read_text().replace("Age: 61", "Age: 34"))
    assert taken_quickly(header)
    assert outcome(header) == outcome(header, order="time_lead")
    assert read_ecg(header).patient == {"age": 34, "sex": 1}


def test_a_record_with_an_offset_is_read_as_wfdb_reads_it(tmp_path: Path) -> None:
    import wfdb

    header = write(tmp_path, SAMPLES, gain="1000/mV", offset=24)
    np.testing.assert_allclose(
        read_ecg(header).signal_mv, wfdb.rdrecord(str(header.with_suffix(""))).p_signal, atol=2e-6
    )


def changed_samples(kind: str) -> np.ndarray:
    samples = SAMPLES.copy()
    match kind:
        case "missing":
            samples[300:310, 4] = -(2**15)
        case "missing ends":
            samples[:20] = -(2**15)
        case "small":
            samples //= np.int16(100)
        case "large":
            samples *= np.int16(9)
    return samples


FIELD = st.tuples(
    st.integers(0, 12),
    st.integers(0, 8),
    st.sampled_from(
        ["", "0", "-1", "7", "16+2", "80", "2000/mV", "200(5)/uV", "0/mV", "x", "9" * 13, "1_0", "٣", "V1"]
    ),
)
LINE = st.tuples(
    st.integers(0, 15),
    st.sampled_from(
        ["# Age: 200", "#<age>: 40 <sex>: M", "# Height: tall", "", "  ", "rec.dat 16 1000/mV 16 0 0 0 0 X"]
    ),
)


@given(
    samples=st.sampled_from(["as they are", "missing", "missing ends", "small", "large"]),
    flip=st.booleans(),
    length=st.sampled_from([0, -1, 1, -4000]),
    put=st.lists(FIELD, max_size=2),
    lines=st.lists(LINE, max_size=2),
    separator=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
@example(samples="as they are", flip=False, length=0, put=[], lines=[], separator="\n")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_odd_is_told_as_the_general_way_tells_it(
    tmp_path: Path,
    samples: str,
    flip: bool,
    length: int,
    put: list[tuple[int, int, str]],
    lines: list[tuple[int, str]],
    separator: str,
) -> None:
    read_ecg(write(tmp_path, SAMPLES, name="first"))
    header = write(tmp_path, changed_samples(samples))
    text = header.read_text().splitlines()
    for line, field, new in put:
        parts = text[line].split(" ")
        parts[min(field, len(parts) - 1)] = new
        text[line] = " ".join(parts)
    for line, new in lines:
        text.insert(min(line, len(text)), new)
    header.write_bytes((separator.join(text) + separator).encode())
    signal_file = header.with_suffix(".dat")
    content = bytearray(signal_file.read_bytes())
    content[500] ^= flip
    signal_file.write_bytes(content[:length] if length < 0 else content + bytes(length))
    assert outcome(header) == outcome(header, order="time_lead")


def test_a_record_without_its_signal_file_is_refused_as_ever(tmp_path: Path) -> None:
    read_ecg(write(tmp_path, SAMPLES, name="first"))
    header = write(tmp_path, SAMPLES)
    header.with_suffix(".dat").unlink()
    with pytest.raises(ReaderError, match=r"rec.hea: signal file: names rec.dat, which is missing"):
        read_ecg(header)


@pytest.mark.real
def test_real_recordings_are_read_quickly_and_alike(ptbxl_tree: Path) -> None:
    headers = sorted(ptbxl_tree.glob("records100/*/*.hea"))[::40]
    outcome(headers[0])
    for header in headers[1:]:
        assert taken_quickly(header)
        assert outcome(header) == outcome(header, order="time_lead")
