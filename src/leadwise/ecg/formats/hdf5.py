"""HDF5 files and MATLAB 7.3 files, which are HDF5: one data set of leads and samples, of one or many recordings.

The samples are a data set of two dimensions, or of three, of which the first counts recordings: which one is asked, or
named with ``file.h5#17``. Rate, leads, units and facts are data sets beside it or attributes of it, of its group or of
the file; of many recordings those with as many entries belong to one each. MATLAB stores the other way round and writes
texts as numbers; both are turned back.

Only the recording that is wanted is unpacked, and nothing of which the header announces more than is stored. Links to
other files, samples kept in other files and virtual data sets are not followed.
"""

import io
import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.ecg.formats.base import Format, Most, RawRecording, ReadOptions, by_library, register, shown_text
from leadwise.ecg.formats.named_arrays import Stored, is_beside, read_arrays, shapes_of, signal_name
from leadwise.ecg.record import RecordingError

if TYPE_CHECKING:
    import h5py

HDF5, MATLAB = "HDF5", "MATLAB 7.3"
MARK, MATLAB_MARK = b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3 MAT-file"
MATLAB_CLASS, BLOCK = "MATLAB_class", 512
MOST_DEFLATED = 1100
"""Bytes that a stored one can become: deflate makes 1,032 of it at most."""
MOST_DATA_SETS, DEEPEST = 1000, 8
LARGEST_SMALL = 2**20
"""Numbers of a data set beside the signal, such as an age of each recording."""


def read_hdf5(kind: str, file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read one recording of a file of ``HDF5`` or ``MATLAB``.

    Refused: no data set can be the signal, the file is broken, or there is no such recording.
    """
    import h5py

    needed = "a whole file of HDF5 with links inside it only is needed"
    with by_library("HDF5", needed), h5py.File(io.BytesIO(files[file]), "r") as whole:
        return _recording(kind, whole, hints)


def _recording(kind: str, whole: "h5py.File", hints: ReadOptions) -> RawRecording:
    matlab = kind == MATLAB
    sets = dict(_data_sets(whole))
    stored = {name: _stored(whole, name, data, matlab) for name, data in sets.items()}
    signal = signal_name(shapes_of(stored))
    arrays: dict[str, Any] = dict(stored)
    holders: list[Any] = [whole, sets[signal].parent, sets[signal]] if signal else [whole]
    for holder in holders:
        for name in holder.attrs:
            if is_beside(name) and math.prod(holder.attrs.get_id(name).shape or ()) <= LARGEST_SMALL:
                arrays[name] = _plain(holder.attrs[name])
    return read_arrays(kind, arrays, hints, signal)


def _stored(whole: "h5py.File", name: str, data: Any, matlab: bool) -> Stored:
    """A data set; what a recording or a lead has of it is read when it is asked for."""

    def read(record: int | None) -> Any:
        shape = data.shape if record is None else (data.shape[:-1] if matlab else data.shape[1:])
        _check_size(name, data, shape, LARGEST_SMALL if is_beside(name) else Most.NUMBERS)
        if record is not None:
            values = np.asarray(data[..., record] if matlab else data[record])
            return values.T if matlab else values
        return _value(whole, data, matlab)

    if np.dtype(data.dtype).kind not in "fiu" or _is_text(data):
        return Stored(None, read)
    return Stored(tuple(reversed(data.shape)) if matlab else tuple(data.shape), read)


def _data_sets(whole: "h5py.File") -> Iterator[tuple[str, Any]]:
    """Path -> data set of this very file, without those of objects of MATLAB and of groups that were looked at."""
    import h5py

    waiting: list[tuple[str, Any]] = [("", whole)]
    count, seen = 0, set()
    while waiting:
        path, group = waiting.pop(0)
        for name in group:
            count += 1
            if count > MOST_DATA_SETS:
                raise RecordingError("HDF5", f"holds more than {MOST_DATA_SETS} data sets; an ECG has fewer")
            if name.startswith("#") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            held, where = group[name], f"{path}/{name}".strip("/")
            if isinstance(held, h5py.Dataset) and held.shape is not None and not (held.external or held.is_virtual):
                yield where, held
            elif isinstance(held, h5py.Group) and where.count("/") < DEEPEST:
                place = h5py.h5o.get_info(held.id).addr
                if place not in seen:
                    seen.add(place)
                    waiting.append((where, held))


def _check_size(name: str, data: Any, shape: tuple[int, ...], most: int) -> None:
    """Before anything is unpacked: a header may announce what it likes."""
    numbers, each = math.prod(shape), np.dtype(data.dtype).itemsize
    stored = data.id.get_storage_size()
    chunk = math.prod(data.chunks or (0,)) * each
    if numbers > most or max(numbers * each, chunk) > Most.BYTES or numbers * each > MOST_DEFLATED * stored:
        size = "x".join(map(str, data.shape))
        problem = f"{shown_text(name)} announces {size} numbers, {stored} bytes are stored; at most {most} are read"
        raise RecordingError("HDF5", problem)


def _is_text(data: Any) -> bool:
    return _words(data.attrs.get(MATLAB_CLASS, b"")) == "char"


def _words(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _value(whole: "h5py.File", data: Any, matlab: bool) -> Any:
    """A data set beside the signal: numbers, a text or texts."""
    value = data[()]
    if _is_text(data):
        return "".join(chr(code) for code in np.asarray(value).T.reshape(-1)[:10_000])
    if matlab and _words(data.attrs.get(MATLAB_CLASS, b"")) == "cell":
        held = [whole[reference] for reference in np.asarray(value).reshape(-1)[:1000]]
        for cell in held:
            _check_size("cell", cell, cell.shape, LARGEST_SMALL)
        return [_value(whole, cell, matlab) for cell in held if _is_text(cell)]
    plain = _plain(value)
    return plain.T if matlab and isinstance(plain, np.ndarray) else plain


def _plain(value: Any) -> Any:
    """A number, a text or an array of either; texts are decoded."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "OS":
        return np.array([_words(item) for item in array.reshape(-1)[:LARGEST_SMALL].tolist()])
    return array


def _is_matlab(content: bytes, name: str) -> bool:
    return content.startswith(MATLAB_MARK) and content.startswith(MARK, BLOCK)


def _is_hdf5(content: bytes, name: str) -> bool:
    return not _is_matlab(content, name) and any(content.startswith(MARK, at) for at in (0, 512, 1024, 2048))


register(Format(HDF5, (".h5", ".hdf5", ".hdf"), _is_hdf5, partial(read_hdf5, HDF5), many=True))
register(Format(MATLAB, (".mat",), _is_matlab, partial(read_hdf5, MATLAB), many=True))
