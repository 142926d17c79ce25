"""What a recording looks like before it is scored: flags, and whether it is an ECG at all, per stretch and as a whole.

REST, batch, the command line and the page ask this one function.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadwise.signals.coarse import Coarse
from leadwise.signals.flags import Flag, quality_flags, without_flags
from leadwise.signals.no_ecg import why_no_ecg
from leadwise.signals.quality import LeadQuality, measure_leads
from leadwise.signals.reader_flags import READER_FLAGS
from leadwise.signals.recording import Recording
from leadwise.signals.stretches import stretch_count, stretch_times, stretches

MEASURED_TOGETHER = 8
"""Recordings; more do not fit into the processor's cache."""


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        times_s: from and to of each stretch of at most 10 s, in seconds.
        no_ecg: per stretch why it is no ECG, in words; empty where it is one.
        stretch_flags: per stretch what is wrong with it.
        flags: what is wrong with the recording as a whole.
    """

    times_s: tuple[tuple[float, float], ...]
    no_ecg: tuple[str, ...]
    stretch_flags: tuple[tuple[Flag, ...], ...]
    flags: tuple[Flag, ...]

    @property
    def kept(self) -> list[int]:
        """The stretches that may be scored."""
        return [number for number, reason in enumerate(self.no_ecg) if not reason]


def examine(recording: Recording) -> Examination:
    """Measure a recording; 1 ms for 10 s at 100 Hz."""
    return examine_many([recording])[0]


def examine_many(recordings: Sequence[Recording]) -> list[Examination]:
    """Measure several recordings: those of one length and rate take half as long as one by one."""
    cut = [_in_stretches(recording) for recording in recordings]
    alike: dict[tuple[int, float], list[int]] = {}
    for place, (recording, leads_uv) in enumerate(zip(recordings, cut, strict=True)):
        alike.setdefault((leads_uv.shape[2], recording.record.fs_hz), []).append(place)
    found: dict[int, Examination] = {}
    for places in alike.values():
        for first in range(0, len(places), MEASURED_TOGETHER):
            some = places[first : first + MEASURED_TOGETHER]
            examined = _examined([recordings[place] for place in some], [cut[place] for place in some])
            found.update(zip(some, examined, strict=True))
    return [found[place] for place in range(len(recordings))]


def _in_stretches(recording: Recording) -> np.ndarray:
    """``(stretch, 12, time)`` float32 in microvolts."""
    record = recording.record
    parts = stretches(len(record.signal_mv), record.fs_hz, stretch_count(len(record.signal_mv), record.fs_hz))
    # Left as it is, time would not lie side by side in memory: all that is measured along it would take twice as long.
    return np.stack([np.ascontiguousarray(record.signal_mv[part].T) for part in parts]) * np.float32(1000)


def _examined(recordings: Sequence[Recording], cut: Sequence[np.ndarray]) -> list[Examination]:
    """Of recordings that have the same rate and stretches of the same length."""
    leads_uv = np.concatenate(cut) if len(cut) > 1 else cut[0]
    fs_hz = recordings[0].record.fs_hz
    coarse = Coarse.of(leads_uv, fs_hz)
    measured = measure_leads(leads_uv, fs_hz, np.zeros(leads_uv.shape[:2], dtype=np.int64), coarse)
    reasons = why_no_ecg(coarse)
    plain = without_flags(measured)
    ends = np.cumsum([len(part) for part in cut]).tolist()
    return [
        _examination(recording, measured, reasons, plain, range(end - len(part), end))
        for recording, part, end in zip(recordings, cut, ends, strict=True)
    ]


def _examination(
    recording: Recording, measured: LeadQuality, reasons: Sequence[str], plain: np.ndarray, rows: range
) -> Examination:
    """Of the recording whose stretches are some rows of what was measured; ``plain`` are those without flags."""
    counted = [row for row in rows if not reasons[row]] or rows
    flags = () if len(counted) == 1 and plain[counted[0]] else quality_flags(measured, counted)
    flags = (*flags, *_known_before(recording))
    seconds = len(recording.record.signal_mv) / recording.record.fs_hz
    return Examination(
        times_s=tuple(stretch_times(seconds, len(rows))),
        no_ecg=tuple(reasons[row] for row in rows),
        stretch_flags=tuple(quality_flags(measured, [row]) for row in rows) if len(rows) > 1 else (flags,),
        flags=flags,
    )


def _known_before(recording: Recording) -> list[Flag]:
    """What was noticed when the recording was read and put in order."""
    found = []
    if recording.missing:
        most = max(recording.missing.values())
        detail = f"{most} samples at most, filled along straight lines"
        found.append(Flag("missing", tuple(recording.missing), detail))
    noticed = {name: Flag(name, leads, READER_FLAGS[name]) for name, leads in recording.noticed.items()}
    if any(recording.ends_cut):
        before, after = (f"{cut} samples ({cut / recording.record.fs_hz:.3g} s)" for cut in recording.ends_cut)
        detail = f"{before} at the beginning, {after} at the end, where every lead stands still or is missing"
        noticed["ends_cut"] = Flag("ends_cut", (), detail)
    return [*found, *noticed.values()]
