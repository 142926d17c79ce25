"""GE CardioSoft XML (root ``CardiologyXML``): ``StripData`` with one ``WaveformData`` a lead, numbers with commas.

There is no public schema; what exports and the programs that read them agree on was followed. Median samples are no
recording, and the full disclosure of a stress test is left.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from leadwise.ecg.formats.base import MOST_SAMPLES, Channel, RawRecording, ReadOptions, shown_text
from leadwise.ecg.formats.patient import age_between, age_of, sex_of
from leadwise.ecg.formats.registry import Format, register
from leadwise.ecg.formats.xml_tree import child, children, local_name, number_of, parse_xml, root_name, text_of
from leadwise.ecg.leads import ReaderFlag, RecordingError
from leadwise.features import FEATURES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMAT = "GE CardioSoft XML"
LARGEST_STEP = 1e6
UNITS = {"uvperlsb": "uV", "mvperlsb": "mV", "nvperlsb": "nV"}


def read_cardiosoft(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the strip.

    Raises:
        RecordingError: there is none, or a lead is broken.
    """
    root = parse_xml(files[file])
    strip = next((one for one in root.iter() if local_name(one) == "StripData"), None)
    if strip is None:
        raise RecordingError("StripData", "is missing: medians and full disclosures are no recording")
    rate, step = child(strip, "SampleRate"), child(strip, "Resolution")
    fs_hz = number_of("SampleRate", text_of(rate)) if rate is not None else None
    if rate is not None and rate.get("units", "Hz").casefold() != "hz":
        raise RecordingError("SampleRate", f"received {shown_text(rate.get('units', ''))}; Hz is allowed")
    unit, per_step = "", 1.0
    if step is not None:
        per_step, unit = number_of("Resolution", text_of(step)), UNITS.get(step.get("units", "").casefold(), "")
        if not 0 < per_step <= LARGEST_STEP:
            raise RecordingError("Resolution", f"received {per_step:g}; above 0, {LARGEST_STEP:g} at most is allowed")
    stated = text_of(strip, "ChannelSampleCountTotal")
    count = number_of("ChannelSampleCountTotal", stated) if stated else None
    notes, channels = [], []
    for lead in children(strip, "WaveformData"):
        name, values = lead.get("lead", "").strip(), _values(lead)
        cut = count is not None and len(values) != count
        if cut:
            notes.append(f"Lead {shown_text(name)} holds {len(values)} samples, other than the file says.")
        noticed: tuple[ReaderFlag, ...] = ("file_incomplete",) if cut else ()
        # Numbers beyond all measure become infinite, which the checks of a recording refuse.
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * per_step
        channels.append(Channel(name, values, fs_hz, unit, 1 / per_step if unit else None, noticed))
    return RawRecording(FORMAT, tuple(channels), _patient(root), tuple(notes[:12]))


def _values(lead: "Element") -> np.ndarray:
    """``(time,)`` the numbers of a lead; a comma may end them."""
    words = (lead.text or "").strip().strip(",").split(",", maxsplit=MOST_SAMPLES)
    if len(words) > MOST_SAMPLES:
        raise RecordingError("WaveformData", f"received more than {MOST_SAMPLES} samples of a lead, the most")
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        shown = shown_text(lead.get("lead", ""))
        raise RecordingError("WaveformData", f"lead {shown} holds something that is no number") from None


def _patient(root: "Element") -> dict[str, float | None]:
    """Age, sex, height and weight; the dates only serve to know the age at the recording."""
    person = child(root, "PatientInfo")
    found: dict[str, float | None] = {}
    age = child(person, "Age")
    born, recorded = _day(child(person, "BirthDateTime")), _day(child(root, "ObservationDateTime"))
    if text_of(age):
        found["age"] = age_of(f"{text_of(age)} {age.get('units', 'years') if age is not None else ''}")
    elif (years := age_between(born, recorded)) is not None:
        found["age"] = years
    gender = text_of(person, "Gender")
    if gender and gender.casefold() not in ("unknown", "undefined", "other"):
        found["sex"] = sex_of(gender)
    for fact, name in (("height_cm", "Height"), ("weight_kg", "Weight")):
        element = child(person, name)
        if element is not None and text_of(element):
            found[fact] = FEATURES[fact].parse(text_of(element), element.get("units", ""))
    return found


def _day(element: "Element | None") -> str:
    year, month, day = (text_of(element, name) for name in ("Year", "Month", "Day"))
    return f"{year.zfill(4)}{month.zfill(2)}{day.zfill(2)}"


def _sniff(content: bytes, name: str) -> bool:
    return root_name(content) == "cardiologyxml"


register(Format(FORMAT, (".xml",), _sniff, read_cardiosoft))
