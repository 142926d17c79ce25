"""HL7 version 3 annotated ECG (aECG; ANSI/HL7 V3 ECG, R1-2004 and its implementation guide of March 2005).

A series holds sequence sets; of each, one sequence tells the time (head and increment) and one each lead holds
digits, of which the value is origin + scale x digit, both with a unit. Derived series (representative beats) are not
the recording.
"""

from collections.abc import Iterable, Iterator, Mapping

from leadwise.ecg.formats import xml_tree as xml
from leadwise.ecg.formats.base import Channel, Format, RawRecording, ReadOptions, register
from leadwise.ecg.formats.parsing import seconds_of, standard_leads, unit_ratio
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import INDEPENDENT_LEADS, RecordingError

FORMAT = "HL7 aECG"
UCUM = {"a": "y", "": "y", "mo": "m", "wk": "w"}
"""Units of an age; ``a`` is the year (annum)."""


def read_hl7_aecg(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the first series that holds the most standard leads.

    Refused: no series holds a lead, or a sequence is broken.
    """
    root = xml.parse_xml(files[file])
    series = [element for element in root.iter() if xml.local_name(element) == "series"]
    recordings = [_simultaneous(element) for element in series]
    held = [len(_leads_of(channels)) for channels in recordings]
    if not held or not max(held):
        raise RecordingError("series", "holds no series with a standard lead (code MDC_ECG_LEAD_...)")
    first = held.index(max(held))
    notes = (f"The file holds {len(series)} series; number {first + 1} was read.",) if len(series) > 1 else ()
    return RawRecording(FORMAT, tuple(recordings[first]), _patient(root, series[first]), notes)


def _leads_of(channels: Iterable[Channel]) -> set[str]:
    return standard_leads(channel.name for channel in channels)


def _simultaneous(series: xml.Element) -> list[Channel]:
    """The leads of a series that begin at the same moment: of several moments, that of the most leads."""
    by_start: dict[str, list[Channel]] = {}
    for component in xml.children(series, "component"):
        for sequences in xml.children(component, "sequenceSet"):
            sequences_there = [
                sequence for part in xml.children(sequences, "component") for sequence in xml.children(part, "sequence")
            ]
            start, fs_hz = _clock(sequences_there)
            by_start.setdefault(start, []).extend(_leads(sequences_there, fs_hz))
    best = max(by_start.values(), key=lambda channels: len(_leads_of(channels)), default=[])
    needed = set(INDEPENDENT_LEADS)
    everything = _leads_of(channel for channels in by_start.values() for channel in channels)
    if needed <= everything and not needed <= _leads_of(best):
        problem = f"the leads begin at {len(by_start)} different times; they must be recorded together"
        raise RecordingError("sequenceSet", problem)
    return best


def _clock(sequences: list[xml.Element]) -> tuple[str, float | None]:
    """The start of a sequence set, which only serves to compare, and its sampling rate in Hz."""
    for sequence in sequences:
        increment = xml.child(sequence, "value", "increment")
        if increment is None:
            continue
        seconds = seconds_of(increment.get("unit", "s"))
        step = xml.number_of("increment", increment.get("value", ""))
        if seconds is None or step <= 0:
            raise RecordingError("increment", "needs a time above 0 in s, ms or us")
        head = xml.child(sequence, "value", "head")
        return (head.get("value", "") if head is not None else ""), round(1 / (step * seconds), 6)
    return "", None


def _leads(sequences: list[xml.Element], fs_hz: float | None) -> Iterator[Channel]:
    for sequence in sequences:
        code, digits = xml.child(sequence, "code"), xml.child(sequence, "value", "digits")
        if code is None or digits is None:
            continue
        name = code.get("code", "")
        scale, scale_unit = _quantity(sequence, "scale", 1.0)
        origin, origin_unit = _quantity(sequence, "origin", 0.0)
        unit = scale_unit or origin_unit
        values = xml.numbers_of("digits", name, digits.text or "") * scale
        # Of one lead, a file may state the unit once.
        values += origin * (unit_ratio(origin_unit, unit) or 1.0)
        yield Channel(name, values, fs_hz, unit, abs(1 / scale) if scale else None)


def _quantity(sequence: xml.Element, name: str, default: float) -> tuple[float, str]:
    """Value and unit of an origin or a scale."""
    element = xml.child(sequence, "value", name)
    if element is None:
        return default, ""
    return xml.number_of(name, element.get("value") or xml.text_of(element) or str(default)), element.get("unit", "")


def _patient(root: xml.Element, series: xml.Element) -> dict[str, float | None]:
    person = next((element for element in root.iter() if xml.local_name(element) == "subjectDemographicPerson"), None)
    times = (
        xml.child(series, "effectiveTime", "low"),
        xml.child(root, "effectiveTime", "low"),
        xml.child(root, "effectiveTime"),
    )
    when = next((time for time in times if time is not None), None)
    born, sex = xml.child(person, "birthTime"), xml.child(person, "administrativeGenderCode")
    facts = facts_said(born=_attribute(born, "value"), recorded=_attribute(when, "value"), sex=_attribute(sex, "code"))
    stated = xml.child(person, "age")
    if stated is None or "age" in facts:
        return facts
    unit = stated.get("unit", "")
    return facts | facts_said(age=f"{stated.get('value', '')} {UCUM.get(unit, unit)}")


def _attribute(element: xml.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


register(Format("HL7 aECG XML", (".xml",), xml.has_root("annotatedecg"), read_hl7_aecg))
