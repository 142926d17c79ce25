"""MATLAB 5 files: arrays by name, and those of the China Physiological Signal Challenge 2018 (Liu et al. 2018,
JMIHI 8:1368) as first published.

A file of the challenge holds one struct ``ECG`` with the fields ``sex``, ``age`` and ``data`` (12 leads x samples).
It does not say its rate, units and leads: they are known of the collection, so they are taken with a note. Of any other
file, or of a struct of it, the signal is the array that ``named_arrays`` takes for it, and nothing is assumed.

The elements are read here, after the MAT-File Format of level 5, and not by scipy: it allocates what a header
announces, 16 GiB for a file of a few bytes.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from leadwise.contract import LEADS
from leadwise.ecg.formats.base import Format, Most, RawRecording, ReadOptions, begins_with, register, shown_text
from leadwise.ecg.formats.named_arrays import read_arrays
from leadwise.ecg.record import RecordingError

FORMAT, ANY = "MATLAB struct of CPSC2018", "MATLAB 5"
DATA = "ECG/data"
FS_HZ, UNIT = 500.0, "mV"
HEADER_BYTES, TAG_BYTES = 128, 8
MATRIX, COMPRESSED = 14, 15
"""Types of elements: one with parts, and one that is another one, deflated."""
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
"""Types of elements that hold numbers and texts."""
CELL_CLASS, STRUCT_CLASS, TEXT_CLASS, NUMBER_CLASSES, COMPLEX = 1, 2, 4, range(6, 16), 0x800
MOST_ELEMENTS = 1000
"""Of a file, and of each of its matrices."""


@dataclass(frozen=True)
class _Element:
    """A piece of a file: where it starts, its type and its bytes."""

    at: int
    kind: int
    body: bytes


class _Matrix(NamedTuple):
    """An array of MATLAB: its class, size, name and what it is made of."""

    kind: int
    shape: tuple[int, ...]
    name: str
    parts: tuple[_Element, ...]


def read_matlab_5(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the struct ``ECG``, or the array that is the signal.

    Refused: the file is broken, or holds no array that can be the signal.
    """
    content = files[file]
    order = ">" if content[126:128] == b"MI" else "<"
    matrices = [
        _matrix(element, order)
        for element in _unpacked(_elements(content, HEADER_BYTES, order), order)
        if element.kind == MATRIX
    ]
    arrays = _arrays(matrices, order)
    if DATA not in arrays:
        return read_arrays(ANY, arrays, hints)
    data = arrays[DATA]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or len(LEADS) not in data.shape:
        received = " x ".join(map(str, data.shape)) if isinstance(data, np.ndarray) else "no numbers"
        raise RecordingError(DATA, f"received {received}; {len(LEADS)} leads x samples are needed")
    taken = []
    if hints.fs_hz is None:
        arrays["fs_hz"] = np.array(FS_HZ)
        taken.append(f"{FS_HZ:g} Hz")
    if hints.units is None and hints.gain is None:
        arrays["units"] = UNIT
        taken.append(UNIT)
    if hints.leads is None:
        arrays["leads"] = list(LEADS)
        taken.append(f"the leads {', '.join(LEADS)} in this order")
    recording = read_arrays(FORMAT, arrays, hints, DATA)
    assumed = f"Assumed, as the file is laid out like those of CPSC2018 and does not say it: {'; '.join(taken)}."
    return replace(recording, notes=(*recording.notes, assumed)) if taken else recording


def _arrays(matrices: Sequence[_Matrix], order: str) -> dict[str, np.ndarray | str | list[str]]:
    """The arrays of a file, and of the structs of one in it, by their names."""
    arrays: dict[str, np.ndarray | str | list[str]] = {}
    for matrix in matrices:
        if matrix.kind == STRUCT_CLASS and set(matrix.shape) == {1}:
            arrays |= {f"{matrix.name}/{name}": value for name, value in _fields(matrix, order).items()}
        elif matrix.kind == CELL_CLASS:
            cells = [_value("", _matrix(part, order), order) for part in matrix.parts]
            arrays[matrix.name] = [cell for cell in cells if isinstance(cell, str)]
        elif (value := _value(matrix.name, matrix, order)) is not None:
            arrays[matrix.name] = value
    if not arrays:
        received = ", ".join(shown_text(matrix.name) for matrix in matrices[:6]) or "nothing"
        raise RecordingError("arrays", f"received {received}; an array of samples and leads is needed")
    return arrays


