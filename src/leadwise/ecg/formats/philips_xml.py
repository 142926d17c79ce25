"""Philips Sierra XML (root ``restingecgdata``), documents 1.03, 1.04 and 1.04.01, as PageWriter and TraceMaster export.

``parsedwaveforms`` holds the leads one behind the other, as numbers, as base64 of 16-bit numbers, or packed as XLI: of
every lead a head of 8 bytes (length, and the first value of the prediction), then an LZW code of 10 bits, of which the
first half of the bytes are the high ones and the second half the low ones of second differences. In XLI the leads III,
aVR, aVL and aVF are what is left of them after they were computed from I and II. What is known of XLI is what the
Sierra ECG tools (C. Watford, MIT licence) found out.

Behind the recording devices draw a pulse of 1 mV in all leads at once; it is no ECG and cut off.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from leadwise.contract import LEADS
from leadwise.ecg.formats import xml_tree as xml
from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, register, shown_text, within
from leadwise.ecg.formats.patient import facts_said
from leadwise.ecg.record import RecordingError

FORMAT = "Philips Sierra XML"
VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
HEAD, CODE_BITS = 8, 10
MOST_LEADS, LARGEST_STEP_UV = 16, 1e6
STANDARD_SETS = ("STD-12", "10-WIRE")
LIMB_LEADS = LEADS[:6]
PULSE_UV, PULSE_S, LONGEST_PULSE_S = 1000.0, 0.1, 1.5
"""Height of the pulse, the least that it lasts, and the most that it takes with the line before and behind it."""
ALIKE = 3
"""Steps by which all leads may differ where they show the pulse."""
PACED = {"paced": 1.0, "pacemaker": 1.0, "not paced": 0.0, "no pacemaker": 0.0, "none": 0.0}


def read_philips(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the rhythm; representative beats are left.

    Refused: there is none, it is of another version, or its samples are broken.
    """
    root = xml.parse_xml(files[file])
    version = xml.text_of(root, "documentinfo", "documentversion")
    if version not in VERSIONS:
        raise RecordingError("documentversion", f"received {shown_text(version)}; {', '.join(VERSIONS)} are read")
    waves = next((element for element in root.iter() if xml.local_name(element) == "parsedwaveforms"), None)
    signal = xml.child(root, "dataacquisition", "signalcharacteristics")
    if waves is None:
        raise RecordingError("parsedwaveforms", "is missing: there are no samples of the rhythm")
    fs_hz = xml.number_of("samplingrate", _said(waves, signal, "samplespersecond", "samplingrate"))
    length_ms = xml.number_of("durationperchannel", waves.get("durationperchannel", ""))
    announced = length_ms * fs_hz / 1000
    if not 0.5 < announced <= Most.SAMPLES:
        raise RecordingError("durationperchannel", f"received {announced:.9g} samples; 1 to {Most.SAMPLES} are read")
    samples, names = round(announced), _names(waves, signal)
    stored = _stored(waves, signal, names, samples)
    stored -= xml.number_of("signaloffset", _said(waves, signal, "signaloffset", "signaloffset"), 0.0)
    step = _said(waves, signal, "resolution", "resolution", "signalresolution")
    step_uv = within("resolution", xml.number_of("resolution", step, 0.0), 0, LARGEST_STEP_UV)
    kept = _without_pulse(stored, fs_hz, step_uv)
    cut = f"Cut off, as it is a pulse of 1 mV in every lead and no ECG: {samples - kept} samples at the end."
    by_name = zip(names, stored[:, :kept], strict=True)
    channels = tuple(Channel.stored(name, lead, fs_hz, step_uv, "uV") for name, lead in by_name)
    return RawRecording(FORMAT, channels, _patient(root), (cut,) if kept < samples else ())


def _said(waves: xml.Element, signal: xml.Element | None, attribute: str, *elements: str) -> str:
    """What the samples say of themselves, or the acquisition of them."""
    given = (waves.get(attribute, "").strip(), *(xml.text_of(signal, name) for name in elements))
    return next(filter(None, given), "")


def _names(waves: xml.Element, signal: xml.Element | None) -> list[str]:
    """Names of the leads, which documents of 1.03 leave to the name of their set."""
    names = waves.get("leadlabels", "").split()
    counted = waves.get("numberofleads", "") if names else xml.text_of(signal, "numberchannelsallocated")
    count = xml.number_of("number of leads", counted or str(len(names) or len(LEADS)))
    if not 1 <= count <= MOST_LEADS or not count.is_integer():
        raise RecordingError("number of leads", f"received {count:g}; 1 to {MOST_LEADS} are allowed")
    if names:
        return names[: int(count)]
    kind = xml.text_of(signal, "acquisitiontype") or xml.text_of(signal, "leadset")
    if kind not in STANDARD_SETS:
        raise RecordingError("leadset", f"received {shown_text(kind)}; {' or '.join(STANDARD_SETS)} is needed")
    return [LEADS[place] if place < len(LEADS) else f"channel {place + 1}" for place in range(int(count))]


