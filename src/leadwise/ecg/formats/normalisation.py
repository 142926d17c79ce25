"""From what a reader found to a recording in millivolts: hints applied, questions asked, oddities noted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from leadwise.contract import LEADS
from leadwise.ecg import record
from leadwise.ecg.formats.base import (
    Channel,
    MissingField,
    Most,
    RawRecording,
    ReaderError,
    ReadOptions,
    shown_name,
    shown_text,
)
from leadwise.ecg.formats.parsing import lead_spans, standard_lead, to_millivolts
from leadwise.ecg.formats.patient import checked_facts
from leadwise.ecg.record import HIGHEST_FS_HZ, LOWEST_FS_HZ, Recording, RecordingError


@dataclass(frozen=True)
class ReadECG:
    """What was read and understood of a file. Never a name, an id or a date of the patient.

    Attributes:
        file: name of the file, without its folder.
        format: name of the format.
        signal_mv: ``(time, lead)`` float32 in millivolts, columns as ``leads``; ``None`` as long as the units or the
            leads are in question.
        fs_hz: sampling rate in Hz; ``None`` while in question.
        samples: samples of each lead.
        leads: standard names in the order of the file, 8 to 12 of them; empty while in question.
        leads_found: the same leads as the file spells them.
        units_found: unit of the numbers as the file spells it; empty where it says none.
        units_how: how the numbers were turned into millivolts, in a plain sentence; empty while in question.
        gain_per_mv: per lead, how many stored numbers make one millivolt, where the file stores whole numbers.
        patient: what the file says of the patient, by the names of ``leadwise.features``.
        notes: everything odd, in plain sentences.
        questions: what only the owner of the file can say; without an answer there is no recording.
        noticed: what becomes a flag of the answer -> its leads; none where it is the whole recording.
    """

    file: str
    format: str
    signal_mv: np.ndarray | None
    fs_hz: float | None
    samples: int
    leads: tuple[str, ...]
    leads_found: tuple[str, ...]
    units_found: str
    units_how: str
    gain_per_mv: tuple[float, ...] | None
    patient: Mapping[str, float]
    notes: tuple[str, ...]
    questions: tuple[MissingField, ...]
    noticed: Mapping[record.ReaderFlag, tuple[str, ...]] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """Length of the recording; ``None`` while the sampling rate is in question."""
        return None if self.fs_hz is None else self.samples / self.fs_hz

    def with_note(self, note: str) -> "ReadECG":
        """The same with one note more."""
        return replace(self, notes=(*self.notes, note))

    def recording(self, patient: Mapping[str, float | None] | None = None, record_id: str = "") -> Recording:
        """The checked recording in standard lead order, as everything else takes it.

        Args:
            patient: what is known of the patient, instead of what the file says.
            record_id: the caller's name for the recording.

        Raises:
            ReaderError: a question is open, or the recording cannot be an ECG: too short, too long, flat, too large.
        """
        signal_mv, fs_hz = self._answered()
        try:
            return record.build_recording(
                signal_mv,
                fs_hz=fs_hz,
                leads=self.leads,
                order="time_lead",
                patient=self.patient if patient is None else patient,
                record_id=record_id,
                noticed=self.noticed,
            )
        except RecordingError as error:
            raise ReaderError(self.file, error.field, error.problem) from None

    def array_row(self) -> dict[str, Any]:
        """The recording and the facts as one row of a request, the signal an array ``(time, lead)`` in millivolts.

        Raises:
            ReaderError: a question is open.
        """
        signal_mv, fs_hz = self._answered()
        row: dict[str, Any] = {"signal": signal_mv, "leads": list(self.leads), "fs_hz": fs_hz}
        row |= {"units": "mV", "order": "time_lead"}
        if self.noticed:
            row["noticed"] = {name: list(leads) for name, leads in self.noticed.items()}
        return row | dict(self.patient)

    def _answered(self) -> tuple[np.ndarray, float]:
        """The signal and its rate, if nothing is in question."""
        for question in self.questions:
            raise ReaderError(self.file, question.field, question.text)
        if self.signal_mv is None or self.fs_hz is None:
            raise ReaderError(self.file, "signal", "is not known")
        return self.signal_mv, self.fs_hz


COMMON_FS_HZ = (100, 125, 128, 180, 200, 240, 250, 256, 300, 360, 400, 480, 500, 512, 600, 800, 960, 1000, 1024, 2000)
USUAL_SECONDS = 10
OF_THE_WHOLE: frozenset[record.ReaderFlag] = frozenset({"file_incomplete", "rate_suspected"})
"""Flags that name no leads where all have them."""


def normalise(file: str, found: RawRecording, hints: ReadOptions) -> ReadECG:
    """Turn what a reader found into a recording, as far as it can be known; a hint counts more than the file.

    Raises:
        RecordingError: leads are missing, differ in length or rate, or a hint does not fit the file.
    """
    facts, oddities = checked_facts(found.patient)
    notes = [*found.notes, *oddities]
    # What states a gain marks its missing samples in a way of its own.
    given = [one if one.gain else replace(one, values=record.without_marks(one.values)) for one in found.channels]
    named = _named(given, hints, notes)
    chosen = _standard_leads(named, notes) if named is not None else given
    samples = _common_length(chosen)
    questions = []
    if count := found.unchosen:
        example = f"Name the file with its number, such as {shown_name(file)[:40]}#0."
        asked = f"The file holds {count} recordings: which is wanted, 0 to {count - 1}? {example}"
        questions.append(MissingField("record", asked))
    fs_hz = _sampling_rate(chosen, hints, samples, notes, questions, found.rate_question)
    leads = tuple(_lead_of(channel) for channel in chosen) if named is not None else ()
    noticed = _noticed(chosen, leads)
    stated_hz: list[object] = [channel.fs_hz for channel in chosen]
    stated_hz += [found.rate_question.suggestion] if found.rate_question is not None else []
    if fs_hz is not None and any(isinstance(rate, int | float) and rate != fs_hz for rate in stated_hz):
        noticed["rate_suspected"] = ()
    if named is None:
        asked = f"The file does not name its leads: which are its {len(found.channels)} signals, in order?"
        likely = {12: LEADS, 8: record.INDEPENDENT_LEADS}.get(len(found.channels))
        questions.append(MissingField("leads", asked, likely, LEADS))
    signal = np.stack([channel.values for channel in chosen], axis=1)
    in_mv, how, gain_per_mv = to_millivolts(chosen, signal, hints, notes, questions, found.unit_question)
    signal_mv = None
    if named is not None and in_mv is not None:
        signal_mv = _without_missing_ends(in_mv, notes)
        if len(signal_mv) < samples:
            noticed["ends_cut"] = ()
        notes += _oddities(signal_mv, [channel.name for channel in chosen])
    return ReadECG(
        file=shown_name(file),
        format=found.format,
        signal_mv=signal_mv,
        fs_hz=fs_hz,
        samples=samples if signal_mv is None else len(signal_mv),
        leads=leads,
        leads_found=tuple(channel.name.strip()[:40] for channel in chosen) if named is not None else (),
        units_found=chosen[0].unit.strip()[:20],
        units_how=how,
        gain_per_mv=gain_per_mv,
        patient=facts,
        notes=tuple(notes),
        questions=tuple(questions),
        noticed=noticed,
    )


def _named(channels: Sequence[Channel], hints: ReadOptions, notes: list[str]) -> list[Channel] | None:
    """The channels with the names that count; ``None`` where there are none."""
    if not channels:
        raise RecordingError("signal", "holds no signal")
    if hints.leads is None:
        return list(channels) if any(channel.name.strip() for channel in channels) else None
    if len(hints.leads) != len(channels):
        problem = f"received {len(hints.leads)} names; the file holds {len(channels)} signals in this order"
        raise RecordingError("leads", problem)
    if any(channel.name.strip() for channel in channels):
        notes.append("The leads are named as given, not as in the file.")
    return [replace(channel, name=name) for name, channel in zip(hints.leads, channels, strict=True)]


def _lead_of(channel: Channel) -> str:
    return (standard_lead(channel.name) or ("",))[0]


def _noticed(channels: Sequence[Channel], leads: Sequence[str]) -> dict[record.ReaderFlag, tuple[str, ...]]:
    """What was noticed of the leads that are used -> these; none where it is all of them and they need no names."""
    noticed: dict[record.ReaderFlag, tuple[str, ...]] = {}
    for name in dict.fromkeys(flag for channel in channels for flag in channel.noticed):
        theirs = tuple(lead for channel, lead in zip(channels, leads, strict=False) if name in channel.noticed)
        noticed[name] = () if name in OF_THE_WHOLE and len(theirs) == len(leads) else theirs
    return noticed


def _standard_leads(channels: Sequence[Channel], notes: list[str]) -> list[Channel]:
    """The channels that are standard leads, each once, the right way up; the others are noted."""
    chosen: dict[str, Channel] = {}
    others, twice = [], []
    channels, empty = _filled(channels)
    for channel in channels:
        known = standard_lead(channel.name)
        if known is None:
            others.append(channel.name.strip())
            continue
        lead, sign = known
        if lead in chosen:
            twice.append(lead)
            if len(channel.values) <= len(chosen[lead].values):
                continue
        if sign < 0:
            notes.append(f"The file holds {lead} upside down ({shown_text(channel.name)}); it was turned back.")
            channel = replace(channel, values=-channel.values)
        chosen[lead] = channel
    try:
        record.canonical_leads(list(chosen))
    except RecordingError as error:
        received = ", ".join(shown_text(name) for name in others[:6]) if others else ", ".join(chosen)
        problem = "; ".join([error.problem, f"received {received or 'none'}", *empty])
        raise RecordingError(error.field, problem) from None
    notes += [f"In the file {lead}." for lead in empty]
    if others:
        notes.append(f"Not used, as they are no standard leads: {', '.join(shown_text(name) for name in others[:8])}.")
    if twice:
        notes.append(f"In the file more than once, of which the longest or first was taken: {', '.join(twice[:12])}.")
    if absent := [lead for lead in LEADS if lead not in chosen]:
        notes.append(f"Not in the file, so computed from leads I and II: {', '.join(absent)}.")
    return list(chosen.values())


def _filled(channels: Sequence[Channel]) -> tuple[list[Channel], list[str]]:
    """The channels that hold a number, and which leads hold none, in words."""
    filled, empty = [], []
    for channel in channels:
        lead = _lead_of(channel)
        if lead and len(channel.values) and np.isnan(channel.values[0]) and np.isnan(channel.values).all():
            empty.append(f"{lead} is empty, without any number")
        else:
            filled.append(channel)
    return filled, empty


def _common_length(channels: Sequence[Channel]) -> int:
    """Samples of every channel."""
    lengths = {len(channel.values): channel.name.strip() for channel in channels}
    if len(lengths) > 1:
        (short, first), *_, (long, second) = sorted(lengths.items())
        differ = f"leads differ in length: {shown_text(first)} {short} samples, {shown_text(second)} {long}"
        raise RecordingError("signal", f"{differ}; leads recorded together are needed")
    samples = next(iter(lengths))
    if not 1 < samples <= Most.SAMPLES:
        raise RecordingError("signal", f"received {samples} samples of each lead; 2 to {Most.SAMPLES} are allowed")
    return samples


def _sampling_rate(
    channels: Sequence[Channel],
    hints: ReadOptions,
    samples: int,
    notes: list[str],
    questions: list[MissingField],
    asked: MissingField | None,
) -> float | None:
    """The rate in Hz that counts; asks where there is none, with the question of the format if it has one."""
    rates = sorted({float(channel.fs_hz) for channel in channels if channel.fs_hz})
    if len(rates) > 1 and hints.fs_hz is None:
        raise RecordingError("fs_hz", f"leads have different sampling rates: {rates[0]:g} and {rates[-1]:g} Hz")
    stated = rates[0] if len(rates) == 1 else None
    fs_hz = stated if hints.fs_hz is None else float(hints.fs_hz)
    if fs_hz is None:
        ten_seconds = samples / USUAL_SECONDS
        text = "The file does not say its sampling rate: how many samples per second? It holds"
        likely = float(ten_seconds) if ten_seconds in COMMON_FS_HZ else None
        questions.append(asked or MissingField("fs_hz", f"{text} {samples} samples of each lead.", likely))
        return None
    if not LOWEST_FS_HZ <= fs_hz <= HIGHEST_FS_HZ:
        raise RecordingError("fs_hz", f"received {fs_hz:g}; {LOWEST_FS_HZ:g} to {HIGHEST_FS_HZ:g} Hz is allowed")
    if stated is not None and stated != fs_hz:
        notes.append(f"The file says {stated:g} Hz; {fs_hz:g} Hz was taken, as given.")
    return fs_hz


def _without_missing_ends(signal_mv: np.ndarray, notes: list[str]) -> np.ndarray:
    """Cut off the beginning and end where every lead is missing."""
    before, after = record.missing_ends(signal_mv)
    if before or after:
        notes.append(f"Cut off, as no lead has a value there: {before} samples at the beginning, {after} at the end.")
    elif np.isnan(signal_mv[0]).all():
        raise RecordingError("signal", "holds no sample that is a number")
    return signal_mv[before : len(signal_mv) - after]


def _oddities(signal_mv: np.ndarray, names: Sequence[str]) -> list[str]:
    """Notes on samples of ``(time, lead)`` that are missing and on spans that no usual ECG has."""
    notes = []
    missing = np.isnan(signal_mv).sum(axis=0)
    if missing.any():
        worst = int(missing.argmax())
        notes.append(f"Samples are missing within the recording, most in {shown_text(names[worst])}: {missing[worst]}.")
    spans = lead_spans(signal_mv)
    typical = median(spans.tolist()) if spans.size else math.nan
    if typical < record.SMALLEST_USUAL_SPAN_MV:
        notes.append(f"The leads span only {typical:.2g} mV, less than in any usual ECG: check the units.")
    elif typical > record.LARGEST_USUAL_SPAN_MV:
        notes.append(f"The leads span {typical:.3g} mV, more than in any usual ECG: check the units.")
    return notes
