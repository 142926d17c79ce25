"""GE CardioSoft XML (root ``CardiologyXML``): ``StripData`` with one ``WaveformData`` a lead, numbers with commas.

There is no public schema; what exports and the programs that read them agree on was followed. Median samples are no
recording, and the full disclosure of a stress test is left.
"""

from collections.abc import Mapping

from leadwise.ecg.formats import xml_tree as xml
from leadwise.ecg.formats.base import Channel, Format, RawRecording, ReadOptions, register, shown_text
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import RecordingError

FORMAT = "GE CardioSoft XML"
LARGEST_STEP = 1e6
UNITS = {"uvperlsb": "uV", "mvperlsb": "mV", "nvperlsb": "nV"}


def read_cardiosoft(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the strip. Refused: there is none, or a lead is broken."""
    root = xml.parse_xml(files[file])
    strip = next((element for element in root.iter() if xml.local_name(element) == "StripData"), None)
    if strip is None:
        raise RecordingError("StripData", "is missing: medians and full disclosures are no recording")
    rate, step = xml.child(strip, "SampleRate"), xml.child(strip, "Resolution")
    fs_hz = xml.number_of("SampleRate", xml.text_of(rate)) if rate is not None else None
    if rate is not None and rate.get("units", "Hz").casefold() != "hz":
        raise RecordingError("SampleRate", f"received {shown_text(rate.get('units', ''))}; Hz is allowed")
    unit, per_step = "", 1.0
    if step is not None:
        per_step, unit = xml.number_of("Resolution", xml.text_of(step)), UNITS.get(step.get("units", "").casefold(), "")
        if not 0 < per_step <= LARGEST_STEP:
            raise RecordingError("Resolution", f"received {per_step:g}; above 0, {LARGEST_STEP:g} at most is allowed")
    stated = xml.text_of(strip, "ChannelSampleCountTotal")
    count = xml.number_of("ChannelSampleCountTotal", stated) if stated else None
    notes, channels = [], []
    for lead in xml.children(strip, "WaveformData"):
        name = lead.get("lead", "").strip()
        # A comma may end them.
        values = xml.numbers_of("WaveformData", name, (lead.text or "").strip().strip(","), ",")
        cut = count is not None and len(values) != count
        if cut:
            notes.append(f"Lead {shown_text(name)} holds {len(values)} samples, other than the file says.")
        channels.append(Channel.stored(name, values, fs_hz, per_step, unit, ("file_incomplete",) if cut else ()))
    return RawRecording(FORMAT, tuple(channels), _patient(root), tuple(notes[:12]))


def _patient(root: xml.Element) -> dict[str, float | None]:
    person = xml.child(root, "PatientInfo")

    def said(name: str, usual: str = "") -> tuple[str, str]:
        element = xml.child(person, name)
        return xml.text_of(element), usual if element is None else element.get("units", usual)

    age = said("Age", "years")
    return facts_said(
        age=" ".join(age) if age[0] else "",
        born=_day(xml.child(person, "BirthDateTime")),
        recorded=_day(xml.child(root, "ObservationDateTime")),
        sex=xml.text_of(person, "Gender"),
        sizes=[("height_cm", *said("Height")), ("weight_kg", *said("Weight"))],
    )


def _day(element: xml.Element | None) -> str:
    year, month, day = (xml.text_of(element, name) for name in ("Year", "Month", "Day"))
    return f"{year.zfill(4)}{month.zfill(2)}{day.zfill(2)}"


register(Format(FORMAT, (".xml",), xml.has_root("cardiologyxml"), read_cardiosoft))
