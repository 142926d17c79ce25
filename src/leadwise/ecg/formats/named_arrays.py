"""A recording among arrays with names, as NPZ, MATLAB and HDF5 files hold them: the signal, and what stands beside it.

The signal is the array called ``signal``, ``ecg``, ``val`` and so on, or the only one of two or more dimensions, or one
array a lead. Rate, leads, units and facts of the patient stand beside it under the usual names; nothing is guessed.

NumPy's own files, NPY (NumPy enhancement proposal 1) and NPZ, are read here; objects are never unpickled.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np

from leadwise.ecg.formats.base import (
    Channel,
    Format,
    MissingField,
    Most,
    RawRecording,
    ReaderError,
    ReadOptions,
    begins_with,
    register,
    shown_text,
    within,
)
from leadwise.ecg.formats.parsing import MV_PER_UNIT, standard_lead, unit_of
from leadwise.ecg.formats.read import member_names, unpack
from leadwise.ecg.record import ORDERS, RecordingError
from leadwise.features import FEATURES, Feature, asked_features

SIGNAL_NAMES = (
    "signal", "signal_mv", "signals", "ecg", "ecgs", "tracings", "p_signal", "val", "data", "x", "rhythm", "waveform",
    "waveforms", "arr_0",
)  # fmt: skip
RATE_NAMES = ("fs_hz", "fs", "sampling_rate", "sampling_frequency", "samplingrate", "sample_rate", "sfreq", "freq")
LEADS_NAMES = ("leads", "lead_names", "lead_order", "sig_name", "channels", "ch_names", "channel_names")
UNITS_NAMES = ("units", "unit")
GAIN_NAMES = ("gain", "adc_gain", "gain_per_mv")


def fact_names() -> dict[str, Feature]:
    """How arrays call the facts about the patient: as in a request."""
    return {feature.name: feature for feature in asked_features()} | {"gender": FEATURES["sex"]}


def is_beside(name: str) -> bool:
    """Whether an array, or an attribute, of this name stands beside a signal and is none."""
    return _bare(name) in {*LEADS_NAMES, *RATE_NAMES, *UNITS_NAMES, *GAIN_NAMES, *fact_names()}


FEWEST_SAMPLES = 100
"""An axis of fewer numbers is none of time, whether of leads or of recordings."""


class Stored(NamedTuple):
    """An array of a file before it is read.

    Attributes:
        shape: of an array of numbers; ``None`` of what is none.
        read: ``read(record)``: numbers, a text or texts: all, or of an array of recordings one, by its place.
    """

    shape: tuple[int, ...] | None
    read: Callable[[int | None], Any]


def signal_name(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Which array of numbers is the signal, by shape; empty where each is a lead. Refused: none or several can be."""
    called: list[str] = []
    several = [name for name, shape in shapes.items() if len(shape) > 1 and max(shape) >= FEWEST_SAMPLES]
    for usual in SIGNAL_NAMES:
        called = [name for name in several if name.rpartition("/")[2].casefold() == usual]
        if len(called) == 1:
            return called[0]
        if called:
            break
    if not called and sum(standard_lead(name.rpartition("/")[2]) is not None for name in shapes) > 1:
        return ""
    if len(several) == 1:
        return several[0]
    received = ", ".join(f"{shown_text(name)} ({'x'.join(map(str, shapes[name]))})" for name in list(shapes)[:6])
    why = "several could be the signal" if several else "none holds samples and leads"
    raise RecordingError("arrays", f"{why}: {received or 'none'}; call one {', '.join(SIGNAL_NAMES[:4])}")


def which_record(name: str, shape: tuple[int, ...] | None, record: int | None) -> tuple[int | None, int]:
    """The place of the wanted recording on the first of three axes, and ``RawRecording.unchosen``.

    The place is ``None`` where the array is one recording, ``shape`` where it holds no numbers. Refused: there is no
    such recording, or the array has other dimensions.
    """
    if shape is None:
        raise RecordingError("arrays", f"{shown_text(name)} holds no numbers; floats or whole numbers are needed")
    if len(shape) == 2:
        if record is not None:
            raise RecordingError("record", f"received {record}; {shown_text(name)} is one recording")
        return None, 0
    if len(shape) != 3 or not shape[0]:
        received = f"received {len(shape)} dimensions ({'x'.join(map(str, shape))})"
        raise RecordingError("arrays", f"{shown_text(name)}: {received}; recordings, samples and leads are needed")
    if record is not None and record >= shape[0]:
        raise RecordingError("record", f"received {record}; {shown_text(name)} holds 0 to {shape[0] - 1}")
    if record is not None or shape[0] == 1:
        return record or 0, 0
    return 0, shape[0]


