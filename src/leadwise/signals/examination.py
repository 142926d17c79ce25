"""What a recording looks like before it is scored: flags, and whether it is an ECG at all, per stretch and as a whole.

REST, batch, the command line and the page ask this one function.
"""

from dataclasses import dataclass

import numpy as np

from leadwise.contract import LEADS
from leadwise.signals.flags import Flag, quality_flags
from leadwise.signals.no_ecg import why_no_ecg
from leadwise.signals.quality import about_100_hz, measure_leads
from leadwise.signals.recording import Recording
from leadwise.signals.stretches import stretch_count, stretch_times, stretches


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
    record = recording.record
    count = stretch_count(len(record.signal_mv), record.fs_hz)
    parts = stretches(len(record.signal_mv), record.fs_hz, count)
    leads_uv = np.stack([record.signal_mv[part].T for part in parts]) * np.float32(1000)
    measured = measure_leads(leads_uv, record.fs_hz, np.zeros((count, len(LEADS)), dtype=np.int64))
    reasons = why_no_ecg(*about_100_hz(leads_uv, record.fs_hz))
    flags = quality_flags(measured, [k for k, reason in enumerate(reasons) if not reason] or range(count))
    if recording.missing:
        most = max(recording.missing.values())
        detail = f"{most} samples at most, filled along straight lines"
        flags = (*flags, Flag("missing", tuple(recording.missing), detail))
    return Examination(
        times_s=tuple(stretch_times(len(record.signal_mv) / record.fs_hz, count)),
        no_ecg=tuple(reasons),
        stretch_flags=tuple(quality_flags(measured, [k]) for k in range(count)) if count > 1 else (flags,),
        flags=flags,
    )
