"""What a file is, by its content first and its name second, and what to do with one that is not read."""

import re
from enum import Enum

from leadwise.signals.readers.dicom import begins_without_preamble
from leadwise.signals.readers.wfdb_header import looks_like_header


class Kind(Enum):
    """What a file can be; the value is how it is called."""

    WFDB = "WFDB header"
    CSV = "CSV or TSV table"
    NPY = "NPY array"
    EDF = "EDF"
    DICOM = "DICOM"
    AECG = "HL7 aECG XML"
    MUSE = "GE MUSE XML"
    PARQUET = "Parquet table"
    MATLAB = "MATLAB struct"
    ZIP = "zip archive"
    OTHER_FILE = "file of unknown content"


FORMATS_READ = (
    "WFDB (.hea with .dat, or both in a zip), CSV and TSV, NPY and NPZ, EDF and EDF+, DICOM waveform, HL7 aECG XML, "
    "GE MUSE XML, Parquet, MATLAB struct of CPSC2018"
)

_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"PK\x03\x04", Kind.ZIP),
    (0, b"PK\x05\x06", Kind.ZIP),
    (0, b"\x93NUMPY", Kind.NPY),
    (0, b"PAR1", Kind.PARQUET),
    (128, b"DICM", Kind.DICOM),
    (124, b"\x00\x01IM", Kind.MATLAB),
    (124, b"\x01\x00MI", Kind.MATLAB),
)

_REFUSED: tuple[tuple[int, bytes, str], ...] = (
    (16, b"SCPECG", "is SCP-ECG (EN 1064), for which no well-kept reader is available; convert it to EDF or HL7 aECG, "
     "for example with BioSig"),
    (0, b"%PDF", "is a PDF: a drawing of an ECG, not its samples; export the waveform"),
    (0, b"\x89PNG", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"\xff\xd8\xff", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"GIF8", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"II*\0", "is a picture of an ECG, not its samples; export the waveform"),
    (0, b"\xffBIOSEMI", "is BDF; convert it to EDF"),
    (0, b"MATLAB 5.0 MAT-file", "is a MATLAB file; save the samples as CSV or NPY (with its WFDB header, give both)"),
    (0, b"MATLAB 7.3 MAT-file", "is MATLAB 7.3 (HDF5); save the samples as CSV or NPY"),
    (0, b"\x89HDF", "is HDF5; save the samples as NPZ or CSV"),
    (0, b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (0, b"BZh", "is compressed with bzip2; unpack it first"),
    (0, b"7z\xbc\xaf", "is a 7z archive; pack it as a zip, or give its files"),
    (0, b"Rar!", "is a RAR archive; pack it as a zip, or give its files"),
    (0, b"\xd0\xcf\x11\xe0", "is an old Office file; save the table as CSV"),
    (0, b"ISHNE1.0", "is ISHNE Holter; convert 10 s of it to EDF or WFDB"),
    (0, b"\x80\x02", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x03", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x04", "is a Python pickle, which is never opened; save the samples as NPZ"),
    (0, b"\x80\x05", "is a Python pickle, which is never opened; save the samples as NPZ"),
)  # fmt: skip

_XML_ROOTS = {"annotatedecg": Kind.AECG, "restingecg": Kind.MUSE}
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_BEFORE_ROOT = (("<!--", "-->"), ("<?", "?>"))
_DOCUMENT_TYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>")
_LOOKED_AT = 16_384


def kind_of(name: str, content: bytes) -> Kind | str:
    """What a file is.

    Returns:
        A kind that is read, ``Kind.OTHER_FILE`` for what may be the signal file of a header or nothing at all, or the
        reason why it is not read, to be said after the file's name.
    """
    if (kind := _by_beginning(name, content)) is not None:
        return kind
    for start, mark, reason in _REFUSED:
        if content.startswith(mark, start):
            return reason
    head = _head(content)
    if head is None:
        return Kind.OTHER_FILE
    if head.startswith("<"):
        return _xml_kind(head)
    if looks_like_header(head) or name.casefold().endswith(".hea"):
        return Kind.WFDB
    if head.startswith(("{", "[")):
        return "is JSON; requests to a server are JSON, files are not: save the samples as CSV or NPZ"
    return Kind.CSV if _is_text(head) else Kind.OTHER_FILE


def _by_beginning(name: str, content: bytes) -> Kind | None:
    """What a file is that begins with bytes of its own; ``None`` for texts and all others."""
    for start, mark, kind in _MAGIC:
        if content.startswith(mark, start):
            return kind
    if content.startswith(b"0       ") and (content[184:192].strip().isdigit() or name.casefold().endswith(".edf")):
        return Kind.EDF
    return Kind.DICOM if begins_without_preamble(content) else None


def _head(content: bytes) -> str | None:
    """The beginning as text; ``None`` if it is none."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content[:_LOOKED_AT].decode(encoding, errors="ignore")
    except UnicodeError:
        return None
    return text.lstrip()


def _is_text(head: str) -> bool:
    """Whether a beginning holds letters and digits only, such as a table."""
    without_breaks = head.replace("\n", "").replace("\r", "").replace("\t", "").replace("\f", "")
    return without_breaks.isprintable() and any(letter.isdigit() for letter in head)


def _xml_kind(head: str) -> Kind | str:
    name = _root_name(head).casefold()
    if name in _XML_ROOTS:
        return _XML_ROOTS[name]
    if name == "restingecgdata":
        return "is Philips XML, of which the samples are compressed in a way of its own; export it as HL7 aECG or DICOM"
    return f"is XML of another kind; {Kind.AECG.value} (root AnnotatedECG) and {Kind.MUSE.value} (RestingECG) are read"


def _root_name(head: str) -> str:
    """Name of the first element after declarations, comments and a document type; empty if there is none."""
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
            return root[1] if root else ""
    return ""
