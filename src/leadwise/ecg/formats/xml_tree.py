"""XML from anybody: no entities, nothing fetched, and not more elements than an ECG needs."""

import base64
import io
import math
import re
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

import numpy as np

from leadwise.ecg.formats.base import Most, shown_text
from leadwise.ecg.formats.base import text_of as beginning
from leadwise.ecg.record import RecordingError

MOST_ELEMENTS = 200_000
"""An annotated ECG of a whole day's beats has some ten thousand."""
DEEPEST = 200
MOST_EQUAL_SIGNS = 400_000
"""Every attribute needs one; base64 ends with two at most."""
SAMPLE_BYTES = 2

_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_BEFORE_ROOT = (("<!--", "-->"), ("<?", "?>"))
_DOCUMENT_TYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>")


def root_name(content: bytes) -> str:
    """Name in lower case of the first element after declarations, comments and a document type; empty for no XML."""
    head = (beginning(content) or "") if content.find(b"<", 0, 20_000) >= 0 else ""
    if not head.startswith("<"):
        return ""
    at = 0
    while at < len(head):
        if head[at].isspace():
            at += 1
        elif found := next((end for begin, end in _BEFORE_ROOT if head.startswith(begin, at)), None):
            behind = head.find(found, at)
            if behind < 0:
                return ""
            at = behind + len(found)
        elif document_type := _DOCUMENT_TYPE.match(head, at):
            at = document_type.end()
        else:
            root = _ROOT.match(head, at)
            return root[1].casefold() if root else ""
    return ""


def parse_xml(content: bytes) -> Element:
    """The root of a document.

    A document type without entities is allowed, as GE MUSE writes one; it is not fetched.

    Raises:
        RecordingError: the document is not well formed, declares entities, or is far larger than any ECG.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    if content.count(b"=") > MOST_EQUAL_SIGNS:
        raise RecordingError("XML", f"has more than {MOST_EQUAL_SIGNS} attributes; an ECG has fewer")
    elements = depth = 0
    try:
        reading = iterparse(io.BytesIO(content), events=("start", "end"))
        for event, _ in reading:
            elements += event == "start"
            depth += 1 if event == "start" else -1
            if elements > MOST_ELEMENTS or depth > DEEPEST:
                limits = f"more than {MOST_ELEMENTS} elements, or some deeper than {DEEPEST}"
                raise RecordingError("XML", f"has {limits}; an ECG has fewer")
        return reading.root
    except DefusedXmlException:
        raise RecordingError("XML", "declares entities, which are never expanded; export it without them") from None
    except ParseError as error:
        line, column = error.position
        raise RecordingError("XML", f"is not well formed at line {line}, column {column}") from None
    except (LookupError, ValueError):
        raise RecordingError("XML", "declares an encoding that is not known; UTF-8, UTF-16 or Latin-1 is") from None


def local_name(element: Element) -> str:
    """The tag without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Children of a name, in any namespace."""
    if element is not None:
        yield from (child for child in element if local_name(child) == name)


def child(element: Element | None, *path: str) -> Element | None:
    """The first element along a path of names; ``None`` if there is none."""
    for name in path:
        element = next(children(element, name), None)
    return element


def text_of(element: Element | None, *path: str) -> str:
    """The stripped text of an element along a path; empty if there is none."""
    element_there = child(element, *path)
    return (element_there.text or "").strip() if element_there is not None else ""


def has_root(name: str) -> Callable[[bytes, str], bool]:
    """A ``sniff``: the first element has this name, in lower case."""
    return lambda content, _: root_name(content) == name


def number_of(field: str, text: str, default: float | None = None) -> float:
    """A finite number of a document; the default, if there is one, where it is left out.

    Refused: the text is no number.
    """
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecordingError(field, "received no number where one is needed")
    return value


def numbers_of(field: str, lead: str, text: str, separator: str | None = None, most: int = Most.SAMPLES) -> np.ndarray:
    """``(time,)`` float64 of numbers that are written out; ``separator`` as of ``str.split``.

    Refused: there are more than ``most``, or one is no number.
    """
    words = text.split(separator, maxsplit=most)
    if len(words) > most:
        raise RecordingError(field, f"{_of(lead)}has more than {most} samples, which is the most")
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        raise RecordingError(field, f"{_of(lead)}holds something that is no number") from None


def bytes_of(field: str, lead: str, text: str) -> bytes:
    """Bytes in base64, of which the padding may be left out. Refused: the text is none."""
    joined = "".join(text.split())
    try:
        return base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)
    except ValueError:
        raise RecordingError(field, f"{_of(lead)}is not base64") from None


def samples_of(field: str, lead: str, raw: bytes) -> np.ndarray:
    """``(time,)`` float64 of 16-bit little-endian numbers.

    Refused: there are too many, or the last one is cut in two.
    """
    if len(raw) % SAMPLE_BYTES or len(raw) > SAMPLE_BYTES * Most.SAMPLES:
        allowed = f"whole samples of {SAMPLE_BYTES} bytes, at most {Most.SAMPLES}, are read"
        raise RecordingError(field, f"{_of(lead)}has {len(raw)} bytes; {allowed}")
    return np.frombuffer(raw, "<i2").astype(np.float64)


def _of(lead: str) -> str:
    return f"lead {shown_text(lead)} " if lead else ""
