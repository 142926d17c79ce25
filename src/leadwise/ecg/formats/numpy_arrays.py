"""NumPy arrays: NPY files (format of NumPy enhancement proposal 1) and NPZ archives; objects are never unpickled."""

import io
from collections.abc import Mapping, Sequence
from tokenize import TokenError

import numpy as np

from leadwise.ecg.formats.base import (
    MOST_CHANNELS,
    MOST_NUMBERS,
    MOST_SAMPLES,
    Channel,
    RawRecording,
    ReaderError,
    ReadOptions,
)
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.formats.zip_archive import member_names, unpack
from leadwise.ecg.leads import RecordingError
from leadwise.ecg.record import ORDERS
from leadwise.features import asked_features

NPY, NPZ = "NPY", "NPZ"
SIGNAL_NAMES = ("signal", "signal_mv", "ecg", "p_signal", "signals", "data", "x", "arr_0")
RATE_NAMES = ("fs_hz", "fs", "sampling_rate", "sampling_frequency", "sample_rate", "sfreq")
LEADS_NAMES = ("leads", "lead_names", "sig_name", "channels", "ch_names", "channel_names")
UNITS_NAMES = ("units", "unit")
LARGEST_NPY_HEADER = 10_000


def read_npy(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read one array of samples and leads; it has no names, units or rate: these are asked for.

    Raises:
        RecordingError: it is no array of numbers of two dimensions.
    """
    content = files[file]
    array = load_array(file, content)
    return RawRecording(NPY, tuple(_channels(array, _count(hints), hints.order)))


def read_npz(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read an archive: an array named ``signal`` or one a lead, with ``fs_hz``, ``leads``, ``units`` and facts beside.

    Raises:
        RecordingError: no array can be the signal, or one is broken.
    """
    members = unpack(file, files[file])
    arrays = {name.removesuffix(".npy"): load_array(f"{file}/{name}", raw) for name, raw in members.items()}
    beside = {name.casefold(): array for name, array in arrays.items()}
    fs_hz = _number(beside, RATE_NAMES)
    names = _texts(beside, LEADS_NAMES)
    units = _texts(beside, UNITS_NAMES)
    signal = _signal(arrays)
    if signal is None:
        one_each = {name: array for name, array in arrays.items() if standard_lead(name) and array.ndim == 1}
        if not one_each:
            raise RecordingError("arrays", f"none is called {', '.join(SIGNAL_NAMES[:3])}, nor one a lead")
        channels = [Channel(name, _numbers(array), fs_hz) for name, array in one_each.items()]
    else:
        count = len(names) if names and hints.leads is None else _count(hints)
        channels = _channels(signal, count, hints.order)
    channels = _labelled(channels, names, units, fs_hz)
    return RawRecording(NPZ, tuple(channels), _facts(beside))


def load_array(file: str, content: bytes) -> np.ndarray:
    """An array whose header fits its bytes.

    Raises:
        ReaderError: the file is broken or cut off, or holds objects, which are never unpickled.
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
        raise ReaderError(
            file, "array", "holds Python objects, which are never unpickled; an array of numbers is needed"
        )
    numbers = int(np.prod([int(length) for length in shape], dtype=object)) if shape else 1
    if min(shape, default=0) < 0 or numbers > MOST_NUMBERS:
        raise ReaderError(file, "array", f"announces {numbers} numbers; at most {MOST_NUMBERS} are read")
    held = len(content) - stream.tell()
    if dtype.itemsize == 0 or held < numbers * dtype.itemsize:
        raise ReaderError(file, "array", f"is cut off: {held} bytes, {numbers * dtype.itemsize} are announced")
    flat = np.frombuffer(content, dtype=dtype, count=numbers, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_column else "C")


def _count(hints: ReadOptions) -> int | None:
    return None if hints.leads is None else len(hints.leads)


def _numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise RecordingError("array", "holds something other than numbers; floats or whole numbers are needed")
    # Numbers beyond float64 become infinite, which the checks of a recording refuse.
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def _channels(array: np.ndarray, count: int | None, order: str | None) -> list[Channel]:
    """The columns of an array of samples and leads, whichever way round."""
    if order is not None and order not in ORDERS:
        raise RecordingError("order", f"received another order; allowed: {', '.join(ORDERS)}")
    while array.ndim > 2 and 1 in array.shape:
        array = array.squeeze(axis=array.shape.index(1))
    if array.ndim != 2:
        held = f"{array.ndim} dimensions"
        raise RecordingError("array", f"received {held}; samples and leads of one recording are needed")
    values = _numbers(array)
    if order is None:
        # Leads are few and samples many: no recording that is long enough has fewer samples than leads.
        leads_first = values.shape[0] == count if count in values.shape else values.shape[0] < values.shape[1]
        order = "lead_time" if leads_first else "time_lead"
    by_lead = values if order == "lead_time" else values.T
    if not (1 <= by_lead.shape[0] <= MOST_CHANNELS and 1 <= by_lead.shape[1] <= MOST_SAMPLES):
        raise RecordingError(
            "array",
            f"received {by_lead.shape[0]} leads of {by_lead.shape[1]} samples; at most {MOST_CHANNELS} of "
            f"{MOST_SAMPLES} are read",
        )
    return [Channel("", lead, None) for lead in by_lead]


def _signal(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The array of the signal: by its name, or because it is the only one of two dimensions."""
    by_name = {name.casefold(): array for name, array in arrays.items()}
    named = next((by_name[name] for name in SIGNAL_NAMES if name in by_name and by_name[name].ndim > 1), None)
    if named is not None:
        return named
    tables = [array for array in arrays.values() if array.ndim > 1]
    return tables[0] if len(tables) == 1 else None


def _number(beside: Mapping[str, np.ndarray], names: Sequence[str]) -> float | None:
    array = next((beside[name] for name in names if name in beside), None)
    if array is None:
        return None
    if array.size != 1 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise RecordingError(names[0], "needs one number")
    return float(array.reshape(-1)[0]) or None


def _texts(beside: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str]:
    array = next((beside[name] for name in names if name in beside), None)
    if array is None:
        return []
    if array.dtype.kind not in "US" or array.size > MOST_CHANNELS:
        raise RecordingError(names[0], "needs an array of texts, one a lead")
    flat = array.reshape(-1).tolist()
    return [text.decode("latin-1") if isinstance(text, bytes) else text for text in flat]


def _labelled(
    channels: Sequence[Channel], names: Sequence[str], units: Sequence[str], fs_hz: float | None
) -> list[Channel]:
    """The channels with the names, units and rate that stand beside them."""
    if names and len(names) != len(channels):
        raise RecordingError(LEADS_NAMES[0], f"received {len(names)} names for {len(channels)} leads")
    if len(units) not in (0, 1, len(channels)):
        raise RecordingError(UNITS_NAMES[0], f"received {len(units)} units for {len(channels)} leads")
    of_each = list(units) if len(units) == len(channels) else list(units) * len(channels)
    return [
        Channel(
            names[number] if names else channel.name,
            channel.values,
            fs_hz,
            of_each[number] if of_each else "",
        )
        for number, channel in enumerate(channels)
    ]


def _facts(beside: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Facts under the names of a request, as numbers or in words."""
    found: dict[str, float | None] = {}
    for one in asked_features():
        name, array = one.name, beside.get(one.name)
        if array is None or array.size != 1:
            continue
        value = array.reshape(-1)[0]
        if array.dtype.kind in "US":
            found[name] = one.parse(value.decode("latin-1") if isinstance(value, bytes) else str(value))
        elif array.dtype.kind in "fiub":
            number = float(value)
            if np.isnan(number):
                continue
            found[name] = number if not one.choices or one.holds(number) else None
    return found


def _is_npy(content: bytes, name: str) -> bool:
    return content.startswith(b"\x93NUMPY")


def _is_npz(content: bytes, name: str) -> bool:
    names = member_names(content)
    return bool(names) and all(member.endswith(".npy") for member in names)


register(Format(NPY, (".npy",), _is_npy, read_npy))
register(Format(NPZ, (".npz",), _is_npz, read_npz))
