"""``signals.npy`` while it is written: several processes write blocks of records, then the gaps are closed.

Plain writes instead of a mapping: what was written is not counted as memory of the process.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leadwise.contract import LEADS, LeadwiseError, StoredRate
from leadwise.data.waveforms import samples_at

PIECE = 8 * 2**20
"""Bytes moved at a time."""


class SignalsFileError(LeadwiseError):
    """The signals cannot be written; the message names the file and says why."""


@dataclass(frozen=True)
class SignalsFile:
    """A ``.npy`` file of ``(record, 10 * rate, 12)`` little-endian int16; it may be sent to another process."""

    path: Path
    rate: StoredRate

    @property
    def record_bytes(self) -> int:
        """Bytes of one record."""
        return samples_at(self.rate) * len(LEADS) * 2

    def create(self, records: int) -> None:
        """Make the file with all its records zero."""
        with self._opened(os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            self._resize(descriptor, records)

    def write(self, first: int, signals: np.ndarray) -> None:
        """Write ``(record, 10 * rate, 12)`` little-endian int16 from a record on."""
        with self._opened(os.O_WRONLY) as descriptor:
            _write_all(descriptor, signals.reshape(-1).view(np.uint8).data, self._offset(first))

    def keep(self, kept: np.ndarray) -> None:
        """Keep some of the records, ``(record,)`` bool, in their order."""
        records = np.flatnonzero(kept)
        if len(records) == len(kept):
            return
        with self._opened(os.O_RDWR) as descriptor:
            target = 0
            for run in np.split(records, np.flatnonzero(np.diff(records) > 1) + 1) if len(records) else []:
                self._move(descriptor, int(run[0]), target, len(run))
                target += len(run)
            self._resize(descriptor, len(records))

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, flags | os.O_CLOEXEC, 0o644)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SignalsFileError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _resize(self, descriptor: int, records: int) -> None:
        """Write the header for so many records, and give the file their length."""
        _write_all(descriptor, memoryview(_header(self.rate, records)), 0)
        os.ftruncate(descriptor, self._offset(records))

    def _move(self, descriptor: int, source: int, target: int, records: int) -> None:
        """Move a run of records towards the start of the file."""
        start, stop = self._offset(source), self._offset(source + records)
        by = start - self._offset(target)
        while by and start < stop:
            piece = os.pread(descriptor, min(PIECE, stop - start), start)
            if not piece:
                raise OSError(f"{self.path.name} ends early")
            _write_all(descriptor, memoryview(piece), start - by)
            start += len(piece)

    def _offset(self, record: int) -> int:
        # NumPy leaves room in a header for the first number of the shape to grow: its length is always the same.
        return len(_header(self.rate, 0)) + record * self.record_bytes


def _header(rate: StoredRate, records: int) -> bytes:
    shape = (records, samples_at(rate), len(LEADS))
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i2", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _write_all(descriptor: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
