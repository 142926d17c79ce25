"""Mortara XML (root ``ECG``), as ELI carts and ELI Link export it: one ``CHANNEL`` a lead, base64 of 16-bit numbers.

There is no public schema; what exports and the programs that read them agree on was followed. A typical cycle is no
recording. ``OFFSET`` is 0 in all known exports, and programs disagree on what it does: where it is not, it is noted.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import (
    MOST_CHANNELS,
    MOST_SAMPLES,
    Channel,
    RawRecording,
    ReadOptions,
    shown_text,
)
from leadwise.ecg.formats.patient import age_between, age_of, sex_of
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.formats.xml_tree import child, children, number_of, parse_xml, root_name
from leadwise.ecg.leads import ReaderFlag, RecordingError
from leadwise.features import FEATURES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMAT = "Mortara XML"
ALLOWED = {"BITS": ("16",), "FORMAT": ("SIGNED",), "ENCODING": ("BASE64",)}
SAMPLE_BYTES, SMALLEST_GAIN = 2, 1e-6


def read_mortara(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the channels.

    Raises:
        RecordingError: there are none, or one is broken or stored in a way that is not read.
    """
    root = parse_xml(files[file])
    leads = list(children(root, "CHANNEL"))
    if not 1 <= len(leads) <= MOST_CHANNELS:
        raise RecordingError("CHANNEL", f"received {len(leads)}; 1 to {MOST_CHANNELS} are allowed")
    notes: list[str] = []
    channels = tuple(_lead(lead, notes) for lead in leads)
    return RawRecording(FORMAT, channels, _patient(root), tuple(notes))


def _lead(lead: "Element", notes: list[str]) -> Channel:
    name = lead.get("NAME", "").strip()
    for field, allowed in ALLOWED.items():
        stated = lead.get(field, allowed[0]).strip().upper()
        if stated not in allowed:
            raise RecordingError(field, f"received {shown_text(stated)}; {' or '.join(allowed)} is read")
    try:
        raw = base64.b64decode("".join((lead.get("DATA") or lead.text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise RecordingError("DATA", f"lead {shown_text(name)} is not base64") from None
    if len(raw) % SAMPLE_BYTES or len(raw) > SAMPLE_BYTES * MOST_SAMPLES:
        allowed_bytes = f"whole samples of {SAMPLE_BYTES} bytes, at most {MOST_SAMPLES}, are read"
        raise RecordingError("DATA", f"lead {shown_text(name)} has {len(raw)} bytes; {allowed_bytes}")
    stored = np.frombuffer(raw, "<i2").astype(np.float64)
    fs_hz = number_of("SAMPLE_FREQ", rate) if (rate := lead.get("SAMPLE_FREQ", "").strip()) else None
    length = lead.get("DURATION", "").strip()
    lasts = number_of("DURATION", length) if length else 0.0
    # Some state samples there, others milliseconds.
    cut = bool(lasts) and lasts != len(stored) and (not fs_hz or abs(lasts * fs_hz / 1000 - len(stored)) > 1)
    if cut:
        notes.append(f"Lead {shown_text(name)} holds {len(stored)} samples, other than DURATION says.")
    if number_of("OFFSET", lead.get("OFFSET", "").strip() or "0"):
        notes.append(f"OFFSET of lead {shown_text(name)} is not 0; it was not added, as it is no part of an ECG.")
    per_mv = number_of("UNITS_PER_MV", stated) if (stated := lead.get("UNITS_PER_MV", "").strip()) else 0.0
    if stated and not SMALLEST_GAIN <= per_mv <= 1 / SMALLEST_GAIN:
        problem = f"received {per_mv:g}; {SMALLEST_GAIN:g} to {1 / SMALLEST_GAIN:g} is allowed"
        raise RecordingError("UNITS_PER_MV", f"lead {shown_text(name)}: {problem}")
    noticed: tuple[ReaderFlag, ...] = ("file_incomplete",) if cut else ()
    if not per_mv:
        return Channel(name, stored, fs_hz, noticed=noticed)
    return Channel(name, stored / per_mv, fs_hz, "mV", per_mv, noticed)


def _patient(root: "Element") -> dict[str, float | None]:
    """Age, sex, height and weight; the dates only serve to know the age at the recording."""
    subject = child(root, "SUBJECT")
    if subject is None:
        return {}
    given = {name: (subject.get(name) or root.get(name) or "").strip() for name in FIELDS}
    found: dict[str, float | None] = {}
    if given["AGE"].strip("0"):
        found["age"] = age_of(f"{given['AGE']} {given['AGE_UNITS'] or 'years'}")
    elif given["DOB"] and (recorded := root.get("ACQUISITION_TIME_XML") or root.get("ACQUISITION_TIME")):
        age = age_between(given["DOB"], recorded)
        if age is not None:
            found["age"] = age
    if given["GENDER"] and given["GENDER"].casefold() not in ("unknown", "u"):
        found["sex"] = sex_of(given["GENDER"])
    for fact, name in (("height_cm", "HEIGHT"), ("weight_kg", "WEIGHT")):
        if given[name].strip("0."):
            found[fact] = FEATURES[fact].parse(given[name], given[f"{name}_UNITS"])
    return found


FIELDS = ("AGE", "AGE_UNITS", "DOB", "GENDER", "HEIGHT", "HEIGHT_UNITS", "WEIGHT", "WEIGHT_UNITS")


def _sniff(content: bytes, name: str) -> bool:
    return root_name(content) == "ecg" and b"CHANNEL" in content


register(Format(FORMAT, (".xml",), _sniff, read_mortara))
