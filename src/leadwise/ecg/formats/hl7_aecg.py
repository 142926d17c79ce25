"""HL7 version 3 annotated ECG (aECG; ANSI/HL7 V3 ECG, R1-2004 and its implementation guide of March 2005).

A series holds sequence sets; of each, one sequence tells the time (head and increment) and one each lead holds
digits, of which the value is origin + scale x digit, both with a unit. Derived series (representative beats) are not
the recording.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import MOST_SAMPLES, Channel, RawRecording, ReadOptions
from leadwise.ecg.formats.parsing import MV_PER_UNIT, seconds_of, standard_lead, unit_of
from leadwise.ecg.formats.patient import age_between, age_of, sex_of
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.formats.xml_tree import child, children, local_name, number_of, parse_xml, root_name, text_of
from leadwise.ecg.leads import INDEPENDENT_LEADS, RecordingError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMAT = "HL7 aECG"


def read_hl7_aecg(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the first series that holds the most standard leads.

    Raises:
        RecordingError: no series holds a lead, or a sequence is broken.
    """
    content = files[file]
    root = parse_xml(content)
    series = [element for element in root.iter() if local_name(element) == "series"]
    recordings = [_simultaneous(one) for one in series]
    held = [len(_standard(channels)) for channels in recordings]
    if not held or not max(held):
        raise RecordingError("series", "holds no series with a standard lead (code MDC_ECG_LEAD_...)")
    first = held.index(max(held))
    notes = []
    if len(series) > 1:
        notes.append(f"The file holds {len(series)} series; number {first + 1} was read.")
    return RawRecording(FORMAT, tuple(recordings[first]), _patient(root, series[first]), tuple(notes))


def _standard(channels: Iterable[Channel]) -> set[str]:
    return {known[0] for channel in channels if (known := standard_lead(channel.name)) is not None}


def _simultaneous(series: "Element") -> list[Channel]:
    """The leads of a series that begin at the same moment: of several moments, that of the most leads."""
    by_start: dict[str, list[Channel]] = {}
    for component in children(series, "component"):
        for sequences in children(component, "sequenceSet"):
            found = [one for part in children(sequences, "component") for one in children(part, "sequence")]
            start, fs_hz = _clock(found)
            by_start.setdefault(start, []).extend(_leads(found, fs_hz))
    best = max(by_start.values(), key=lambda channels: len(_standard(channels)), default=[])
    needed = set(INDEPENDENT_LEADS)
    everything = _standard(channel for channels in by_start.values() for channel in channels)
    if needed <= everything and not needed <= _standard(best):
        raise RecordingError(
            "sequenceSet", f"the leads begin at {len(by_start)} different times; they must be recorded together"
        )
    return best


def _clock(sequences: list["Element"]) -> tuple[str, float | None]:
    """The start of a sequence set, which only serves to compare, and its sampling rate in Hz."""
    for sequence in sequences:
        increment = child(sequence, "value", "increment")
        if increment is None:
            continue
        seconds = seconds_of(increment.get("unit", "s"))
        step = number_of("increment", increment.get("value", ""))
        if seconds is None or step <= 0:
            raise RecordingError("increment", "needs a time above 0 in s, ms or us")
        head = child(sequence, "value", "head")
        return (head.get("value", "") if head is not None else ""), round(1 / (step * seconds), 6)
    return "", None


def _leads(sequences: list["Element"], fs_hz: float | None) -> Iterator[Channel]:
    for sequence in sequences:
        code, digits = child(sequence, "code"), child(sequence, "value", "digits")
        if code is None or digits is None:
            continue
        name = code.get("code", "")
        scale, scale_unit = _quantity(sequence, "scale", 1.0)
        origin, origin_unit = _quantity(sequence, "origin", 0.0)
        unit = scale_unit or origin_unit
        values = _digits(name, digits.text or "")
        yield Channel(
            name, values * scale + origin * _factor(origin_unit, unit), fs_hz, unit, abs(1 / scale) if scale else None
        )


def _quantity(sequence: "Element", name: str, default: float) -> tuple[float, str]:
    """Value and unit of an origin or a scale."""
    element = child(sequence, "value", name)
    if element is None:
        return default, ""
    return number_of(name, element.get("value") or text_of(element) or str(default)), element.get("unit", "")


def _factor(unit: str, other: str) -> float:
    """How many of the other unit one unit is; 1 where either is none of voltage."""
    one, two = unit_of(unit), unit_of(other)
    return MV_PER_UNIT[one] / MV_PER_UNIT[two] if one and two else 1.0


def _digits(name: str, text: str) -> np.ndarray:
    """``(time,)`` the numbers of a sequence."""
    words = text.split(maxsplit=MOST_SAMPLES)
    if len(words) > MOST_SAMPLES:
        raise RecordingError("digits", f"received more than {MOST_SAMPLES} samples of a lead, which is the most")
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        raise RecordingError("digits", "received something that is no number among the digits of a lead") from None


def _patient(root: "Element", series: "Element") -> dict[str, float | None]:
    """Sex and age of the subject; the date of birth only serves to know the age at the recording."""
    person = next((one for one in root.iter() if local_name(one) == "subjectDemographicPerson"), None)
    found: dict[str, float | None] = {}
    gender, birth = child(person, "administrativeGenderCode"), child(person, "birthTime")
    if gender is not None:
        found["sex"] = sex_of(gender.get("code", ""))
    if gender is not None and found["sex"] is None and gender.get("code", "").upper() in ("", "UN", "UNK"):
        del found["sex"]
    low = child(series, "effectiveTime", "low")
    low = child(root, "effectiveTime", "low") if low is None else low
    when = low if low is not None else child(root, "effectiveTime")
    if birth is not None and when is not None:
        age = age_between(birth.get("value", ""), when.get("value", ""))
        if age is not None:
            found["age"] = age
    stated = child(person, "age")
    if stated is not None and "age" not in found:
        found["age"] = age_of(f"{stated.get('value', '')} {_age_unit(stated.get('unit', ''))}")
    return found


def _age_unit(unit: str) -> str:
    """UCUM's ``a`` (annum) as the letter of a year."""
    return "y" if unit in ("a", "") else {"mo": "m", "wk": "w"}.get(unit, unit)


def _sniff(content: bytes, name: str) -> bool:
    return root_name(content) == "annotatedecg"


register(Format("HL7 aECG XML", (".xml",), _sniff, read_hl7_aecg))
