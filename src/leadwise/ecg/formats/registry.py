"""The formats that are read. Each registers itself where it is written; whoever needs all of them asks here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leadwise.ecg.formats.base import RawRecording, ReadOptions

OWN_MARK, LAYOUT, ANY_TEXT = range(3)
"""How sure a format knows its files: by bytes of its own, by how a text is laid out, or because it may be any text."""
ARCHIVE_ENDING = ".zip"
_LOOKED_AT = 16_384


def no_parts(file: str, content: bytes) -> tuple[tuple[str, ...], ...]:
    """The further files of a format whose recordings are one file each."""
    return ()


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: how messages, help and documentation call it.
        endings: of its files, lower case, the first the usual one: folders are searched for them.
        sniff: ``sniff(content, name)``: whether a file is of this format.
        read: ``read(file, files, hints)``: what is found in one of some files, by name; what it raises as a
            ``RecordingError`` of a field becomes a ``ReaderError`` of that file.
        sureness: ``OWN_MARK``, ``LAYOUT`` or ``ANY_TEXT``; formats that are surer are asked first.
        part_endings: of the further files of a recording, which lie beside its first file.
        many: whether a file may hold several recordings, of which ``ReadOptions.record`` names one.
        parts: ``parts(file, content)``: per further file, the paths under which it may lie, the likeliest first.
    """

    name: str
    endings: tuple[str, ...]
    sniff: Callable[[bytes, str], bool]
    read: Callable[[str, Mapping[str, bytes], ReadOptions], RawRecording]
    sureness: int = OWN_MARK
    part_endings: tuple[str, ...] = ()
    parts: Callable[[str, bytes], tuple[tuple[str, ...], ...]] = no_parts
    many: bool = False


FORMATS: dict[str, Format] = {}
"""Name -> format."""


def register(one: Format) -> Format:
    """Add a format, or replace that of the same name."""
    FORMATS[one.name] = one
    return one


def begins_with(*marks: bytes, at: int = 0) -> Callable[[bytes, str], bool]:
    """A ``sniff``: one of some marks stands at a place."""
    return lambda content, name: content.startswith(marks, at)


def formats() -> tuple[Format, ...]:
    """All formats, the surest first."""
    return tuple(sorted(FORMATS.values(), key=lambda one: one.sureness))


def format_of(content: bytes, name: str) -> Format | None:
    """The format of a file; ``None`` if it is of none."""
    return next((one for one in formats() if one.sniff(content, name)), None)


def formats_read() -> str:
    """All formats in words, with the endings of their files."""
    named = []
    for one in formats():
        beside = f" with {' or '.join(one.part_endings)}" if one.part_endings else ""
        named.append(f"{one.name} ({', '.join(one.endings)}{beside})")
    return ", ".join(sorted(named, key=str.casefold)) + f"; one recording of them in a {ARCHIVE_ENDING}"


def endings_read() -> frozenset[str]:
    """Endings of files that may hold a recording."""
    return frozenset({ARCHIVE_ENDING}.union(*(one.endings for one in formats())))


def text_of(content: bytes) -> str | None:
    """The beginning of a file as text; ``None`` if it is none."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content[:_LOOKED_AT].decode(encoding, errors="ignore").lstrip()
    except UnicodeError:
        return None
