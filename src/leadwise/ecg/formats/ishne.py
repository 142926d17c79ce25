"""ISHNE Holter files (Badilini, Ann Noninvasive Electrocardiol 1998;3:263-266), of up to ten minutes.

A header of 522 bytes, a block of the device's own, then 16-bit numbers of the leads in turn, each lead with its own nV
a step. The lowest number stands for a sample that is missing.
"""

import binascii
import struct
from collections.abc import Mapping

import numpy as np

from leadwise.ecg.formats.base import Channel, Format, Most, RawRecording, ReadOptions, begins_with, register, within
from leadwise.ecg.formats.patient import SEXES, day_of, facts_said
from leadwise.ecg.record import RecordingError

FORMAT, MARK = "ISHNE", b"ISHNE1.0"
FIXED, MOST_LEADS = 522, 12
NAMES = dict(enumerate(("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"), start=5))
PACED = range(1, 6)
MISSING = -(2**15)


def read_ishne(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """Read the leads with their names, as far as the header names them.

    Refused: the header is broken, or no samples follow it.
    """
    content = files[file]
    if len(content) <= FIXED:
        raise RecordingError("header", f"is cut off: received {len(content)} bytes; more than {FIXED} are needed")
    own, stated = struct.unpack_from("<ii", content, 10)
    count, fs_hz = _short(content, 156), float(_short(content, 272))
    within("leads", count, 1, MOST_LEADS)
    if not 0 <= own < len(content) - FIXED:
        raise RecordingError("header", f"announces a block of {own} bytes; {len(content) - FIXED} bytes follow")
    flat = np.frombuffer(content, "<i2", (len(content) - FIXED - own) // 2, FIXED + own)
    if len(flat) > Most.NUMBERS:
        raise RecordingError("signal", f"holds {len(flat)} samples; {Most.NUMBERS} at most, ten minutes, are read")
    by_lead = flat[: len(flat) // count * count].reshape(-1, count).T
    samples = by_lead.shape[1]
    notes = []
    cut = samples < stated and stated != samples * count
    if cut:
        notes.append(f"{stated} samples of a lead are announced, {samples} are there: the file may be cut off.")
    checksum = binascii.crc_hqx(content[10 : FIXED + own], 0xFFFF)
    stated_checksum = int.from_bytes(content[8:10], "little")
    if stated_checksum and stated_checksum not in (checksum, (checksum & 0xFF) << 8 | checksum >> 8):
        notes.append("The checksum of the header does not fit it: the file may be damaged.")
    channels = []
    for place, lead in enumerate(by_lead):
        code, step_nv = _short(content, 158 + 2 * place), _short(content, 206 + 2 * place)
        values = np.where(lead == MISSING, np.nan, lead.astype(np.float64))
        name = NAMES.get(code, f"lead {code} of ISHNE")
        channels.append(
            Channel.stored(name, values, fs_hz or None, max(step_nv, 0), "nV", ("file_incomplete",) if cut else ())
        )
    return RawRecording(FORMAT, tuple(channels), _patient(content), tuple(notes))


def _short(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 2], "little", signed=True)


def _patient(content: bytes) -> dict[str, float | None]:
    """Sex, age at the recording, and a pacemaker: that there is none is also what devices write that do not know."""
    born, recorded, sex = _day(content, 132), _day(content, 138), SEXES.get(_short(content, 128), "")
    facts = facts_said(born=born, recorded=recorded, sex=sex)
    return facts | {"pacemaker": 1.0} if _short(content, 230) in PACED else facts


def _day(content: bytes, at: int) -> str:
    day, month, year = struct.unpack_from("<3h", content, at)
    return day_of(year, month, day)


register(Format(FORMAT, (".ecg", ".ishne"), begins_with(MARK), read_ishne))
