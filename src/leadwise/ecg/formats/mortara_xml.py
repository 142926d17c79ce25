"""Mortara XML (root ``ECG``), as ELI carts and ELI Link export it: one ``CHANNEL`` a lead, base64 of 16-bit numbers.

There is no public schema; what exports and the programs that read them agree on was followed. A typical cycle is no
recording. ``OFFSET`` is 0 in all known exports, and programs disagree on what it does: where it is not, it is noted.
"""

from collections.abc import Mapping

from leadwise.ecg.formats import xml_tree as xml
from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, register, shown_text, within
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import ReaderFlag, RecordingError

FORMAT = "Mortara XML"
ALLOWED = {"BITS": ("16",), "FORMAT": ("SIGNED",), "ENCODING": ("BASE64",)}
SMALLEST_GAIN = 1e-6


def read_mortara(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the channels. Refused: there are none, or one is broken or stored in a way that is not read."""
    root = xml.parse_xml(files[file])
    leads = list(xml.children(root, "CHANNEL"))
    within("CHANNEL", len(leads), 1, Most.CHANNELS)
    notes: list[str] = []
    channels = tuple(_lead(lead, notes) for lead in leads)
    return RawRecording(FORMAT, channels, _patient(root), tuple(notes))


def _lead(lead: xml.Element, notes: list[str]) -> Channel:
    name = lead.get("NAME", "").strip()
    for field, allowed in ALLOWED.items():
        stated = lead.get(field, allowed[0]).strip().upper()
        if stated not in allowed:
            raise RecordingError(field, f"received {shown_text(stated)}; {' or '.join(allowed)} is read")
    stored = xml.samples_of("DATA", name, xml.bytes_of("DATA", name, lead.get("DATA") or lead.text or ""))
    fs_hz = xml.number_of("SAMPLE_FREQ", rate) if (rate := lead.get("SAMPLE_FREQ", "").strip()) else None
    lasts = xml.number_of("DURATION", lead.get("DURATION", "").strip(), 0.0)
    # Some state samples there, others milliseconds.
    cut = bool(lasts) and lasts != len(stored) and (not fs_hz or abs(lasts * fs_hz / 1000 - len(stored)) > 1)
    if cut:
        notes.append(f"Lead {shown_text(name)} holds {len(stored)} samples, other than DURATION says.")
    if xml.number_of("OFFSET", lead.get("OFFSET", "").strip(), 0.0):
        notes.append(f"OFFSET of lead {shown_text(name)} is not 0; it was not added, as it is no part of an ECG.")
    noticed: tuple[ReaderFlag, ...] = ("file_incomplete",) if cut else ()
    if not (stated := lead.get("UNITS_PER_MV", "").strip()):
        return Channel(name, stored, fs_hz, noticed=noticed)
    per_mv = xml.number_of("UNITS_PER_MV", stated)
    within("UNITS_PER_MV", per_mv, SMALLEST_GAIN, 1 / SMALLEST_GAIN, f"lead {shown_text(name)}: ")
    return Channel(name, stored / per_mv, fs_hz, "mV", per_mv, noticed)


def _patient(root: xml.Element) -> dict[str, float | None]:
    subject = xml.child(root, "SUBJECT")
    if subject is None:
        return {}

    def said(name: str) -> str:
        return (subject.get(name) or root.get(name) or "").strip()

    sizes = (("height_cm", "HEIGHT"), ("weight_kg", "WEIGHT"))
    return facts_said(
        # An age of 0 says nothing.
        age=f"{said('AGE')} {said('AGE_UNITS') or 'years'}" if said("AGE").strip("0") else "",
        born=said("DOB"),
        recorded=root.get("ACQUISITION_TIME_XML") or root.get("ACQUISITION_TIME") or "",
        sex=said("GENDER"),
        sizes=[(fact, said(name), said(f"{name}_UNITS")) for fact, name in sizes],
    )


def _sniff(content: bytes, name: str) -> bool:
    return xml.root_name(content) == "ecg" and b"CHANNEL" in content


register(Format(FORMAT, (".xml",), _sniff, read_mortara))
