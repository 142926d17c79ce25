"""Files that are broken or lie about themselves, made of those that the writers of the tests make."""

import base64
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import savemat

from leadwise.contract import LEADS

Make = Callable[[Callable[..., Any], Path], Any]
"""What ``read_ecg`` is given, of a writer of files and an empty folder."""


def swapped(kind: str, old: bytes, new: bytes, behind: bytes = b"", **how: Any) -> Make:
    """A file, or the header of a record, with other bytes at the first place behind some."""

    def make(made: Callable[..., Any], folder: Path) -> Any:
        files = made(kind, **how)
        content = files if isinstance(files, bytes) else files["rec.hea"]
        start = content.index(behind)
        assert old in content[start:]
        content = content[:start] + content[start:].replace(old, new, -1 if kind in ("wfdb", "scp") else 1)
        return content if isinstance(files, bytes) else files | {"rec.hea": content}

    return make


def put(kind: str, at: int, layout: str, *numbers: int) -> Make:
    """A file with other numbers at a place."""

    def make(made: Callable[..., Any], folder: Path) -> bytes:
        content = made(kind)
        return content[:at] + struct.pack(layout, *numbers) + content[at + struct.calcsize(layout) :]

    return make


def edf(at: int, text: str, length: int = 8) -> Make:
    """An EDF with another field in its header."""
    return put("edf", at, f"{length}s", text.encode().ljust(length))  # type: ignore[arg-type]


def cut(kind: str, length: int) -> Make:
    return lambda made, folder: made(kind)[:length]


def dicom(change: Callable[[Any], object]) -> Make:
    return lambda made, folder: made("dicom", change=change)


def group(**values: object) -> Make:
    """A DICOM with other elements in its first multiplex group."""
    return dicom(lambda dataset: [setattr(dataset.WaveformSequence[0], name, value) for name, value in values.items()])


def of_class(dataset: Any, uid: str, **more: bytes) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
    for name, value in more.items():
        setattr(dataset, name, value)
        dataset[name].VR = "OB"


def hdf5(**members: Any) -> Make:
    """Data sets by name; a mapping is how one is created of which nothing is stored."""

    def make(made: Callable[..., Any], folder: Path) -> bytes:
        (folder / "secret").write_bytes(np.zeros((1000, 12)).tobytes())
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, value in members.items():
                if callable(value):
                    file[name] = value(folder)
                elif isinstance(value, dict):
                    files = [(str(folder / part), 0, 96_000) for part in value.get("external", [])]
                    file.create_dataset(name, **value | ({"external": files} if files else {}))
                else:
                    file[name.replace("__", "/")] = value
        return stream.getvalue()

    return make


def mat(change: Callable[[bytes], bytes] = lambda content: content, **ecg: object) -> Make:
    """A struct as CPSC2018 has it."""

    def make(made: Callable[..., Any], folder: Path) -> bytes:
        stream = io.BytesIO()
        savemat(stream, {"ECG": ecg or {"sex": "Male", "age": 60, "data": np.ones((12, 5000))}})
        return change(stream.getvalue())

    return make


def sized(old: tuple[int, int], new: tuple[int, int]) -> Make:
    """A struct with other dimensions in its header."""
    return mat(lambda content: content.replace(struct.pack("<ii", *old), struct.pack("<ii", *new), 1))


def npz(**members: Any) -> Make:
    def make(made: Callable[..., Any], folder: Path) -> bytes:
        np.savez(stream := io.BytesIO(), **members)
        return stream.getvalue()

    return make


def npy(shape: Sequence[int]) -> Make:
    """96,000 bytes of which the header says that they are more, or other ones."""

    def make(made: Callable[..., Any], folder: Path) -> bytes:
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": tuple(shape)})
        return stream.getvalue() + bytes(96_000)

    return make


def parquet(table: Callable[[], pa.Table | pd.DataFrame], end: int | None = None, **more: Any) -> Make:
    def make(made: Callable[..., Any], folder: Path) -> bytes:
        held = table()
        held = held if isinstance(held, pa.Table) else pa.Table.from_pandas(held)
        pq.write_table(held, stream := io.BytesIO(), **more)
        return stream.getvalue()[:end]

    return make


TABLE = pd.DataFrame(np.random.default_rng(0).normal(size=(1000, 12)).round(3), columns=LEADS)


def csv(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Make:
    return lambda made, folder: change(TABLE.copy()).to_csv(index=False).encode()


def spoilt(table: pd.DataFrame, cell: object) -> pd.DataFrame:
    objects = table.astype(object)
    objects.iloc[500, 3] = cell
    return objects


def per_lead(content: bytes, field: str, values: Sequence[object]) -> bytes:
    """A MUSE file with a field in every lead of its rhythm."""
    before, rhythm, leads = content.partition(b"<WaveformType>Rhythm")
    first, *others = leads.replace(b"<LeadTimeOffset>0</LeadTimeOffset>", b"").split(b"<LeadSampleSize>")
    fields = [f"<{field}>{value}</{field}><LeadSampleSize>".encode() for value in values]
    return before + rhythm + first + b"".join(new + lead for new, lead in zip(fields, others, strict=True))


def muse(field: str, values: Sequence[object]) -> Make:
    return lambda made, folder: per_lead(made("muse"), field, values)


def bomb(made: Callable[..., Any], folder: Path) -> bytes:
    """Philips: an LZW code that repeats itself as long as it may, for a lead that is announced as very long."""
    bits = "".join(f"{code:010b}" for code in [0, *range(256, 1022), *[1021] * 200_000])
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    waves = base64.b64encode((struct.pack("<IHh", len(packed), 0, 0) + packed) * 12).decode()
    return (
        "<restingecgdata><documentinfo><documentversion>1.04</documentversion></documentinfo><parsedwaveforms "
        'compressmethod="XLI" compressflag="True" dataencoding="Base64" samplespersecond="500" resolution="5" '
        f'durationperchannel="10000" numberofleads="12" leadlabels="{" ".join(LEADS)}">{waves}</parsedwaveforms>'
        "</restingecgdata>"
    ).encode()


def deflated_bomb(made: Callable[..., Any], folder: Path) -> bytes:
    content = made("dicom", syntax="1.2.840.10008.1.2.1.99")
    (length,) = struct.unpack_from("<I", content, 140)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return content[: 144 + length] + b"".join(squeeze.compress(bytes(2**20)) for _ in range(70)) + squeeze.flush()


def endless(made: Callable[..., Any], folder: Path, in_a_sequence: bool = False) -> bytes:
    """A DICOM of endless elements."""
    content = made("dicom")
    more = b"".join(struct.pack("<HH", 0x5401, number % 65_535) + b"LO\0\0" for number in range(80_000))
    if in_a_sequence:
        many = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 80_000
        more = b"\x00\x54\x00\x01SQ\0\0" + struct.pack("<I", len(many)) + many
    return content[: content.index(b"\x00\x54\x00\x01SQ")] + more
