"""Values of a DICOM data set as stored: pydicom's own conversion warns with the value, which may be private."""

import io
import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from leadwise.signals.readers.errors import ReaderError, by_library

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Default = TypeVar("Default", float, None)

MOST_READS = 60_000
"""Pieces that an object is read in, two or three an element: a 12-lead ECG has a thousand elements."""

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def text_in(dataset: "Dataset", keyword: str) -> str:
    """An element as text without padding; empty if it is absent or empty. Of several values the first."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    element = dataset.get_item(tag) if tag is not None and tag in dataset else None
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return str(value).split("\\")[0].strip(" \0") if value is not None else ""


def number_in(dataset: "Dataset", keyword: str, default: Default) -> "float | Default":
    """An element as a finite number; the default if it is absent or is none."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    element = dataset.get_item(tag) if tag is not None and tag in dataset else None
    value = getattr(element, "value", None)
    if tag is None or value is None:
        return default
    try:
        kind = BINARY.get(dictionary_VR(tag))
        if isinstance(value, bytes) and kind is not None:
            order = ">" if getattr(element, "is_little_endian", True) is False else "<"
            number = float(struct.unpack_from(order + kind, value)[0])
        else:
            number = float(text_in(dataset, keyword))
    except (ValueError, struct.error):
        return default
    return number if math.isfinite(number) else default


class Reads:
    """Counts the pieces that an object is read in, so that one of millions of tiny elements is refused soon."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.left = MOST_READS

    def check(self) -> None:
        """Refuse what has been read in too many pieces: pydicom may have turned the first refusal into an OSError."""
        if self.left < 0:
            raise ReaderError(self.file, "DICOM", "has far more elements than any ECG")

    def stream(self, content: bytes) -> io.BytesIO:
        """A stream of which every read counts."""
        reads = self

        class Counted(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                reads.left -= 1
                reads.check()
                return super().read(size)

        return Counted(content)

    def items(self, dataset: "Dataset", keyword: str) -> "list[Dataset]":
        """The items of a sequence; none if it is absent."""
        from pydicom.datadict import tag_for_keyword
        from pydicom.filereader import read_sequence

        tag = tag_for_keyword(keyword)
        element = dataset.get_item(tag) if tag is not None and tag in dataset else None
        value: object = getattr(element, "value", None)
        if isinstance(value, bytes):
            # Left unread so far, as its length was known.
            implicit, little = bool(getattr(element, "is_implicit_VR", False)), getattr(element, "is_little_endian", 1)
            with by_library(self.file, keyword, "a sequence of items is needed"):
                return list(read_sequence(self.stream(value), implicit, bool(little), len(value), "latin-1"))
        return list(value) if isinstance(value, Sequence) else []