def _in_memory(value: Any) -> Stored:
    """What is read already; axes of length 1 are left out as long as there are more than two."""
    if not isinstance(value, np.ndarray):
        return Stored(None, lambda record: value)
    array = value
    while array.ndim > 2 and 1 in array.shape:
        array = array.squeeze(axis=array.shape.index(1))
    shape = None if array.dtype.kind in "US" else array.shape
    return Stored(shape, lambda record: array if record is None else array[record])


def shapes_of(stored: Mapping[str, Stored]) -> dict[str, tuple[int, ...]]:
    """Of the arrays that may be the signal, or a lead."""
    return {name: array.shape for name, array in stored.items() if array.shape is not None and not is_beside(name)}


def read_arrays(format_name: str, arrays: Mapping[str, Any], hints: ReadOptions, signal: str = "") -> RawRecording:
    """A recording of one signal, ``(time, lead)`` or ``(lead, time)``, or of one array a lead.

    Args:
        format_name: as ``RawRecording.format``.
        arrays: arrays, texts or ``Stored`` by name; read are the signal and what may stand beside one.
        hints: what the caller knows.
        signal: which of them is the signal; if it is not said, it is looked for.

    Refused: no array can be the signal, one is none of numbers, or they do not fit each other.
    """
    stored = {name: array if isinstance(array, Stored) else _in_memory(array) for name, array in arrays.items()}
    shapes = shapes_of(stored)
    signal = signal or signal_name(shapes)
    record, unchosen = which_record(signal, shapes.get(signal), hints.record) if signal else (None, 0)
    beside: dict[str, Any] = {}
    for name, array in stored.items():
        if name != signal and is_beside(name):
            value = array.read(None)
            of_each = isinstance(value, np.ndarray) and _bare(name) not in LEADS_NAMES
            if record is not None and of_each and value.size == shapes[signal][0]:
                value = value.reshape(-1)[record : record + 1]
            beside[_bare(name)] = value
    names = _texts(beside, LEADS_NAMES)
    if signal:
        count = len(hints.leads) if hints.leads is not None else len(names) or None
        by_lead = _by_lead(signal, stored[signal].read(record), count, hints.order)
    else:
        values = {name.rpartition("/")[2]: stored[name].read(None) for name in shapes}
        leads = {name: _floats(name, value).reshape(-1) for name, value in values.items() if _is_lead(name, value)}
        names, by_lead = list(leads), list(leads.values())
    notes = []
    if signal and sum(min(shape, default=0) > 1 for shape in shapes.values()) > 1:
        notes.append(f"Read of {len(shapes)} arrays: {signal[:40]}.")
    channels, asked = _channels(beside, by_lead, names, hints)
    return RawRecording(format_name, channels, _facts(beside), tuple(notes), asked, unchosen=unchosen)


def _bare(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _channels(
    beside: Mapping[str, Any], by_lead: Sequence[np.ndarray], names: Sequence[str], hints: ReadOptions
) -> tuple[tuple[Channel, ...], MissingField | None]:
    """The leads with what stands beside them, and what to ask of their units."""
    fs_hz, is_told = _number(beside, RATE_NAMES), hints.units is not None or hints.gain is not None
    gain, asked = None if is_told else _number(beside, GAIN_NAMES), None
    units = _texts(beside, UNITS_NAMES)
    if names and len(names) != len(by_lead):
        raise RecordingError(LEADS_NAMES[0], f"received {len(names)} names for {len(by_lead)} leads")
    if len(units) not in (0, 1, len(by_lead)):
        raise RecordingError(UNITS_NAMES[0], f"received {len(units)} units for {len(by_lead)} leads")
    if gain is not None:
        within(GAIN_NAMES[0], gain, 1e-6, 1e12)
        if stated := next(filter(unit_of, units), ""):
            told = f"The file states {stated.strip()} and a gain of {gain:g} units per mV"
            text = f"{told}: what are its numbers? Give the gain if they are to be divided by it."
            asked = MissingField("units", text, allowed=tuple(MV_PER_UNIT))
            gain, units = None, []
    of_each = units if len(units) == len(by_lead) else (units or [""]) * len(by_lead)
    # Numbers beyond all measure become infinite, which the checks of a recording refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        channels = tuple(
            Channel(name, lead / (gain or 1.0), fs_hz, "mV" if gain else unit, gain)
            for name, lead, unit in zip(names or [""] * len(by_lead), by_lead, of_each, strict=True)
        )
    return channels, asked


