"""What is asked about: a recording with what is needed to draw it and to ask about it again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from leadwise.contract import LEADS, ECGRecord
from leadwise.ecg.formats import ReadECG
from leadwise.features import asked_names
from leadwise.serving.client import request_row

Facts = Mapping[str, float | None]
TruthFrom = Literal["simulated", "cardiologists"]


@dataclass(frozen=True)
class Example:
    """A recording to look at.

    Attributes:
        record: the recording.
        title: its headline.
        about: where it comes from and what it shows, in a sentence.
        truth: the classes that it has.
        truth_from: who says so: ``simulated`` or ``cardiologists``.
    """

    record: ECGRecord
    title: str
    about: str
    truth: tuple[str, ...]
    truth_from: TruthFrom = "cardiologists"


@dataclass(frozen=True)
class ShownRecording:
    """A recording, ready to be drawn and asked about.

    Attributes:
        key: differs between any two recordings.
        title: headline of figure and report.
        record: what is drawn; ``None`` where there is no recording.
        signal: the fields of a request row that describe the recording.
        facts: what is known of the patient before anybody fills in the form.
        truth: the classes that it is known to have; ``None`` where nobody has said.
        truth_from: who says so.
    """

    key: str
    title: str
    record: ECGRecord | None = None
    signal: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    truth: tuple[str, ...] | None = None
    truth_from: TruthFrom = "cardiologists"

    def row(self, facts: Facts) -> dict[str, Any]:
        """The row of a request: recording and facts."""
        return {**self.signal, **facts_row(facts)}

    def drawn(self, facts: Facts) -> ECGRecord | None:
        """The recording with the facts that the form holds now."""
        return None if self.record is None else replace(self.record, patient=dict(facts))


def facts_row(facts: Facts) -> dict[str, Any]:
    """The facts that are known, as fields of a request row."""
    return {name: value for name in asked_names() if (value := facts.get(name)) is not None}


def case_of_example(example: Example) -> ShownRecording:
    """Twelve leads in standard order."""
    record = example.record
    row = {"signal": record.signal_mv, "leads": LEADS, "fs_hz": record.fs_hz, "units": "mV", "order": "time_lead"}
    return replace(_case(row, example.title, record), truth=example.truth, truth_from=example.truth_from)


def case_of_file(read: ReadECG) -> ShownRecording:
    """A file whose questions are all answered.

    Raises:
        ReaderError: a question is open, or the recording cannot be an ECG.
    """
    record = read.recording().record
    # As the file gives it, so that the answer tells of missing samples and computed leads.
    return _case(read.array_row(), read.file, replace(record, patient=dict(read.patient)))


def case_without_recording() -> ShownRecording:
    """Nothing but the facts about the patient."""
    return ShownRecording("none", "Before any ECG: people like this")


def _case(row: Mapping[str, Any], title: str, record: ECGRecord) -> ShownRecording:
    signal = request_row({name: value for name, value in row.items() if name not in asked_names()})
    key = hashlib.blake2b(json.dumps([title, signal]).encode(), digest_size=12).hexdigest()
    return ShownRecording(key, title, record, signal, dict(record.patient))
