"""NumPy arrays: NPY files (format of NumPy enhancement proposal 1) and NPZ archives; objects are never unpickled."""

import io
from collections.abc import Mapping
from tokenize import TokenError

import numpy as np

from leadwise.ecg.formats.base import Format, Most, RawRecording, ReaderError, ReadOptions, begins_with, register
from leadwise.ecg.formats.named_arrays import read_arrays
from leadwise.ecg.formats.read import member_names, unpack

NPY, NPZ = "NPY", "NPZ"
LARGEST_NPY_HEADER = 10_000


def read_npy(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read an array of samples and leads, of one or many recordings; names, units and rate are asked for.

    Refused: it is no array of numbers of two dimensions, or of three, of which the first counts recordings.
    """
    return read_arrays(NPY, {"array": load_array(file, files[file])}, hints, "array")


def read_npz(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read an archive: an array named ``signal`` or one a lead, with ``fs_hz``, ``leads``, ``units`` and facts beside.

    Refused: no array can be the signal, or one is broken.
    """
    members = unpack(file, files[file])
    arrays = {name.removesuffix(".npy"): load_array(f"{file}/{name}", raw) for name, raw in members.items()}
    return read_arrays(NPZ, arrays, hints)


def load_array(file: str, content: bytes) -> np.ndarray:
    """An array whose header fits its bytes.

    Refused: the file is broken or cut off, or holds objects, which are never unpickled.
    """
    from numpy.lib import format as npy

    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_column, dtype = read(stream, max_header_size=LARGEST_NPY_HEADER)
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError):
        raise ReaderError(file, "header", "is not that of an NPY file") from None
    if dtype.hasobject:
        problem = "holds Python objects, which are never unpickled; an array of numbers is needed"
        raise ReaderError(file, "array", problem)
    numbers = int(np.prod([int(length) for length in shape], dtype=object)) if shape else 1
    if min(shape, default=0) < 0 or numbers > Most.NUMBERS:
        raise ReaderError(file, "array", f"announces {numbers} numbers; at most {Most.NUMBERS} are read")
    held = len(content) - stream.tell()
    if dtype.itemsize == 0 or held < numbers * dtype.itemsize:
        raise ReaderError(file, "array", f"is cut off: {held} bytes, {numbers * dtype.itemsize} are announced")
    flat = np.frombuffer(content, dtype=dtype, count=numbers, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_column else "C")


def _is_npz(content: bytes, name: str) -> bool:
    names = member_names(content)
    return bool(names) and all(member.endswith(".npy") for member in names)


register(Format(NPY, (".npy",), begins_with(b"\x93NUMPY"), read_npy, many=True))
register(Format(NPZ, (".npz",), _is_npz, read_npz, many=True))
