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

from leadwise.ecg.formats.base import (
    LARGEST_FILE,
    MOST_NUMBERS,
    Format,
    RawRecording,
    ReadOptions,
    by_library,
    register,
    shown_text,
)
from leadwise.ecg.formats.named_arrays import beside_names, of_record, read_named, signal_name, which_record
from leadwise.ecg.leads import RecordingError

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

    Raises:
        RecordingError: no data set can be the signal, the file is broken, or there is no such recording.
    """
    import h5py

    needed = "a whole file of HDF5 with links inside it only is needed"
    with by_library("HDF5", needed), h5py.File(io.BytesIO(files[file]), "r") as whole:
        return _recording(kind, whole, hints)


def _recording(kind: str, whole: "h5py.File", hints: ReadOptions) -> RawRecording:
    sets = dict(_data_sets(whole))
    matlab = kind == MATLAB
    beside = beside_names()
    numbers = {
        name: tuple(reversed(one.shape)) if matlab else tuple(one.shape)
        for name, one in sets.items()
        if np.dtype(one.dtype).kind in "fiu" and not _is_text(one) and name.rpartition("/")[2].casefold() not in beside
    }
    signal = signal_name(numbers)
    record, unchosen, arrays = None, 0, {}
    if signal:
        record, unchosen = which_record(signal, numbers[signal], hints.record)
        arrays[signal] = _samples(signal, sets[signal], record, matlab)
    total = numbers[signal][0] if signal and record is not None else None
    for name, one in sets.items():
        bare = name.rpartition("/")[2].casefold()
        if name != signal and (bare in beside or (not signal and name in numbers)):
            _check_size(name, one, one.shape, MOST_NUMBERS if not signal else LARGEST_SMALL)
            arrays[name] = of_record(bare, _value(whole, one, matlab), record, total)
    holders: list[Any] = [whole, sets[signal].parent, sets[signal]] if signal else [whole]
    for holder in holders:
        for name in holder.attrs:
            if name.casefold() in beside and math.prod(holder.attrs.get_id(name).shape or ()) <= LARGEST_SMALL:
                arrays[name] = of_record(name, _plain(holder.attrs[name]), record, total)
    notes = [f"Read of {len(sets)} data sets: {signal[:40]}."] if signal and len(numbers) > 1 else []
    return read_named(kind, arrays, hints, signal=signal, notes=notes, unchosen=unchosen)


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
            one, where = group[name], f"{path}/{name}".strip("/")
            if isinstance(one, h5py.Dataset) and one.shape is not None and not (one.external or one.is_virtual):
                yield where, one
            elif isinstance(one, h5py.Group) and where.count("/") < DEEPEST:
                place = h5py.h5o.get_info(one.id).addr
                if place not in seen:
                    seen.add(place)
                    waiting.append((where, one))


def _check_size(name: str, one: Any, shape: tuple[int, ...], most: int) -> None:
    """Before anything is unpacked: a header may announce what it likes."""
    numbers, each = math.prod(shape), np.dtype(one.dtype).itemsize
    stored = one.id.get_storage_size()
    chunk = math.prod(one.chunks or (0,)) * each
    if numbers > most or max(numbers * each, chunk) > LARGEST_FILE or numbers * each > MOST_DEFLATED * stored:
        size = "x".join(map(str, one.shape))
        told = f"{shown_text(name)} announces {size} numbers, {stored} bytes are stored; at most {most} are read"
        raise RecordingError("HDF5", told)


def _samples(name: str, one: Any, record: int | None, matlab: bool) -> np.ndarray:
    """``(time, lead)`` or ``(lead, time)`` of the recording that is wanted."""
    shape = one.shape if record is None else (one.shape[:-1] if matlab else one.shape[1:])
    _check_size(name, one, shape, MOST_NUMBERS)
    where = () if record is None else (..., record) if matlab else record
    values = np.asarray(one[where])
    return values.T if matlab else values


def _is_text(one: Any) -> bool:
    return _words(one.attrs.get(MATLAB_CLASS, b"")) == "char"


def _words(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _value(whole: "h5py.File", one: Any, matlab: bool) -> Any:
    """A data set beside the signal: numbers, a text or texts."""
    value = one[()]
    if _is_text(one):
        return "".join(chr(code) for code in np.asarray(value).T.reshape(-1)[:10_000])
    if matlab and _words(one.attrs.get(MATLAB_CLASS, b"")) == "cell":
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
