"""A file that is broken, or lies about itself, is refused by its field, in every format, soon and in little memory."""

import resource
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from broken_files import (
    TABLE,
    Make,
    bomb,
    csv,
    cut,
    deflated_bomb,
    dicom,
    edf,
    endless,
    group,
    hdf5,
    mat,
    muse,
    npy,
    npz,
    of_class,
    parquet,
    put,
    sized,
    spoilt,
    swapped,
)  # fmt: skip

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.record import INDEPENDENT_LEADS

LAUGHS = "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ENTITIES = f'[<!ENTITY a "ha">{LAUGHS}]'
SCP_LEAD = struct.pack("<II", 1, 5000)
"""First and last sample of a lead."""
WAVES = b"\x1e\x84" + struct.pack(">I", 120_000)
UID = b"\x08\0\x16\0UI"
"""Before the class of a DICOM object."""
RHYTHM = b"<WaveformType>Rhythm"
ONES = np.ones((1000, 12))
CHUNKED = {"shape": (3, 5000, 12), "chunks": (3, 5000, 12), "maxshape": (None, None, 12), "dtype": "f8"}

REFUSED: Mapping[str, Sequence[tuple[Make | str | bytes | Mapping[str, bytes], str]]] = {
    "edf": [
        (edf(192, "EDF+D", 44), r"header: is discontinuous \(EDF\+D\)"),
        (edf(252, "9999", 4), "number of signals: received 9999; 1 to 256 is allowed"),
        (edf(252, "x", 4), "number of signals: received 'x'; a number is needed"),
        (edf(236, "many"), "number of data records: received 'many'"),
        (edf(256 + 12 * 216, "-1"), "samples in a data record: received none, or fewer"),
        (edf(256 + 12 * 216, "x"), "samples in a data record: received 'x'"),
        (edf(244, "0,0"), "record duration: received 0; a number of seconds above 0"),
        (edf(244, "-1"), "record duration: received -1; a number of seconds above 0"),
        (edf(244, "nan"), "record duration: received 'nan'; a number is needed"),
        (edf(244, ""), "record duration: received ''; a number is needed"),
        (edf(244, "1e9"), r"record duration: received 1e\+09; .* at most 600, is allowed"),
        (edf(256 + 12 * 104, "1.000,5"), "physical minimum of signal 'I': received '1.000,5'"),
        (edf(256 + 12 * 112, "inf"), "physical maximum of signal 'I': received 'inf'"),
        (edf(256 + 12 * 120, "low"), "digital minimum of signal 'I': .* 'low'"),
        (edf(256 + 12 * 128, "1e99"), "digital maximum of signal 'I': received 1e.99; a whole"),
        (edf(256 + 12 * 104, "32767"), "header: signal 'I' has no range"),
        (edf(256, "Pleth", 16), "leads: missing I; needed: .* received 'Pleth'"),
        (cut("edf", 1000), "header: is cut off: 1000 bytes, and 12 signals are announced"),
        (cut("edf", 256 * 13 + 10), "signal: is cut off: a data record has 12000 bytes, 10 follow"),
    ],
    "dicom": [
        (dicom(lambda d: of_class(d, "1.2.840.10008.5.1.4.1.1.2")), "SOPClassUID: .* SOP class 1.2.840.* ECG wave"),
        (
            dicom(lambda d: of_class(d, "1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF")),
            "SOPClassUID: received an embedded document",
        ),
        (swapped("dicom", b"1.2.840.10008.5", b"Secret\n^Mona..", UID), "SOPClassUID: received SOP class unknown; ECG"),
        (dicom(lambda d: d.WaveformSequence.pop(0)), "WaveformOriginality: all waveforms are derived"),
        (dicom(lambda d: d.pop("WaveformSequence")), "WaveformSequence: holds no waveform"),
        (group(NumberOfWaveformSamples=10**9), "NumberOfWaveformSamples: received 1e.09; 1 to 1200000"),
        (group(NumberOfWaveformSamples=5001), "WaveformData: is cut off: 120000 bytes for 12 channels of 5001"),
        (group(NumberOfWaveformChannels=8), "ChannelDefinitionSequence: received 12 definitions for 8 channels"),
        (group(WaveformSampleInterpretation="MB"), "WaveformSampleInterpretation: only SB, UB, SS"),
        (group(WaveformBitsAllocated=8), "WaveformBitsAllocated: 16 are needed for SS"),
        (group(SamplingFrequency=5), "fs_hz: received 5; 50 to 2000 Hz is allowed"),
        *((swapped("dicom", b"0.5 ", number.ljust(4), sensitivity=0.5), f"ChannelSensitivity: lead '2:1': .* {text}")
          for number, text in ((b"x.5", "'x.5'; a number is"), (b"inf", "'inf'; a number is"), (b"nan", "'nan'"))),
        (deflated_bomb, "size: unpacks to more than 64 MiB"),
        (endless, "DICOM: has far more elements than any ECG"),
        (lambda made, folder: endless(made, folder, in_a_sequence=True), "DICOM: has far more elements than any ECG"),
    ],
    "hl7": [
        (swapped("hl7", b"<digits>", b"<digits>x "), "digits: lead 'MDC_ECG_LEAD_I' holds something that is no"),
        (swapped("hl7", b"<digits>", b"<digits>1 "), "signal: leads differ in length|increment"),
        (swapped("hl7", b'value="0.002" unit="s"', b'value="0" unit="s"'), "increment: needs a time above 0"),
        (swapped("hl7", b'value="0.002" unit="s"', b'value="2" unit="mm"'), "increment: .* in s, ms or us"),
        (swapped("hl7", b'value="0.002" unit="s"', b'value="fast" unit="s"'), "increment: received no number"),
        (swapped("hl7", b'<scale value="1"', b'<scale value="nan"'), "scale: received no number"),
        (swapped("hl7", b"LEAD_V4", b"LEAD_V4R"), "leads: missing V4; .* received 'MDC_ECG_LEAD_V4R'"),
        (swapped("hl7", b"<series>", b"<derivedSeries>"), "XML: is not well formed|series: holds no series"),
        (swapped("hl7", b"</AnnotatedECG>", b""), "XML: is not well formed at line"),
    ],
    "muse": [
        (swapped("muse", b">Rhythm<", b">Pacemaker Spike<"), "Waveform: none is of WaveformType Rhythm; medians are"),
        (swapped("muse", b"<WaveFormData>", b"<WaveFormData>!", RHYTHM), "WaveFormData: lead 'I' is not base64"),
        (swapped("muse", b"<WaveFormData>", b"<WaveFormData>AAA", RHYTHM), "WaveFormData: lead 'I' (has|is not base)"),
        (swapped("muse", b"<WaveFormData>", b"<WaveFormData>1,2,x", RHYTHM), "WaveFormData: lead 'I' holds something"),
        (swapped("muse", b"<SampleBase>500", b"<SampleBase>fast", RHYTHM), "SampleBase: received no number"),
        (swapped("muse", b"<SampleExponent>0", b"<SampleExponent>99", RHYTHM), "SampleExponent: received 99; -9 to 9"),
        (swapped("muse", b"PerBit>4.88", b"PerBit>0", RHYTHM), "LeadAmplitudeUnitsPerBit: lead 'I': received 0; above"),
        (swapped("muse", b"PerBit>4.88", b"PerBit>inf", RHYTHM), "LeadAmplitudeUnitsPerBit: received no number"),
        (swapped("muse", b"<LeadSampleSize>2", b"<LeadSampleSize>4", RHYTHM), "LeadSampleSize: lead 'I': 2 bytes a"),
        (swapped("muse", b"<LeadID>V4<", b"<LeadID>V4R<", RHYTHM), "leads: missing V4"),
        (swapped("muse", b"</RestingECG>", b""), "XML: is not well formed"),
        (muse("LeadTimeOffset", [0] * 7 + [2]), "LeadTimeOffset: received 0 in lead 'I' and 2 in lead 'V6'; only the"),
        (muse("LeadOffsetFirstSample", [10] + [0] * 7), "LeadOffsetFirstSample: received 10 in lead 'I' and 0 in"),
        (muse("LeadOffsetFirstSample", [3] * 8), "LeadOffsetFirstSample: received 3; 0 or more bytes of whole samples"),
        (muse("LeadOffsetFirstSample", [-2] * 8), "LeadOffsetFirstSample: received -2"),
        (muse("LeadOffsetFirstSample", [10_000] * 8), "LeadOffsetFirstSample: lead 'I': received 10000 bytes; the"),
        (muse("LeadOffsetFirstSample", ["far"] * 8), "LeadOffsetFirstSample: received no number"),
        (muse("FirstSampleBaseline", ["low"] * 8), "FirstSampleBaseline: received no number"),
        (muse("FirstSampleBaseline", [0, 4294967276] * 4), r"FirstSampleBaseline: lead 'II': received 4.29496728e\+09"),
    ],
    "xml": [
        (f"<!DOCTYPE RestingECG {ENTITIES}><RestingECG>&i;</RestingECG>", "declares entities"),
        (f"<!DOCTYPE ECG {ENTITIES}><ECG><CHANNEL DATA=\"&i;\"/></ECG>", "declares entities"),
        (f"<!DOCTYPE x {ENTITIES}><CardiologyXML>&i;</CardiologyXML>", "declares entities"),
        (f"<!DOCTYPE x {ENTITIES}><restingecgdata>&i;</restingecgdata>", "declares entities"),
        (f'<!DOCTYPE AnnotatedECG [<!ENTITY a "{"x" * 10_000}">]><AnnotatedECG>{"&a;" * 10_000}', "entities"),
        ('<!DOCTYPE RestingECG [<!ENTITY a SYSTEM "file:///etc/passwd">]><RestingECG>&a;</RestingECG>', "entities"),
        ('<!DOCTYPE RestingECG [<!ENTITY % a SYSTEM "http://localhost:9/x">%a;]><RestingECG/>', "entities"),
        ('<!DOCTYPE RestingECG SYSTEM "http://localhost:9/restecg.dtd"><RestingECG/>', "Waveform: none is of"),
        ("<RestingECG>" + "<a>" * 300, "has more than 200000 elements, or some deeper than 200"),
        ("<RestingECG>" + "<a/>" * 200_001, "has more than 200000 elements"),
        ("<RestingECG " + " ".join(f'a{n}=""' for n in range(400_001)) + "/>", "has more than 400000 attributes"),
        ("<RestingECG>\0</RestingECG>", "not well formed"),
        ('<?xml version="1.0" encoding="none-7"?><RestingECG/>', "XML: declares an encoding that is not known; UTF-8"),
        ("<restingecgdata/>", "documentversion: received ''; 1.03, 1.04, 1.04.01, 1.04.02 are read"),
        ("<html><body>1 2 3</body></html>", "is XML of another kind.* HL7 aECG XML"),
        ("<!-- <RestingECG> --><svg/>", "is XML of another kind"),
        ("<", "is XML of another kind"),
    ],
    "mat5": [
        (sized((12, 5000), (8, 5000)), "ECG.data: is 8 x 5000 by its header, which is 320000 bytes"),
        (sized((12, 5000), (12, 2**30)), "ECG.data: is 12 x 1073741824 by its header"),
        (sized((12, 5000), (-12, -5000)), "ECG.data: is -12 x -5000 by its header"),
        (sized((1, 1), (1, 2**30)), "arrays: received 'ECG'; an array of samples and leads is needed"),
        (mat(lambda content: content[:3000]), "MATLAB: is cut off in the element of type 14 at byte 128: .* 2864 foll"),
        (mat(lambda content: content[:130]), "MATLAB: is cut off in the element at byte 128"),
        (mat(data=np.zeros((8, 5000))), "ECG/data: received 8 x 5000; 12 leads x samples are needed"),
        (mat(data="text"), "ECG/data: received no numbers; 12 leads x samples are needed"),
        (mat(data=np.zeros((12, 5000), complex)), "MATLAB: the matrix at byte .* is complex; real numbers are needed"),
        (mat(data=np.zeros((12, 10, 10))), "ECG/data: received 12 x 10 x 10"),
        (mat(other=1), "arrays: none holds samples and leads: 'ECG/other' .1x1.; call one signal, signal_mv"),
        (
            mat(lambda content: content[:128] + struct.pack("<II", 15, len(z := zlib.compress(bytes(65 * 2**20)))) + z),
            "size: unpacks to more than 64 MiB",
        ),
    ],
    "parquet": [
        (parquet(lambda: TABLE.assign(V3="x")), "column 'V3' holds something"),
        (parquet(lambda: pa.table({"a": np.zeros(20_000_000)}), compression="zstd"), "received 20000000 rows of 1 col"),
        (parquet(lambda: pa.table({f"c{n}": [1.0] for n in range(300)})), "received 1 rows of 300 columns"),
        (parquet(lambda: TABLE, end=-20), "table: is broken or cut off"),
        (b"PAR1" + bytes(100) + b"PAR1", "table: is broken or cut off"),
    ],
    "npz": [
        (npz(signal=ONES, leads=np.array(LEADS, dtype=object)), "holds Python objects, which are never unpickled"),
        (npz(signal=ONES, leads=np.array(LEADS[:9])), "array: received|leads: received 9 names for 12 leads"),
        (npz(signal=ONES, leads=np.array(LEADS), units=np.array(["mV", "uV"])), "units: received 2 units for 12"),
        (npz(signal=ONES, fs_hz=np.array("fast")), "fs_hz: needs one number"),
        (npz(signal=ONES, fs_hz=np.inf), "fs_hz: needs one number"),
        (npz(one=ONES, two=ONES), "arrays: several could be the signal: .*; call one signal"),
        (npz(signal=ONES.astype(bool)), "'signal' holds no numbers; floats or whole numbers are"),
        (npz(signal=ONES.astype(complex)), "'signal' holds no numbers"),
        (npz(signal=np.ones((2, 3, 1000, 12))), "received 4 dimensions .2x3x1000x12.; recordings, samples and leads"),
        (npz(signal=np.ones((0, 12))), "none holds samples and leads: 'signal' .0x12."),
    ],
    "npy": [
        (npy((10**9, 12)), "announces 12000000000 numbers; at most 19200000 are read"),
        (npy((2**63, 2**63)), "announces"),
        (npy((1000, 13)), "is cut off: 96000 bytes, 104000 are announced"),
        (npy((-1000, 12)), "announces -12000 numbers"),
        (npy((1, 12_000)), "received 1 leads of 12000|names"),
        (npy((12_000,)), "received 1 dimensions"),
        (npy(()), "received 0 dimensions"),
    ],
    "hdf5": [
        (hdf5(signal={"shape": (2**40, 12), "dtype": "f8"}), "HDF5: 'signal' announces"),
        (hdf5(signal={"shape": (10**6, 12), "dtype": "f8"}), "0 bytes are stored"),
        (hdf5(signal=CHUNKED), "0 bytes are stored"),
        (hdf5(a__ecg=ONES, b__ecg=ONES), "arrays: several could be the signal: 'a/ecg' .1000x12., 'b/ecg'"),
        (
            hdf5(
                signal=lambda folder: h5py.ExternalLink(str(folder / "secret.h5"), "/signal"),
                ecg={"shape": (1000, 12), "dtype": "f8", "external": ["secret"]},
            ),
            "arrays: none holds samples and leads: none",
        ),
    ],
    "wfdb": [
        (swapped("wfdb", b"rec.dat", b"../rec.dat"), "signal line 1: names '../rec.dat'; a file beside the header is"),
        (swapped("wfdb", b"rec.dat", b"/etc/passwd"), "a file beside the header is needed"),
        (swapped("wfdb", b"rec.dat", b"s3://bucket/rec.dat"), "a file beside the header is needed"),
        (swapped("wfdb", b"rec.dat", b"other.dat"), "signal file: names other.dat, which is missing"),
        (swapped("wfdb", b" 5000\n", b" 5001\n"), "rec.dat: signal file: is cut off: received 120000 bytes, 120024"),
        (swapped("wfdb", b" 5000\n", b" 99999999999\n"), "number of samples: received '99999999999'; 0 to 1200000 is"),
        (swapped("wfdb", b"rec 12", b"rec 99999"), "number of signals: received '99999'"),
        (swapped("wfdb", b"rec 12", b"rec 13"), "signal lines: 13 are announced, 12 are there"),
        (swapped("wfdb", b"rec 12 500", b"rec 12 0"), "fs_hz: received 0"),
        (swapped("wfdb", b"rec 12 500", b"rec 12 5"), "fs_hz: received 5; 50 to 2000 Hz is allowed"),
        (swapped("wfdb", b"rec 12", b"rec/3 12"), "segments: 3 are announced, 0 are there"),
        (swapped("wfdb", b"rec.dat 16", b"rec.dat 17"), "format '17' is not read"),
        (swapped("wfdb", b"rec.dat 16", b"rec.dat 16x99999999"), "signal line 1: received '99999999'"),
        (swapped("wfdb", b"rec.dat 16", b"rec.dat 16+99999999999"), "signal line 1: received '99999999999'"),
        (swapped("wfdb", b"1.0(0)/uV", b"1e99(0)/uV"), r"signal line 1: received a gain of 1e\+99"),
        (swapped("wfdb", b"1.0(0)/uV", b"x"), "signal line 1: is not 'file format gain ... description'"),
    ],
    "segments": [
        (swapped("segments", b" 1666\n", b" 99999999999\n"), "segments: hold .* samples"),
        (swapped("segments", b"rec_0001", b"../rec_1"), "segments: 3 are announced, 2 are"),
        ({"rec.hea": b"rec/2 12 500 5000\nrec 2500\nrec 2500\n"}, "is of several segments itself"),
    ],
    "scp": [
        (put("scp", 2, "<I", 2**31), "size: received"),
        (put("scp", 6 + 16 + 60 + 2, "<I", 2**30), "section 6: lies outside"),
        (swapped("scp", SCP_LEAD, struct.pack("<II", 1, 2**31)), "section 3: received samples 1 to 2147483648"),
        (swapped("scp", SCP_LEAD, struct.pack("<II", 1, 500_000)), "section 3: announces 6000000 samples"),
        (lambda made, _: made("scp", tables=struct.pack("<HHBBBhI", 1, 1, 31, 31, 1, 0, 0)), "section 2: holds a code"),
        (lambda made, _: made("scp", tables=struct.pack("<HHBBBhI", 1, 1, 1, 1, 0, 1, 0)), "section 6: cannot be unp"),
        (lambda made, _: made("scp", bimodal=1), "section 6: is packed at two rates"),
    ],
    "philips": [
        (swapped("philips", b'channel="10400"', b'channel="1e12"'), r"durationperchannel: received 5e\+11 samples"),
        (swapped("philips", b'leads="12"', b'leads="1e9"'), r"number of leads: received 1e\+09; 1 to 16"),
        (bomb, "XLI: unpacks to more than 1200000 samples"),
    ],
    "ishne": [
        (put("ishne", 10, "<i", 2**30), "header: announces a block"),
        (put("ishne", 156, "<h", 9999), "leads: received 9999"),
    ],
    "mfer": [
        (swapped("mfer", WAVES, b"\x1e\x84\x7f\xff\xff\xff"), "MFER: is cut off in the definition 0x1e"),
        (swapped("mfer", b"\x04\x04\x64\0\0\0", b"\x04\x04\xff\xff\xff\x7f"), "MWF_WAV: is cut off"),
        (swapped("mfer", b"\x05\x04\x0c\0\0\0", b"\x05\x04\xff\xff\xff\x7f"), "MWF_CHN: received"),
        (
            b"@\x20MFR ".ljust(34) + b"".join(b"\x67\x83" + size.to_bytes(3, "big") for size in range(14_995, -1, -5)),
            "MFER: has definitions within definitions, more than 8 deep",
        ),
    ],
    "csv": [
        (csv(lambda t: spoilt(t, "oops")), "table: line 502, column 4: 'oops' is no number"),
        (csv(lambda t: spoilt(t, "a text that may well be private")), "column 4: text of 31 characters is no number"),
        (csv(lambda t: spoilt(t, "1.2.3")), "table: line 502, column 4: '1.2.3' is no number"),
        (csv(lambda t: t[["I", "II", "III"]]), "table: received 3 columns; at least 8 leads are needed"),
        (csv(lambda t: t.drop(columns="V4")), "leads: missing V4; needed: I, II, V1"),
        (
            csv(lambda t: t.assign(time=np.arange(1000) / 100).drop(index=range(300, 310))),
            "time: is not even: a gap or a repeat near row 301",
        ),
        (csv(lambda t: t.assign(time=0)), "time: does not go forward"),
        (csv(lambda t: t.reindex(columns=[*LEADS, *range(280)], fill_value=0)), "table: received 292 columns; at most"),
        (csv(lambda t: t[:1]), "signal: received 1 samples of each lead; 2 to 1200000 are allowed"),
        ("hello, this is a letter\nabout 5 things\n", "table: no rows of numbers"),
        ("1,2,3\n4,5,6\n7,8,9\n1,2,3\n", "table: received 3 columns; at least 8 leads are needed"),
        ("I,II\n" * 200 + "1,2,3,4,5,6,7,8\n" * 500, "table: no row of 8 numbers was found in its first 100 lines"),
        ("1,2,3,4,5,6,7,8\n" * 1_200_102, "table: received more than 1200000 lines"),
        ("1,2,3,4,5,6,7,8\n" * 300 + "1," * 9 + "\n" + "1,2,3,4,5,6,7,8\n" * 300, "table: some rows have more than 8"),
        ("1," * 2_000_000, "one lead a line, at most 256 lines are read"),
    ],
}  # fmt: skip
HINTS: Mapping[str, dict[str, Any]] = {
    "csv": {"units": "mV"},
    "npz": {"units": "mV", "fs_hz": 100},
    "npy": {"units": "uV", "fs_hz": 100, "leads": LEADS},
}
ROWS = [(kind, number) for kind, rows in REFUSED.items() for number in range(len(rows))]


@pytest.mark.parametrize(("kind", "number"), ROWS)
def test_what_is_broken_or_lies_is_refused_by_its_field_in_little_memory(
    ecg: Callable[..., Any], write: Callable[..., Any], tmp_path: Path, kind: str, number: int
) -> None:
    names = {"hl7": {"names": [f"MDC_ECG_LEAD_{lead.upper()}" for lead in LEADS]}, "muse": {"leads": INDEPENDENT_LEADS}}

    def made(kind: str, **how: Any) -> Any:
        folder = [tmp_path / "made"] if kind in ("wfdb", "segments") else []
        return write(kind, ecg(500, **names.get(kind, {})), *folder, **how)

    make, message = REFUSED[kind][number]
    content = make(made, tmp_path) if callable(make) else make.encode() if isinstance(make, str) else make
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReaderError, match=message) as refused:
        read_ecg(content, **HINTS.get(kind, {})).recording()
    assert refused.value.field != "reader"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 200
