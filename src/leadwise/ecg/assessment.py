"""What a recording looks like before it is scored: flags, and whether it is an ECG at all, per segment and as a whole.

REST, batch, the command line and the page ask this one function.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from leadwise.contract import LEADS, ECGRecord
from leadwise.ecg import faults, quality
from leadwise.ecg.preprocessing import segment_times, segments
from leadwise.ecg.quality import Flag, LeadQuality, lead_list
from leadwise.ecg.record import INDEPENDENT_COLUMNS, INDEPENDENT_LEADS, READER_FLAGS, Recording
from leadwise.ecg.repair import Repaired, needs_repair, repaired, why_off
from leadwise.ecg.reversal import average_beats, likely_reversals
from leadwise.ecg.waves import Downsampled, beat_places

LEAST_STEEPNESS, USUAL_STEEPNESS = 2.0, 10.0
LEAST_KURTOSIS, USUAL_KURTOSIS = 2.2, 3.5
LEAST_LIKENESS = 0.03
"""Where steepness or kurtosis are below the usual."""
LARGEST_COMPONENT = 0.995
LARGEST_STRAIGHTNESS = 0.65
"""Share of samples that lie on the line between their neighbours."""
LEAST_LIKENESS_TO_COMPARE = 0.5
"""Below it, the average beat is none that reversed electrodes could be told from."""
FEWEST_LEADS = 3
"""Of ``INDEPENDENT_LEADS``; fewer show no direction."""
STRAIGHT_UV = 0.5
BEAT_S = 0.1
"""To either side of the steepest place."""


def why_non_ecg(downsampled: Downsampled) -> list[str]:
    """For each recording, in microvolts, why it cannot be an ECG, in words; empty where it can."""
    independent, smooth, fs_hz = downsampled.independent, downsampled.steepness, downsampled.fs_hz
    steep, middle = max(1, round(0.02 * smooth.shape[1])), smooth.shape[1] // 2
    ordered = np.partition(smooth, (middle, smooth.shape[1] - steep), axis=1)
    measures = zip(
        independent,
        np.ptp(independent, axis=2) >= quality.FLAT_UV,
        (ordered[:, -steep] / np.maximum(ordered[:, middle], 1e-6)).tolist(),
        _kurtosis(independent, fs_hz),
        _first_component(independent).tolist(),
        (downsampled.bends < STRAIGHT_UV).astype(np.float32).mean(axis=2)[:, INDEPENDENT_COLUMNS],
        strict=True,
    )
    return [_reason(fs_hz, *of_recording) for of_recording in measures]


def _reason(
    fs_hz: float,
    leads: np.ndarray,
    showing: np.ndarray,
    steepness: float,
    kurtosis: np.ndarray,
    component: float,
    straight: np.ndarray,
) -> str:
    if not showing.any():
        return "is a flat line in every lead"
    if (count := int(showing.sum())) < FEWEST_LEADS:
        return f"shows something in {count} of the leads {', '.join(INDEPENDENT_LEADS)} only, the others are flat"
    if component > LARGEST_COMPONENT:
        return "shows the same curve in every lead"
    if median(straight[showing].tolist()) > LARGEST_STRAIGHTNESS:
        return "consists of straight lines"
    typical = median(kurtosis[showing].tolist())
    if typical < LEAST_KURTOSIS:
        return "shows no short waves that stand out, as heart beats do"
    if steepness < LEAST_STEEPNESS:
        return "shows no beats: it is as steep everywhere, as noise is"
    unusual = steepness < USUAL_STEEPNESS or typical < USUAL_KURTOSIS
    if unusual and _likeness(leads, fs_hz) < LEAST_LIKENESS:
        return "shows no beats that look alike"
    return ""


def _kurtosis(leads: np.ndarray, fs_hz: float) -> np.ndarray:
    """``(record, lead)`` fourth moment over the squared second, without what lies below ``WANDER_HZ``."""
    waves = quality.cosines(leads.shape[2], int(2 * quality.WANDER_HZ * leads.shape[2] / fs_hz))
    squares = np.square(leads - (leads @ waves) @ waves.T)
    return np.square(squares).mean(axis=2) / np.maximum(np.square(squares.mean(axis=2)), 1e-6)


def _first_component(leads: np.ndarray) -> np.ndarray:
    """``(record,)`` share of the leads' variance in the first principal component."""
    moments = (leads @ leads.transpose(0, 2, 1)).astype(np.float64)
    total = np.trace(moments, axis1=1, axis2=2)
    return np.linalg.eigvalsh(moments)[:, -1] / np.maximum(total, 1e-6)