def _is_lead(name: str, value: object) -> bool:
    known = standard_lead(name.rpartition("/")[2]) is not None
    return known and isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size > FEWEST_SAMPLES


def _floats(name: str, value: object) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise RecordingError("arrays", f"{shown_text(name)} holds no numbers; floats or whole numbers are needed")
    # Numbers beyond float64 become infinite, which the checks of a recording refuse.
    with np.errstate(over="ignore"):
        return value.astype(np.float64)


def _by_lead(name: str, value: object, count: int | None, order: str | None) -> list[np.ndarray]:
    """The leads of ``(time, lead)`` or ``(lead, time)``: leads are few and samples many."""
    values = _floats(name, value)
    if order is not None and order not in ORDERS:
        raise RecordingError("order", f"received another order; allowed: {', '.join(ORDERS)}")
    if order is None:
        leads_first = values.shape[0] == count if count in values.shape else values.shape[0] < values.shape[1]
        order = "lead_time" if leads_first else "time_lead"
    by_lead = values if order == "lead_time" else values.T
    if not (1 <= by_lead.shape[0] <= Most.CHANNELS and 1 <= by_lead.shape[1] <= Most.SAMPLES):
        received = f"{by_lead.shape[0]} leads of {by_lead.shape[1]} samples"
        raise RecordingError("arrays", f"received {received}; at most {Most.CHANNELS} of {Most.SAMPLES} are read")
    return list(by_lead)


def _first(beside: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    """What stands under the first of some names, ``None`` if nothing does."""
    return next(((name, beside[name]) for name in names if name in beside), ("", None))


def _number(beside: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """The one number under the first of some names, if there is any; 0 says nothing."""
    name, value = _first(beside, names)
    if not isinstance(value, np.ndarray) or not value.size:
        return None
    if value.dtype.kind not in "fiu" or not np.isfinite(value.reshape(-1)[:1]).all() or len(np.unique(value)) > 1:
        raise RecordingError(name, "needs one number")
    return float(value.reshape(-1)[0]) or None


def _texts(beside: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    name, value = _first(beside, names)
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in value.replace(";", ",").split(",") if part.strip()]
    if isinstance(value, np.ndarray) and value.dtype.kind not in "USO":
        raise RecordingError(name, "needs texts, one a lead")
    flat = list(value.reshape(-1)[: Most.CHANNELS + 1]) if isinstance(value, np.ndarray) else list(value)
    texts = [item.decode("latin-1") if isinstance(item, bytes) else str(item) for item in flat]
    if len(texts) > Most.CHANNELS or any(len(text) > 80 for text in texts):
        raise RecordingError(name, f"needs at most {Most.CHANNELS} short texts, one a lead")
    return texts


def _facts(beside: Mapping[str, Any]) -> dict[str, float | None]:
    """Facts under the names of a request: numbers, of the sex 0 male and 1 female, or words."""
    facts: dict[str, float | None] = {}
    for name, feature in fact_names().items():
        held = beside.get(name)
        value: object = held.reshape(-1)[0] if isinstance(held, np.ndarray) and held.size == 1 else held
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if isinstance(value, str) and value.strip():
            facts[feature.name] = feature.parse(value)
        elif isinstance(value, int | float | np.number | np.bool_) and not np.isnan(float(value)):
            facts[feature.name] = float(value) if not feature.choices or feature.holds(float(value)) else None
    return facts


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