def _stored(waves: xml.Element, signal: xml.Element | None, names: Sequence[str], samples: int) -> np.ndarray:
    """``(lead, time)`` float64 the stored numbers."""
    encoding, text = waves.get("dataencoding", ""), waves.text or ""
    method = (waves.get("compression") or waves.get("compressmethod") or "").strip().casefold()
    packed = method not in ("", "none", "uncompressed") and waves.get("compressflag", "True").casefold() != "false"
    needed = samples * len(names)
    if encoding.casefold() == "plain" and not packed:
        flat = xml.numbers_of("parsedwaveforms", "", text.replace(",", " "), most=MOST_LEADS * Most.SAMPLES)
    else:
        if encoding.casefold() != "base64" or method not in ("", "none", "uncompressed", "xli"):
            received = f"{shown_text(encoding)} and {shown_text(method)}"
            raise RecordingError("dataencoding", f"received {received}; Base64 or Plain, and XLI, are read")
        raw = xml.bytes_of("parsedwaveforms", "", text)
        if packed:
            return _unpacked(raw, names, samples)
        signed = _said(waves, signal, "signalsigned", "signalsigned").casefold() != "false"
        flat = np.frombuffer(raw, "<i2" if signed else "<u2", len(raw) // 2).astype(np.float64)
    if len(flat) < needed:
        raise RecordingError("parsedwaveforms", f"is cut off: {needed} samples are announced, {len(flat)} are there")
    return flat[:needed].reshape(len(names), samples)


def _unpacked(raw: bytes, names: Sequence[str], samples: int) -> np.ndarray:
    """``(lead, time)`` of XLI, with the limb leads as they were."""
    by_lead, at = np.empty((len(names), samples)), 0
    for place, name in enumerate(names):
        size, first = int.from_bytes(raw[at : at + 4], "little"), raw[at + 6 : at + HEAD]
        at += HEAD
        if not 0 < size <= len(raw) - at:
            left = max(len(raw) - at, 0)
            raise RecordingError("XLI", f"is cut off in lead {shown_text(name)}: {size} bytes, {left} follow")
        packed = _lzw(raw[at : at + size], 2 * samples)
        by_lead[place] = _samples(packed, int.from_bytes(first, "little", signed=True), samples)
        at += size
    if tuple(name.casefold() for name in names[:6]) == tuple(name.casefold() for name in LIMB_LEADS):
        one, two = by_lead[0], by_lead[1]
        three = two - one - by_lead[2]
        by_lead[2] = three
        by_lead[3] = -by_lead[3] - (one + two) // 2
        by_lead[4] = (one - three) // 2 - by_lead[4]
        by_lead[5] = (two + three) // 2 - by_lead[5]
    return by_lead


def _lzw(packed: bytes, needed: int) -> bytes:
    """The bytes of a lead, which have at least the length that is announced and not many more."""
    end = 2**CODE_BITS - 1
    known = [bytes([byte]) for byte in range(256)]
    pieces, last, length, held, bits = [], b"", 0, 0, 0
    for byte in packed:
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits < CODE_BITS:
            continue
        bits -= CODE_BITS
        code = held >> bits & end
        if code == end:
            break
        if code > len(known) or (code == len(known) and not last):
            raise RecordingError("XLI", "cannot be unpacked: a code stands before what it repeats")
        piece = known[code] if code < len(known) else last + last[:1]
        if last and len(known) < end:
            known.append(last + piece[:1])
        last = piece
        pieces.append(piece)
        length += len(piece)
        if length > 2 * Most.SAMPLES:
            raise RecordingError("XLI", f"unpacks to more than {Most.SAMPLES} samples of a lead, which is the most")
    if length < needed:
        raise RecordingError("XLI", f"unpacks to {length} bytes of a lead; {needed} are announced")
    return b"".join(pieces)


def _samples(packed: bytes, first: int, samples: int) -> np.ndarray:
    """Samples from second differences, high bytes before low ones; each is foretold with a difference that is late."""
    codes = np.frombuffer(packed + bytes(len(packed) % 2), np.uint8).reshape(2, -1).astype(np.uint16)
    steps = (codes[0] << 8 | codes[1]).view(np.int16).astype(np.int64)
    if samples > 2:
        # The second difference of every sample is that which the one before it named, less 64, and the other way up.
        bends = -np.concatenate([[first], steps[2:samples] - 64])[: samples - 2]
        slopes = np.cumsum(np.concatenate([[steps[1] - steps[0]], bends]))
        steps = np.concatenate([steps[:1], steps[0] + np.cumsum(slopes)])
    return steps[:samples]


def _without_pulse(stored: np.ndarray, fs_hz: float, step_uv: float) -> int:
    """Samples before a pulse of 1 mV at the end that all leads show; all samples where there is none."""
    samples = stored.shape[1]
    if not step_uv or len(stored) < 2:
        return samples
    tail = stored[:, -max(int(LONGEST_PULSE_S * fs_hz), 1) :]
    apart = np.flatnonzero(np.ptp(tail, axis=0) > ALIKE)
    together = tail[0, (apart[-1] + 1 if len(apart) else 0) :] * step_uv
    high = np.abs(together - PULSE_UV) < max(0.03 * PULSE_UV, ALIKE * step_uv)
    low = np.abs(together) < max(0.03 * PULSE_UV, ALIKE * step_uv)
    least = PULSE_S * fs_hz
    if high.sum() < least or not (high | low).mean() > 0.9:
        return samples
    return samples - len(together)


def _patient(root: xml.Element) -> dict[str, float | None]:
    person, recorded = xml.child(root, "patient", "generalpatientdata"), xml.child(root, "dataacquisition")
    sizes = [("height_cm", "height", "cm", "cm"), ("height_cm", "height", "inch", "in")]
    sizes += [("weight_kg", "weight", "kg", "kg"), ("weight_kg", "weight", "lb", "lb")]
    facts = facts_said(
        age=xml.text_of(person, "age", "years"),
        born=xml.text_of(person, "age", "dateofbirth") or xml.text_of(person, "dateofbirth"),
        recorded="" if recorded is None else recorded.get("date", ""),
        sex=xml.text_of(person, "sex"),
        sizes=[(fact, xml.text_of(person, element, within_it), unit) for fact, element, within_it, unit in sizes],
    )
    paced = PACED.get(xml.text_of(person, "pacestatus").casefold())
    return facts if paced is None else facts | {"pacemaker": paced}


register(Format(FORMAT, (".xml",), xml.has_root("restingecgdata"), read_philips))
