"""WFDB records, as PhysioNet publishes them: a header (``.hea``) and its signal files (``.dat``, ``.mat``)."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from leadwise.signals.readers.comment_pairs import pairs_in
from leadwise.signals.readers.errors import ReaderError, by_library, shown_name
from leadwise.signals.readers.found import Channel, Found, Hints, Question
from leadwise.signals.readers.patient_facts import facts_of
from leadwise.signals.readers.wfdb_header import Header, SignalLine, read_header

FORMAT = "WFDB"
MISSING_16_BIT = -(2**15)
USUAL_GAIN = 200.0
"""Units per millivolt that the header specification assumes where a header states none."""
PACKED_IN_BITS = {"80": 8, "160": 16, "16": 16, "61": 16, "24": 24, "32": 32, "212": 12, "310": 10, "311": 10}
"""Bits that a sample takes in a file at least; formats 508, 516 and 524 are compressed."""


def read_wfdb(file: str, files: Mapping[str, bytes], hints: Hints) -> Found:
    """Read a record.

    Args:
        file: name of the header.
        files: the header and its signal files by name.
        hints: not needed here.

    Raises:
        ReaderError: a signal file is missing or cut off, or the header is broken.
    """
    header = read_header(file, files[file].decode("utf-8", errors="replace"))
    files = _signal_files(file, header, files)
    _check_lengths(file, header, files)
    stored = _read_directly(header, files) or _read_by_library(file, header, files)
    damaged = _damaged(header, stored)
    facts, oddities = facts_of(pairs_in(header.comments))
    question = None
    if any(line.gain is None for line in header.signals):
        question = Question(
            "gain",
            "The header gives no gain: how many units make one mV? The WFDB specification assumes 200.",
            suggestion=USUAL_GAIN,
        )
    channels = [_channel(line, numbers, header.fs_hz) for line, numbers in zip(header.signals, stored, strict=True)]
    for place in damaged:
        channels[place] = replace(channels[place], noticed=("checksum_mismatch",))
    return Found(FORMAT, tuple(channels), facts, (*_checksum_notes(header, damaged), *oddities), question)


def _signal_files(file: str, header: Header, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every signal file by its name in the header."""
    held = header.held_as(files)
    for name in header.files:
        if name not in held:
            raise ReaderError(
                file,
                "signal file",
                f"names {shown_name(name)}, which is missing; give header and signal files together",
            )
    if len(set(held.values())) < len(held):
        raise ReaderError(file, "signal file", "names two files that differ in folder or ending only; one is needed")
    return {name: files[given] for name, given in held.items()}


def _check_lengths(file: str, header: Header, files: Mapping[str, bytes]) -> None:
    """Every signal file is as long as the header says."""
    for name in header.files:
        lines = [line for line in header.signals if line.file == name]
        bits = PACKED_IN_BITS.get(lines[0].format)
        if bits is None or header.samples is None:
            continue
        a_frame = sum(line.samples_per_frame for line in lines)
        needed = int(header.samples * a_frame * bits / 8) + lines[0].offset
        if len(files[name]) < needed:
            raise ReaderError(
                name, "signal file", f"is cut off: received {len(files[name])} bytes, {needed} are needed by {file}"
            )


def _read_directly(header: Header, files: Mapping[str, bytes]) -> list[np.ndarray]:
    """The stored numbers of a record as most are, PTB-XL's among them; nothing of any other.

    The library takes ten times as long for it.
    """
    if not is_plain(header) or not header.samples:
        return []
    shape, offset = (header.samples, len(header.signals)), header.signals[0].offset
    by_time = np.frombuffer(files[header.files[0]], "<i2", shape[0] * shape[1], offset).reshape(shape)
    return list(np.ascontiguousarray(by_time.T))


def is_plain(header: Header) -> bool:
    """Whether the samples are 16-bit numbers in one file, one of every signal after the other."""
    layouts = {(line.format, line.samples_per_frame, line.skew) for line in header.signals}
    offsets = {line.offset for line in header.signals}
    return len(header.files) == len(offsets) == 1 and layouts == {("16", 1, 0)}


def _read_by_library(file: str, header: Header, files: Mapping[str, bytes]) -> list[np.ndarray]:
    """The stored numbers of every signal, by wfdb: it reads from a disk, so a folder is made for it, and removed."""
    import wfdb

    names = {name: f"signal{number}.dat" for number, name in enumerate(header.files)}
    # Several samples a frame are averaged unless they are asked for, but format 61 can only be read when they are not.
    one_a_frame = all(line.samples_per_frame == 1 for line in header.signals)
    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        for name, new in names.items():
            Path(folder, new).write_bytes(files[name])
        Path(folder, "record.hea").write_text(header.rewritten(names), encoding="ascii")
        formats = ", ".join(
            dict.fromkeys(f"{shown_name(line.file)} of format {line.format}" for line in header.signals)
        )
        with by_library(file, "signal file", f"what the header says is needed: {formats}"):
            record = wfdb.rdrecord(str(Path(folder, "record")), physical=False, smooth_frames=one_a_frame)
    stored = record.d_signal.T if one_a_frame else record.e_d_signal
    return [np.asarray(signal) for signal in stored]


def _channel(line: SignalLine, stored: np.ndarray, frames_hz: float) -> Channel:
    """One signal in its units, NaN where the format marks a sample as missing."""
    values = stored.astype(np.float64)
    values[stored == _missing_mark(line.format)] = np.nan
    fs_hz = frames_hz * line.samples_per_frame
    if line.gain is None:
        return Channel(line.description, values - line.baseline, fs_hz)
    return Channel(line.description, (values - line.baseline) / line.gain, fs_hz, line.units, line.gain)


def _missing_mark(stored_format: str) -> int:
    """The lowest number of a format stands for a missing sample."""
    bits = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "24": 24, "524": 24, "32": 32}
    return -(2 ** (bits.get(stored_format, 16) - 1))


def _damaged(header: Header, signals: Sequence[np.ndarray]) -> list[int]:
    """The signals whose samples do not fit their checksum in the header."""
    wrong = []
    for place, (line, stored) in enumerate(zip(header.signals, signals, strict=True)):
        if line.checksum is None or line.skew or len(stored) == 0:
            continue
        difference = int(np.sum(stored, dtype=np.int64)) - line.checksum
        if difference % 65536:
            wrong.append(place)
    return wrong


def _checksum_notes(header: Header, damaged: Sequence[int]) -> list[str]:
    wrong = [header.signals[place].description or "one without a name" for place in damaged]
    if not wrong:
        return []
    return [f"The checksum in the header does not fit the samples of {', '.join(wrong[:12])}: the file may be damaged."]