def _elements(content: bytes, start: int, order: str) -> Iterator[_Element]:
    """The elements from a byte on, each filled up to eight bytes; the shortest stand within their own tag."""
    at = start
    for _ in range(MOST_ELEMENTS):
        if at >= len(content):
            return
        if len(content) < at + TAG_BYTES:
            raise RecordingError("MATLAB", f"is cut off in the element at byte {at}")
        kind, length = struct.unpack_from(f"{order}II", content, at)
        body = at + TAG_BYTES
        if kind >> 16:
            kind, length, body = kind & 0xFFFF, kind >> 16, at + TAG_BYTES // 2
        if length > len(content) - body or (body < at + TAG_BYTES and length > TAG_BYTES // 2):
            needed = f"{length} bytes are announced, {len(content) - body} follow"
            raise RecordingError("MATLAB", f"is cut off in the element of type {kind} at byte {at}: {needed}")
        yield _Element(at, kind, content[body : body + length])
        ends = max(body + length, at + TAG_BYTES)
        at = ends if kind == COMPRESSED else ends + -ends % TAG_BYTES
    raise RecordingError("MATLAB", f"has more than {MOST_ELEMENTS} elements in one place; an ECG has fewer")


def _unpacked(elements: Iterator[_Element], order: str) -> Iterator[_Element]:
    """The same with those inflated that are deflated, to no more than the largest file."""
    left = Most.BYTES
    for element in elements:
        if element.kind != COMPRESSED:
            yield element
            continue
        inflate = zlib.decompressobj()
        try:
            piece = inflate.decompress(element.body, left)
        except zlib.error:
            raise RecordingError("MATLAB", f"the element at byte {element.at} cannot be unpacked") from None
        if inflate.unconsumed_tail:
            raise RecordingError("size", f"unpacks to more than {Most.BYTES // 2**20} MiB, which is the most")
        left -= len(piece)
        yield from _elements(piece, 0, order)


def _matrix(element: _Element, order: str) -> _Matrix:
    """Take a matrix apart: flags, dimensions, name, and then what its class has."""
    flags, dimensions, name, *parts = (*_elements(element.body, 0, order), *[_Element(0, 0, b"")] * 3)
    if len(flags.body) != 8 or not 8 <= len(dimensions.body) <= 32 or len(dimensions.body) % 4:
        raise RecordingError("MATLAB", f"the matrix at byte {element.at} has no class and dimensions")
    (kind,) = struct.unpack_from(f"{order}I", flags.body)
    if kind & COMPLEX:
        raise RecordingError("MATLAB", f"the matrix at byte {element.at} is complex; real numbers are needed")
    shape = tuple(int(length) for length in np.frombuffer(dimensions.body, f"{order}i4"))
    return _Matrix(kind & 0xFF, shape, name.body.decode("latin-1"), tuple(part for part in parts if part.kind))


def _fields(matrix: _Matrix, order: str) -> dict[str, np.ndarray | str]:
    """The fields of a struct of one: numbers and texts; others are left."""
    if len(matrix.parts) < 2:
        raise RecordingError(matrix.name, "is a struct without fields; some are needed")
    longest, names, *values = matrix.parts
    width = int.from_bytes(longest.body, "big" if order == ">" else "little")
    if not 0 < width <= len(names.body):
        raise RecordingError(matrix.name, f"received names of fields of {width} bytes, {len(names.body)} follow")
    spelled = [names.body[at : at + width].split(b"\0")[0].decode("latin-1") for at in range(0, len(names.body), width)]
    held = {
        name: _value(f"{matrix.name}.{name}", _matrix(value, order), order)
        for name, value in zip(spelled, values, strict=False)
    }
    return {name: value for name, value in held.items() if value is not None}


def _value(field: str, matrix: _Matrix, order: str) -> np.ndarray | str | None:
    """A text, or the numbers of a matrix, column by column as MATLAB stores them, in its shape; ``None``: neither."""
    if not matrix.parts or matrix.kind not in (TEXT_CLASS, *NUMBER_CLASSES):
        return None
    stored = matrix.parts[0]
    if matrix.kind == TEXT_CLASS:
        encoding = TEXTS.get(stored.kind, "latin-1")
        ending = ("-be" if order == ">" else "-le") if encoding == "utf-16" else ""
        return stored.body.decode(encoding + ending, errors="replace")
    if stored.kind not in NUMBERS:
        raise RecordingError(field, f"holds an element of type {stored.kind}; one of numbers is needed")
    dtype = np.dtype(order + NUMBERS[stored.kind])
    needed = math.prod(matrix.shape) * dtype.itemsize
    if min(matrix.shape) < 0 or len(stored.body) != needed:
        size = " x ".join(map(str, matrix.shape))
        raise RecordingError(field, f"is {size} by its header, which is {needed} bytes; {len(stored.body)} follow")
    return np.frombuffer(stored.body, dtype).reshape(matrix.shape, order="F")


register(Format(ANY, (".mat",), begins_with(b"\x00\x01IM", b"\x01\x00MI", at=124), read_matlab_5, many=True))