def _likeness(leads: np.ndarray, fs_hz: float) -> float:
    """Share of the beats' energy that their mean explains, as expected of beats that were not averaged; 0: none."""
    size = round(BEAT_S * fs_hz)
    places = np.flatnonzero(beat_places(leads[np.newaxis], fs_hz)[0])
    places = places[(places >= size) & (places < leads.shape[1] - size)]
    if len(places) < 2:
        return 0.0
    beats = np.stack([leads[:, place - size : place + size] for place in places])
    beats = beats - beats.mean(axis=2, keepdims=True)
    explained = len(beats) * np.square(beats.mean(axis=0)).sum() / max(float(np.square(beats).sum()), 1e-6)
    chance = 1 / len(beats)
    return float((explained - chance) / (1 - chance))


MEASURED_TOGETHER = 8
"""Recordings; more do not fit into the processor's cache."""


@dataclass(frozen=True)
class Assessment:
    """What was found.

    Attributes:
        times_s: from and to of each segment of at most 10 s, in seconds.
        non_ecg: per segment why it is no ECG, in words; empty where it is one.
        segment_flags: per segment what is wrong with it.
        flags: what is wrong with the recording as a whole.
        record: what may be scored: the recording, without what was taken out.
        repaired: whether anything was taken out.
        silent: leads that show nothing in some segment that counts.
        beats: heart beats in the segments that count.
        pacing_spikes: spikes as a pacemaker makes them, seen at 250 Hz or more.
    """

    times_s: tuple[tuple[float, float], ...]
    non_ecg: tuple[str, ...]
    segment_flags: tuple[tuple[Flag, ...], ...]
    flags: tuple[Flag, ...]
    record: ECGRecord
    repaired: bool
    silent: tuple[str, ...]
    beats: int
    pacing_spikes: int

    @property
    def kept(self) -> list[int]:
        """The segments that may be scored."""
        return [number for number, reason in enumerate(self.non_ecg) if not reason]


def assess(recording: Recording) -> Assessment:
    """Measure a recording; 1 ms for 10 s at 100 Hz."""
    return assess_many([recording])[0]


def assess_many(recordings: Sequence[Recording]) -> list[Assessment]:
    """Measure several recordings: those of one length and rate take half as long as one by one."""
    cut = [_in_segments(recording.record) for recording in recordings]
    alike: dict[tuple[int, float], list[int]] = {}
    for place, (recording, leads_uv) in enumerate(zip(recordings, cut, strict=True)):
        alike.setdefault((leads_uv.shape[2], recording.record.fs_hz), []).append(place)
    assessments: dict[int, Assessment] = {}
    for places in alike.values():
        for first in range(0, len(places), MEASURED_TOGETHER):
            some = places[first : first + MEASURED_TOGETHER]
            assessed = _assessed([recordings[place] for place in some], [cut[place] for place in some])
            assessments.update(zip(some, assessed, strict=True))
    return [assessments[place] for place in range(len(recordings))]


def _in_segments(record: ECGRecord) -> np.ndarray:
    """``(segment, 12, time)`` float32 in microvolts."""
    # Left as it is, time would not lie side by side in memory: all that is measured along it would take twice as long.
    parts = segments(len(record.signal_mv), record.fs_hz)
    return np.stack([np.ascontiguousarray(record.signal_mv[part].T) for part in parts]) * np.float32(1000)


