"""Many WFDB records at once: the same verification as ``read_record``, some ten times faster, every file hashed.

The headers of PTB-XL differ in the record's name, the initial values and the checksums only. So the signals of a block
are summed together, and each header is compared with the one that its signals must have; whatever differs is looked at
by ``leadwise.datasets.waveforms``, which reads it after all or says what is wrong.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from leadwise.contract import LEADS, StoredRate
from leadwise.datasets.checksums import sha256_of
from leadwise.datasets.waveforms import (
    INVALID_16_BIT,
    MAX_HEADER,
    Layout,
    UnreadableRecord,
    checksums_of,
    decode,
    parse_header,
    read_with_wfdb,
    samples_at,
    stored_as_it_is,
    unopened,
)

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""A name that means nothing but itself in a ``%`` format."""
# Opening a pipe that stands in the place of a file must not wait for somebody to write to it.
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass
class Block:
    """What came of a block of records.

    Attributes:
        problems: per record, why it cannot be trusted; None for those that were read.
        hashes: per record, SHA-256 of its samples as they are stored; "" where it was not read or nothing was hashed.
        files: per record, file below the tree -> SHA-256 of its bytes, of every file of it that can be read.
    """

    problems: list[UnreadableRecord | None] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)


@dataclass
class _Loaded:
    """The bytes of one record, the hashes of its files, and what the operating system said about them."""

    header: bytes = b""
    size: int = 0
    hashes: dict[str, str] = field(default_factory=dict)
    header_error: OSError | None = None
    data_error: OSError | None = None


class BlockReader:
    """Reads records of one tree and rate; it remembers the layout of the last header.

    Args:
        tree: the folder that the filenames start from.
        rate: sampling rate that the records must have, in Hz.
        hashed: hash every file and record as well.
    """

    def __init__(self, tree: Path, rate: StoredRate, *, hashed: bool = True) -> None:
        self.tree, self.rate, self.hashed = str(tree), rate, hashed
        self.samples = samples_at(rate)
        self.bytes = self.samples * len(LEADS) * 2
        self._layout: Layout | None = None
        self._one_more = bytearray(1)

    def read(self, filenames: Sequence[str], out: np.ndarray) -> Block:
        """Read and verify a block of records.

        Args:
            filenames: paths below the tree, without extension.
            out: ``(record, 10 * rate, 12)`` little-endian int16, contiguous: gets the records in microvolts, leads in
                the order of ``LEADS``; what stands in the place of a record that was not read means nothing.
        """
        block = Block()
        view = out.reshape(-1).view(np.uint8).data
        places = [view[start : start + self.bytes] for start in range(0, len(filenames) * self.bytes, self.bytes)]
        loaded = [self._load(name, place) for name, place in zip(filenames, places, strict=True)]
        read = out[: len(filenames)]
        numbers = np.stack([read[:, 0].astype(np.int64), checksums_of(read)], axis=2).reshape(len(read), -1).tolist()
        suspect = bool(len(read)) and int(read.min()) <= INVALID_16_BIT
        for row, filename in enumerate(filenames):
            one = loaded[row]
            as_expected = (
                self._layout is not None
                and one.size == self.bytes
                and not (suspect and int(read[row].min()) <= INVALID_16_BIT)
                and self._expected_header(filename, numbers[row]) == one.header
            )
            problem = None if as_expected else self._look_closer(filename, one, read[row], places[row])
            if self.hashed and not as_expected:
                self._hash_the_rest(filename, one)
            block.problems.append(problem)
            block.files.append(one.hashes)
            block.hashes.append(self._record_hash(filename, one, places[row], as_expected) if problem is None else "")
        return block

    def _load(self, filename: str, place: memoryview) -> _Loaded:
        """Read both files of a record, the signal file to its place in the block."""
        one = _Loaded()
        path = f"{self.tree}/{filename}"
        try:
            descriptor = os.open(f"{path}.hea", FLAGS)
            try:
                one.header = os.read(descriptor, 4096)
                if len(one.header) == 4096:
                    one.header += os.read(descriptor, MAX_HEADER)
            finally:
                os.close(descriptor)
        except OSError as error:
            one.header_error = error
        try:
            descriptor = os.open(f"{path}.dat", FLAGS)
            try:
                one.size = os.readv(descriptor, [place, self._one_more])
                while 0 < one.size < self.bytes and (more := os.readv(descriptor, [place[one.size :]])):
                    one.size += more
            finally:
                os.close(descriptor)
        except OSError as error:
            one.data_error = error
        if self.hashed:
            if one.header_error is None and len(one.header) <= MAX_HEADER:
                one.hashes[f"{filename}.hea"] = hashlib.sha256(one.header).hexdigest()
            if one.data_error is None and one.size == self.bytes:
                one.hashes[f"{filename}.dat"] = hashlib.sha256(place).hexdigest()
        return one

    def _expected_header(self, filename: str, numbers: Sequence[int]) -> bytes:
        """The header that signals with these initial values and checksums have in the layout of the last header."""
        assert self._layout is not None
        name = filename.rpartition("/")[2]
        return self._layout.header(name.encode(), numbers) if PLAIN_NAME.fullmatch(name) else b""

    def _look_closer(self, filename: str, one: _Loaded, read: np.ndarray, place: memoryview) -> UnreadableRecord | None:
        """Read a record whose header is not like the last one, or say what is wrong with it."""
        record = Path(self.tree, filename)
        try:
            if one.header_error is not None:
                raise unopened(record, one.header_error)
            header = parse_header(record, one.header, self.rate)
            if header is None:
                read[:] = read_with_wfdb(record, self.rate)
                return None
            if one.data_error is not None:
                raise unopened(record, one.data_error)
            data = place[: one.size] if one.size <= self.bytes else bytes(one.size)
            read[:] = decode(record, header, data, self.rate)
            self._layout = header.layout if stored_as_it_is(header.layout) else None
        except UnreadableRecord as problem:
            return problem
        return None

    def _hash_the_rest(self, filename: str, one: _Loaded) -> None:
        """Hash those files of a record that were not whole in memory."""
        for name in _files_of(filename, one.header):
            file = Path(self.tree, name)
            if name not in one.hashes and file.is_file():
                # It has been named as unreadable already.
                with suppress(OSError):
                    one.hashes[name] = sha256_of(file)

    def _record_hash(self, filename: str, one: _Loaded, place: memoryview, as_expected: bool) -> str:
        """SHA-256 of the samples as they are stored, which in the layout of PTB-XL are the bytes of the file."""
        if not self.hashed:
            return ""
        return one.hashes[f"{filename}.dat"] if as_expected else hashlib.sha256(place).hexdigest()


def _files_of(filename: str, header: bytes) -> list[str]:
    """The files of a record, below the tree: its own two, and whatever else its header names in the same folder."""
    lines = [line for line in header.decode("latin-1").splitlines() if line.strip() and not line.startswith("#")]
    named = {line.split()[0] for line in lines[1 : 1 + len(LEADS)]}
    folder = filename.rpartition("/")[0]
    others = {f"{folder}/{name}" if folder else name for name in named if PLAIN_NAME.fullmatch(name)}
    return sorted({f"{filename}.hea", f"{filename}.dat"} | others)
