"""A simulated ECG as devices and other programs write it: formats of which no library has a writer."""

import base64
import binascii
import io
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.contract import LEADS

SCP_NUMBERS = dict(zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
ISHNE_NUMBERS = {lead: number for number, lead in enumerate(LEADS, start=5)}


def _crc(part: bytes) -> bytes:
    return struct.pack("<H", binascii.crc_hqx(part, 0xFFFF))


def scp_bytes(
    one: Any, *, huffman: bool = True, differences: int = 2, reference: bool = False, step_nv: int = 1000,
    tables: bytes | None = None, first: int = 1, bimodal: int = 0, version: int = 20,
) -> bytes:  # fmt: skip
    """EN 1064: with the default Huffman table or without, with or without a reference beat subtracted."""
    leads, samples = [SCP_NUMBERS.get(name, 0) for name in one.names], one.microvolts.T.astype(np.int64)
    samples = np.round(samples * 1000 / step_nv).astype(np.int64)
    length = samples.shape[1]
    beat = np.round(80 * np.hanning(one.fs_hz // 2)).astype(np.int64)
    peaks = list(range(one.fs_hz, length - one.fs_hz, one.fs_hz)) if reference else []
    fiducial, residual = len(beat) // 2, samples.copy()
    for peak in peaks:
        # Counted from 1; the beat's fiducial sample stands at the peak.
        start = peak - fiducial
        residual[:, start : start + len(beat)] -= beat

    def packed(lead: np.ndarray) -> bytes:
        steps = lead.copy()
        # As many samples as the order has stand as they are.
        if differences:
            steps[differences:] = np.diff(lead, differences)
        return _huffman(steps) if huffman else steps.astype("<i2").tobytes()

    def block(rows: Sequence[np.ndarray], flag: int) -> bytes:
        parts = [packed(row) for row in rows]
        head = struct.pack("<HHBB", step_nv, round(1e6 / one.fs_hz), differences, flag)
        body = head + b"".join(struct.pack("<H", len(part)) for part in parts) + b"".join(parts)
        return body + bytes(len(body) % 2)

    ends = [struct.pack("<HIII", 0, peak - fiducial + 1, peak + 1, peak - fiducial + len(beat)) for peak in peaks]
    sections = {
        1: b"".join(
            struct.pack("<BH", tag, len(value)) + value
            for tag, value in (
                (0, b"Secret\0"), (2, b"ID-77\0"), (4, struct.pack("<HB", 58, 1)), (6, struct.pack("<HB", 165, 1)),
                (5, struct.pack("<HBB", one.birth.year, one.birth.month, one.birth.day)),
                (7, struct.pack("<HB", 680, 0)), (8, b"\2"), (25, struct.pack("<HBB", 2020, 6, 1)), (255, b""),
            )
        ),
        **({2: tables or struct.pack("<H", 19999)} if huffman else {}),
        3: struct.pack("<BB", len(leads), int(reference) | 4)
        + b"".join(struct.pack("<IIB", first, first + length - 1, number) for number in leads),
        **(
            {
                4: struct.pack("<HHH", round(len(beat) * 1000 / one.fs_hz), fiducial + 1, len(peaks)) + b"".join(ends),
                5: block([beat] * len(leads), 0),
            }
            if reference
            else {}
        ),
        6: block(list(residual), bimodal),
    }  # fmt: skip
    pointers = 16 + 10 * 12
    at, table, bodies = 6 + pointers + 1, struct.pack("<HII", 0, pointers, 7), b""
    for number in range(1, 12):
        body = sections.get(number)
        whole = b""
        if body is not None:
            rest = struct.pack("<HIBB6s", number, 16 + len(body), version, version, b"") + body
            whole = _crc(rest) + rest
        table += struct.pack("<HII", number, len(whole), at if whole else 0)
        bodies, at = bodies + whole, at + len(whole)
    head = struct.pack("<HIBB6s", 0, pointers, version, version, b"SCPECG") + table
    content = _crc(head) + head + bodies
    content = struct.pack("<I", 6 + len(content)) + content
    return _crc(content) + content


def _huffman(steps: np.ndarray) -> bytes:
    """The default table of EN 1064."""
    bits = []
    for step in steps.tolist():
        if step == 0:
            bits.append("0")
        elif abs(step) <= 8:
            bits.append("1" * abs(step) + "0" + ("1" if step < 0 else "0"))
        elif -128 <= step < 128:
            bits.append("1111111110" + f"{step & 0xFF:08b}")
        else:
            bits.append("1111111111" + f"{step & 0xFFFF:016b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def philips_bytes(
    one: Any, *, version: str = "1.04", packed: bool = True, pulse: bool = True, step_uv: float = 1.0,
    encoding: str = "Base64",
) -> bytes:  # fmt: skip
    """Philips Sierra XML, with the pulse of 1 mV at its end that devices draw."""
    stored = np.round(one.microvolts.T / step_uv).astype(np.int64)
    quarter = one.fs_hz // 10
    if pulse:
        line, high = np.zeros(quarter, int), np.full(2 * quarter, round(1000 / step_uv))
        high[::7] -= 1
        stored = np.concatenate([stored, np.tile(np.concatenate([line, high, line]), (len(stored), 1))], axis=1)
    if packed:
        payload = base64.b64encode(b"".join(_xli(lead) for lead in _residuals(one.names, stored))).decode()
    elif encoding == "Plain":
        payload = " ".join(map(str, stored.reshape(-1)))
    else:
        payload = base64.b64encode(stored.astype("<i2").tobytes()).decode()
    length = (
        f'durationperchannel="{1000 * stored.shape[1] / one.fs_hz:g}" nbitspersample="16" dataencoding="{encoding}"'
    )
    names = " ".join(one.names)
    if version == "1.03":
        how = 'compression="XLI"' if packed else ""
        waves = f"<parsedwaveforms {length} {how}>{payload}</parsedwaveforms>"
        signal = f"<samplingrate>{one.fs_hz}</samplingrate><signalresolution>{step_uv:g}</signalresolution>"
    else:
        how = f'compressflag="{packed}" compressmethod="{"XLI" if packed else "Uncompressed"}"'
        waves = (
            f'<parsedwaveforms {length} {how} samplespersecond="{one.fs_hz}" resolution="{step_uv:g}" '
            f'numberofleads="{len(one.names)}" leadlabels="{names}" signalsigned="True">{payload}</parsedwaveforms>'
        )
        signal = ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documentname>x</documentname>
<documenttype>SierraECG</documenttype><documentversion>{version}</documentversion></documentinfo>
<dataacquisition date="2020-06-01" time="09:10:00"><signalcharacteristics>{signal}
<acquisitiontype>STD-12</acquisitiontype><signaloffset>0</signaloffset><signalsigned>True</signalsigned>
<numberchannelsallocated>{len(one.names)}</numberchannelsallocated></signalcharacteristics></dataacquisition>
<patient><generalpatientdata><patientid>ID-77</patientid><name><lastname>Secret</lastname><firstname>Mona</firstname>
</name><age><dateofbirth>{one.birth:%Y-%m-%d}</dateofbirth><years>58</years></age><sex>Female</sex>
<height><cm>165</cm></height><weight><kg>68</kg></weight><pacestatus>Unknown</pacestatus></generalpatientdata></patient>
<waveforms>{waves}</waveforms></restingecgdata>""".encode()


def _residuals(names: Sequence[str], stored: np.ndarray) -> np.ndarray:
    """What XLI keeps of III, aVR, aVL and aVF."""
    rest = stored.copy()
    if tuple(names[:6]) == LEADS[:6]:
        one, two, three = stored[0], stored[1], stored[2]
        rest[2] = two - one - three
        rest[3] = -stored[3] - (one + two) // 2
        rest[4] = (one - three) // 2 - stored[4]
        rest[5] = (two + three) // 2 - stored[5]
    return rest


def _xli(lead: np.ndarray) -> bytes:
    """Second differences, each stored with the sample before the one that it leads to; high bytes, low bytes, LZW."""
    values = lead.tolist()
    bends = [2 * values[at - 1] - values[at - 2] - values[at] for at in range(2, len(values))]
    codes = np.array([values[0], values[1], *(bend + 64 for bend in bends[1:]), 64], dtype=np.int64)
    words = codes.astype("<i2").view("<u2")
    packed = _lzw(bytes((words >> 8).astype(np.uint8)) + bytes((words & 0xFF).astype(np.uint8)))
    return struct.pack("<IHh", len(packed), 0, bends[0]) + packed


def _lzw(content: bytes, bits: int = 10) -> bytes:
    known, out, piece = {bytes([one]): one for one in range(256)}, [], b""
    for byte in content:
        longer = piece + bytes([byte])
        if longer in known:
            piece = longer
            continue
        out.append(known[piece])
        if len(known) < 2**bits - 1:
            known[longer] = len(known)
        piece = bytes([byte])
    text = "".join(f"{code:010b}" for code in [*out, known[piece]])
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def ishne_bytes(one: Any, *, step_nv: int = 1000, own: bytes = b"a device's own") -> bytes:
    """After the table of the publication."""
    stored = np.round(one.microvolts * 1000 / step_nv).astype("<i2")
    count = len(one.names)
    head = struct.pack("<iiiih", len(own), len(stored), 522, 522 + len(own), 1)
    head += b"Mona".ljust(40, b"\0") + b"Secret".ljust(40, b"\0") + b"ID-77".ljust(20, b"\0")
    head += struct.pack("<hh", 2, 0) + struct.pack("<3h", one.birth.day, one.birth.month, one.birth.year)
    head += struct.pack("<3h", 1, 6, 2020) + struct.pack("<3h", 2, 6, 2020) + struct.pack("<3h", 9, 10, 0)
    absent = [-9] * (12 - count)
    head += struct.pack("<h12h", count, *[ISHNE_NUMBERS[name] for name in one.names], *absent)
    head += struct.pack("<12h", *[1] * count, *absent) + struct.pack("<12h", *[step_nv] * count, *absent)
    head += struct.pack("<h", 0) + b"digital".ljust(40, b"\0") + struct.pack("<h", one.fs_hz)
    rest = head.ljust(512, b"\0") + own
    return b"ISHNE1.0" + _crc(rest) + rest + stored.tobytes()


def mfer_bytes(one: Any, *, big: bool = False, block: int = 100, data_type: int = 0) -> bytes:
    """Blocks of every channel in turn; little-endian as most devices write it."""
    mark, dtype = ">" if big else "<", {0: "i2", 2: "i4", 7: "f4"}[data_type]

    def item(tag: int, value: bytes) -> bytes:
        long = len(value) >= 0x80
        return bytes([tag]) + (b"\x84" + struct.pack(">I", len(value)) if long else bytes([len(value)])) + value

    def whole(value: int) -> bytes:
        return struct.pack(mark + "I", value)

    channels = b""
    for place, name in enumerate(one.names):
        lead = b"\x09\x02" + struct.pack(mark + "H", SCP_NUMBERS[name])
        channels += b"\x3f" + bytes([place, len(lead)]) + lead
    length = len(one.microvolts)
    stored = one.microvolts.reshape(length // block, block, -1).transpose(0, 2, 1).astype(mark + dtype)
    born = struct.pack(mark + "HBB", one.birth.year, one.birth.month, one.birth.day)
    return (
        item(0x40, b"MFR Standard 12 leads ECG".ljust(32)) + item(0x01, b"\0" if big else b"\1")
        + item(0x0B, struct.pack(mark + "bbH", 0, 0, one.fs_hz)) + item(0x0C, struct.pack(mark + "bbH", 0, -6, 1))
        + item(0x08, struct.pack(mark + "H", 1)) + item(0x05, whole(len(one.names))) + item(0x04, whole(block))
        + item(0x06, whole(length // block)) + item(0x0A, bytes([data_type])) + channels
        + item(0x81, b"Secret^^Mona") + item(0x82, b"ID-77")
        + item(0x83, struct.pack(mark + "BH", 58, 15) + born) + item(0x84, b"\2")
        + item(0x1E, stored.tobytes()) + b"\x80\0"
    )  # fmt: skip


def mortara_bytes(one: Any, *, per_mv: int = 1000) -> bytes:
    """After what ELI carts export."""
    stored = np.round(one.microvolts.T * per_mv / 1000).astype("<i2")
    channels = "".join(
        f'<CHANNEL OFFSET="0" BITS="16" FORMAT="SIGNED" UNITS_PER_MV="{per_mv}" DURATION="{len(lead)}" '
        f'SAMPLE_FREQ="{one.fs_hz}" NAME="{name}" ENCODING="BASE64" '
        f'DATA="{base64.b64encode(lead.tobytes()).decode()}"/>'
        for name, lead in zip(one.names, stored, strict=True)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ECG ACQUISITION_TIME="20200601091000" AGE="58" AGE_UNITS="YEARS" HEIGHT="165" HEIGHT_UNITS="CM" WEIGHT="68"
 WEIGHT_UNITS="KG"><SUBJECT LAST_NAME="Secret" FIRST_NAME="Mona" ID="ID-77" GENDER="Female" DOB="{one.birth:%Y%m%d}"/>
<SOURCE TYPE="ELI" MODEL="ELI 280"/>{channels}
<TYPICAL_CYCLE BITS="16" FORMAT="SIGNED" UNITS_PER_MV="{per_mv}" SAMPLE_FREQ="{one.fs_hz}" ENCODING="BASE64">
<TYPICAL_CYCLE_CHANNEL NAME="I" DATA="AAEAAQ=="/></TYPICAL_CYCLE></ECG>""".encode()


def cardiosoft_bytes(one: Any, *, step_uv: float = 1.0) -> bytes:
    """After what CardioSoft exports."""
    stored = np.round(one.microvolts.T / step_uv).astype(int)
    leads = "".join(
        f'<WaveformData lead="{name}">\n\t{",".join(map(str, lead))}</WaveformData>'
        for name, lead in zip(one.names, stored, strict=True)
    )
    birth = f"<Day>{one.birth.day}</Day><Month>{one.birth.month}</Month><Year>{one.birth.year}</Year>"
    return f"""<?xml version="1.0" encoding="ISO8859-1" ?>
<CardiologyXML><ObservationType>RestECG</ObservationType>
<ObservationDateTime><Hour>9</Hour><Day>1</Day><Month>6</Month><Year>2020</Year></ObservationDateTime>
<PatientInfo><PID>ID-77</PID><Name><FamilyName>Secret</FamilyName><GivenName>Mona</GivenName></Name>
<BirthDateTime>{birth}</BirthDateTime><Gender>FEMALE</Gender>
<Height units="cm">165</Height><Weight units="kg">68</Weight></PatientInfo>
<MedianSamples><SampleRate units="Hz">500</SampleRate><WaveformData lead="I">1,2,3</WaveformData></MedianSamples>
<StripData><NumberOfLeads>{len(one.names)}</NumberOfLeads><SampleRate units="Hz">{one.fs_hz}</SampleRate>
<ChannelSampleCountTotal>{stored.shape[1]}</ChannelSampleCountTotal>
<Resolution units="uVperLsb">{step_uv:g}</Resolution>{leads}</StripData></CardiologyXML>""".encode("latin-1")


def hdf5_bytes(one: Any, *, many: int = 0, lead_time: bool = False, facts: bool = True, **options: Any) -> bytes:
    """One recording, or as many as asked for, of which number k is k microvolts higher."""
    import h5py

    stream, signal = io.BytesIO(), one.in_unit.T if lead_time else one.in_unit
    step = {"uV": 1.0, "mV": 0.001}[one.unit]
    block = options.pop("userblock_size", 0)
    with h5py.File(stream, "w", userblock_size=block) as file:
        data = np.stack([signal + place * step for place in range(many)]) if many else signal
        file.create_dataset("signal", data=data, **options)
        file["fs_hz"], file["units"] = one.fs_hz, one.unit
        file["leads"] = list(one.names)
        if facts:
            file["age"] = np.arange(58, 58 + many) if many else 58
            file["sex"] = np.array([1] * many) if many else "female"
    return stream.getvalue()


def matlab_73_bytes(one: Any, *, many: int = 0, cells: bool = True) -> bytes:
    """As MATLAB writes it: HDF5 behind a block of text, arrays the other way round, texts as numbers."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:

        def text(name: str, value: str) -> Any:
            held = file.create_dataset(name, data=np.array([[ord(letter)] for letter in value], dtype=np.uint16))
            held.attrs["MATLAB_class"] = np.bytes_("char")
            return held

        def numbers(name: str, value: Any) -> None:
            file.create_dataset(name, data=np.atleast_2d(value)).attrs["MATLAB_class"] = np.bytes_("double")

        step = {"uV": 1.0, "mV": 0.001}[one.unit]
        signal = np.stack([one.in_unit + place * step for place in range(many)]) if many else one.in_unit
        file.create_dataset("val", data=signal.T, compression="gzip").attrs["MATLAB_class"] = np.bytes_("double")
        numbers("fs", float(one.fs_hz))
        numbers("age", 58.0)
        text("units", one.unit)
        text("sex", "F")
        if cells:
            held = file.create_dataset("leads", (len(one.names), 1), dtype=h5py.ref_dtype)
            held.attrs["MATLAB_class"] = np.bytes_("cell")
            for place, name in enumerate(one.names):
                held[place, 0] = text(f"#refs#/{place}", name).ref
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jun 01 09:10:00 2020 HDF5 schema 1.00 .".ljust(124)
    content = stream.getvalue()
    return head + b"\x00\x02IM" + content[128:]


def matlab_5_bytes(one: Any, *, do_compression: bool = False, **more: Any) -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    leads = np.array(list(one.names), dtype=object)
    savemat(
        stream,
        {"val": one.in_unit.T, "fs": one.fs_hz, "units": one.unit, "leads": leads} | more,
        do_compression=do_compression,
    )
    return stream.getvalue()


def segment_files(one: Any, folder: Path, *, variable: bool = False, gap: int = 0) -> dict[str, bytes]:
    """A record of three segments; of a variable layout the leads stand in another order in the second."""
    import wfdb

    folder.mkdir(exist_ok=True)
    third = len(one.microvolts) // 3
    bounds = [(0, third), (third + gap, 2 * third), (2 * third, len(one.microvolts))]
    for number, (start, end) in enumerate(bounds, start=1):
        order = list(range(len(one.names)))
        if variable and number == 2:
            order = order[::-1]
        wfdb.wrsamp(
            f"rec_{number:04}", fs=one.fs_hz, units=["mV"] * len(order), sig_name=[one.names[at] for at in order],
            d_signal=one.microvolts[start:end, order].astype(np.int64), fmt=["16"] * len(order),
            adc_gain=[1000.0] * len(order), baseline=[0] * len(order), write_dir=str(folder),
            comments=["Age: 58", "Sex: F"],
        )  # fmt: skip
    lines = [f"rec_{number:04} {end - start}" for number, (start, end) in enumerate(bounds, start=1)]
    if gap:
        lines.insert(1, f"~ {gap}")
    if variable:
        lines.insert(0, "rec_layout 0")
        signals = "".join(f"~ 0 1000/mV 16 0 0 0 0 {name}\n" for name in one.names)
        (folder / "rec_layout.hea").write_text(f"rec_layout {len(one.names)} {one.fs_hz} 0\n{signals}")
    head = f"rec/{len(lines)} {len(one.names)} {one.fs_hz} {len(one.microvolts)}"
    (folder / "rec.hea").write_text("\n".join([head, *lines]) + "\n")
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return {"rec.hea": found.pop("rec.hea"), **found}


WRITERS: Mapping[str, Callable[..., Any]] = {
    "scp": scp_bytes,
    "philips": philips_bytes,
    "ishne": ishne_bytes,
    "mfer": mfer_bytes,
    "mortara": mortara_bytes,
    "cardiosoft": cardiosoft_bytes,
    "hdf5": hdf5_bytes,
    "mat73": matlab_73_bytes,
    "mat5": matlab_5_bytes,
    "segments": segment_files,
}