def _assessed(recordings: Sequence[Recording], cut: Sequence[np.ndarray]) -> list[Assessment]:
    """Of recordings that have the same rate and segments of the same length."""
    measured, reasons, claimed = _measured(np.concatenate(cut) if len(cut) > 1 else cut[0], recordings[0].record.fs_hz)
    # Most recordings are fine: what may not be is told for all at once.
    steep = (measured.steepest_uv_per_ms > faults.SPIKE_UV_PER_MS).any(axis=1)
    odd = (claimed | quality.may_be_flagged(measured) | steep).tolist()
    to_repair, scaled = needs_repair(measured).tolist(), _may_be_scaled(measured).tolist()
    ends = np.cumsum([len(part) for part in cut]).tolist()
    assessments = []
    for recording, part, end in zip(recordings, cut, ends, strict=True):
        rows = range(end - len(part), end)
        before = _known_before(recording)
        if any(scaled[rows.start : rows.stop]) and (
            why := faults.why_scaled(recording.record.signal_mv, recording.computed_leads)
        ):
            before.append(Flag("scaled_lead_by_lead", (), why))
        changed = _changed(recording, measured, rows, before) if any(to_repair[rows.start : rows.stop]) else None
        assessments.append(changed or _assessment(recording, measured, reasons, rows, before, odd=odd))
    return assessments


def _may_be_scaled(measured: LeadQuality) -> np.ndarray:
    """``(segment,)``: where spans or deviations are nearly equal, or the limb leads do not fit together."""
    spans = measured.highest_uv - measured.lowest_uv
    equal = np.zeros(len(spans), dtype=bool)
    for sizes in (spans[:, INDEPENDENT_COLUMNS], measured.deviation_uv):
        highest = sizes.max(axis=1)
        equal |= highest - sizes.min(axis=1) < faults.ALIKE_SHARE * highest
    return np.asarray(equal | (measured.limb_leads_uv > faults.LEAST_BREACH * spans[:, :3].min(axis=1)))


def _measured(leads_uv: np.ndarray, fs_hz: float) -> tuple[LeadQuality, list[str], np.ndarray]:
    """Of ``(segment, 12, time)`` what was measured, why each is no ECG, which may be reversed, inverted or slow."""
    downsampled = Downsampled.of(leads_uv, fs_hz)
    measured = quality.measure_leads(leads_uv, fs_hz, np.zeros(leads_uv.shape[:2], dtype=np.int64), downsampled)
    claimed = np.logical_or(*(name != "" for name in likely_reversals(measured.reversal_score)))
    claimed |= measured.inversion_score > faults.INVERTED_SCORE
    claimed |= faults.time_scale_is_unusual(measured.time_features, measured.beats)
    for row in np.flatnonzero(claimed):
        # Without a lead, or beats that look alike, there is nothing to compare; at a wrong rate they may not.
        silent = measured.flat[row, INDEPENDENT_COLUMNS].any()
        if silent:
            measured.time_features[row] = np.nan
        if silent or _likeness(downsampled.independent[row], downsampled.fs_hz) < LEAST_LIKENESS_TO_COMPARE:
            measured.reversal_score[row], measured.inversion_score[row] = 0, 0
    return measured, why_non_ecg(downsampled), claimed


def _changed(recording: Recording, measured: LeadQuality, rows: range, before: Sequence[Flag]) -> Assessment | None:
    """Of a recording out of which something was taken; ``None`` where nothing was."""
    record = recording.record
    parts = segments(len(record.signal_mv), record.fs_hz)
    done = repaired(record.signal_mv, record.fs_hz, parts, measured, rows, recording.computed_leads)
    if done is None:
        return None
    left = replace(recording, record=replace(record, signal_mv=done.signal_mv))
    again, reasons, _ = _measured(_in_segments(left.record), record.fs_hz)
    if reason := why_off(done.off):
        reasons = [reason] * len(reasons)
    return _assessment(left, again, reasons, range(len(reasons)), before, done)


