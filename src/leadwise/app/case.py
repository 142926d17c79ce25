"""What is asked about: a recording with what is needed to draw it and to ask about it again."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leadwise.contract import LEADS, ECGRecord
from leadwise.ecg.formats import ReadECG
from leadwise.features import asked_features

Facts = Mapping[str, float | None]


@dataclass(frozen=True)
class Example:
    """A recording to look at.

    Attributes:
        record: the recording.
        title: its headline.
        about: where it comes from and what it shows, in a sentence.
    """

    record: ECGRecord
    title: str
    about: str


@dataclass(frozen=True)
class ShownRecording:
    """A recording, ready to be drawn and asked about.

    Attributes:
        key: differs between any two recordings.
        title: headline of figure and report.
        record: what is drawn; ``None`` where there is no recording.
        signal: the fields of a request row that describe the recording.
        facts: what is known of the patient before anybody fills in the form.
    """

    key: str
    title: str
    record: ECGRecord | None = None
    signal: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    def row(self, facts: Facts) -> dict[str, Any]:
        """The row of a request: recording and facts."""
        return {**self.signal, **facts_row(facts)}

    def drawn(self, facts: Facts) -> ECGRecord | None:
        """The recording with the facts that the form holds now."""
        return None if self.record is None else replace(self.record, patient=dict(facts))


def facts_row(facts: Facts) -> dict[str, Any]:
    """The facts that are known, as fields of a request row."""
    return {one.name: value for one in asked_features() if (value := facts.get(one.name)) is not None}


def case_of_example(example: Example) -> ShownRecording:
    """Twelve leads in standard order."""
    record = example.record
    signal = _signal_fields(record.signal_mv, LEADS, record.fs_hz)
    return ShownRecording(_key(signal, example.title), example.title, record, signal, dict(record.patient))


def case_of_file(read: ReadECG) -> ShownRecording:
    """A file whose questions are all answered.

    Raises:
        ReaderError: a question is open, or the recording cannot be an ECG.
    """
    record = read.recording().record
    # As the file gives it, so that the answer tells of missing samples and computed leads.
    signal_mv = record.signal_mv if read.signal_mv is None else read.signal_mv
    signal = _signal_fields(signal_mv, read.leads, record.fs_hz)
    if read.noticed:
        signal["noticed"] = {name: list(leads) for name, leads in read.noticed.items()}
    return ShownRecording(_key(signal, read.file), read.file, record, signal, dict(read.patient))


def case_without_recording() -> ShownRecording:
    """Nothing but the facts about the patient."""
    return ShownRecording("none", "From the facts about the patient alone")


def _signal_fields(signal_mv: np.ndarray, leads: tuple[str, ...], fs_hz: float) -> dict[str, Any]:
    samples = np.ascontiguousarray(signal_mv, dtype="<f4")
    return {
        "signal": base64.b64encode(samples.tobytes()).decode("ascii"),
        "dtype": "float32",
        "shape": list(samples.shape),
        "order": "time_lead",
        "leads": list(leads),
        "fs_hz": fs_hz,
        "units": "mV",
    }


def _key(signal: Mapping[str, Any], title: str) -> str:
    content = f"{title}|{signal['leads']}|{signal['fs_hz']}|{signal['signal']}|{signal.get('noticed')}"
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