def _assessment(
    recording: Recording,
    measured: LeadQuality,
    reasons: Sequence[str],
    rows: range,
    before: Sequence[Flag],
    done: Repaired | None = None,
    odd: Sequence[bool] | None = None,
) -> Assessment:
    """Of the recording whose segments are some rows of what was measured; ``odd``: where there may be a flag."""
    record, flags, spikes = recording.record, tuple(before), 0
    counted = [row for row in rows if not reasons[row]] or rows
    is_odd = len(rows) > 1 or odd is None or odd[rows.start]
    if is_odd:
        seen = _without_silenced(quality.quality_flags(measured, counted), done.off if done else ())
        flags = _merged([*seen, *before, *_flag_of_rate(record, measured, counted), *(done.flags if done else ())])
        if (measured.steepest_uv_per_ms[rows] > faults.SPIKE_UV_PER_MS).any():
            spikes = faults.pacing_spikes(record.signal_mv, record.fs_hz)
    return Assessment(
        times_s=tuple(segment_times(len(record.signal_mv) / record.fs_hz, len(rows))),
        non_ecg=tuple(reasons[row] for row in rows),
        segment_flags=tuple(quality.quality_flags(measured, [row]) for row in rows) if len(rows) > 1 else (flags,),
        flags=flags,
        record=record,
        repaired=done is not None,
        silent=lead_list(measured.flat[counted].any(axis=0)) if is_odd else (),
        beats=sum(measured.beats[counted].tolist()),
        pacing_spikes=spikes,
    )


def _flag_of_rate(record: ECGRecord, measured: LeadQuality, rows: Sequence[int]) -> list[Flag]:
    """Whether everything is slower or faster than in any heart, and the rate at which it would not be."""
    known = [row for row in rows if np.isfinite(measured.time_features[row]).all()]
    if not known:
        return []
    features = measured.time_features[known].mean(axis=0)
    if not faults.time_scale_is_unusual(features, measured.beats[rows].sum()):
        return []
    shifts = {record.fs_hz: faults.distance_from_usual(features)}
    for rate in faults.plausible_rates(record.fs_hz):
        leads_uv = np.ascontiguousarray(record.signal_mv[: round(10 * rate)].T)[np.newaxis] * 1000
        downsampled = Downsampled.of(leads_uv, rate)
        average = average_beats(downsampled)
        if average.count[0] >= 2:
            there = faults.time_features(average.beat, average.interval_s, downsampled.fs_hz)[0]
            shifts[rate] = faults.distance_from_usual(there)
    likeliest = min(shifts, key=lambda rate: shifts[rate])
    if likeliest == record.fs_hz:
        return []
    per_minute = 60 / float(np.exp(features[0]))
    speed = "slow" if likeliest > record.fs_hz else "fast"
    detail = (
        f"{per_minute:.0f} beats a minute, and waves as {speed}, at {record.fs_hz:g} Hz; {likeliest:g} Hz would fit"
    )
    return [Flag("rate_suspected", (), detail)]


def _without_silenced(flags: Sequence[Flag], off: Sequence[str]) -> list[Flag]:
    """Leads that were silenced are not flat as well."""
    left = [
        replace(flag, leads=tuple(name for name in flag.leads if name not in off)) if flag.name == "flat" else flag
        for flag in flags
    ]
    return [flag for flag in left if flag.leads or flag.name != "flat"]


def _merged(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """One flag a name: the device may have noted what was found as well."""
    merged: dict[str, Flag] = {}
    for flag in flags:
        if first := merged.get(flag.name):
            # None is the whole recording.
            together = (*first.leads, *flag.leads) if first.leads and flag.leads else ()
            leads = tuple(name for name in LEADS if name in together)
            flag = Flag(flag.name, leads, f"{first.detail}; {flag.detail}")
        merged[flag.name] = flag
    return tuple(merged.values())


def _known_before(recording: Recording) -> list[Flag]:
    """What was noticed when the recording was read and put in order."""
    flags = []
    if recording.missing:
        detail = f"{max(recording.missing.values())} samples at most, filled along straight lines"
        flags.append(Flag("missing", tuple(recording.missing), detail))
    noticed = {name: Flag(name, leads, READER_FLAGS[name]) for name, leads in recording.noticed.items()}
    if any(recording.ends_cut):
        before, after = (f"{cut} samples ({cut / recording.record.fs_hz:.3g} s)" for cut in recording.ends_cut)
        detail = f"{before} at the beginning, {after} at the end, where every lead stands still or is missing"
        noticed["ends_cut"] = Flag("ends_cut", (), detail)
    return [*flags, *noticed.values()]
