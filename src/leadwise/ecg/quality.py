"""How good a recording is, lead by lead, and its flags: what can be wrong with one that is scored all the same.

Some recordings at a time pass through the processor's cache, in single precision: 0.3 ms each at 100 Hz. What a
measure means is said here; what is too much of it, measured on PTB-XL, is said by the suites of ``leadwise.datasets``.
How often a flag is right and what to do about it: ``docs/signal-quality.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import median
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leadwise.contract import LEADS, MICROVOLTS_PER_UNIT
from leadwise.ecg import faults, reversal
from leadwise.ecg.faults import FEWEST_BEATS, INVERTED_SCORE
from leadwise.ecg.record import LARGEST_USUAL_SPAN_MV, SMALLEST_SPAN_MV, SMALLEST_USUAL_SPAN_MV, ReaderFlag
from leadwise.ecg.reversal import REVERSALS, REVERSED, average_beats, likely_reversals, reversal_scores, wave_moments
from leadwise.ecg.waves import Downsampled, block_sums

FLAT_UV = 1000 * SMALLEST_SPAN_MV
CLIPPED_S = 0.1
"""A lead that is exactly at its own extreme for longer, beat after beat or at once, has met the device's limit."""
CLIPPED_UV = 1000.0
"""No amplifier ends nearer to the mean; there, an extreme is the resting line of a lead that points one way only."""
WANDER_HZ = 0.5
"""The baseline is what lies below: the slowest heart beats, 40 a minute, stay above."""
MAINS_HZ = (50.0, 60.0)
QUIET_SHARE = 0.2
NOISE_BLOCK_S = 0.1
_BLOCK = 8
"""Recordings measured at a time: 0.4 MB at 100 Hz, 2 MB at 500 Hz."""


@dataclass(frozen=True)
class LeadQuality:
    """What was measured; ``(record, 12)`` in the order of ``LEADS`` unless said otherwise.

    Missing samples count as the mean of their lead, so that a lead without any sample is flat.

    Attributes:
        missing: samples that are no finite number.
        lowest_uv: smallest sample, in microvolts.
        highest_uv: largest sample, in microvolts.
        steepest_uv_per_ms: largest difference of two neighbouring samples, per millisecond.
        at_extreme_s: seconds spent exactly at the largest or at the smallest sample, whichever is longer, if it is
            ``CLIPPED_UV`` or more from the mean; else 0.
        wander_uv: range of the part below ``WANDER_HZ``.
        hum_uv: amplitude at 50 or 60 Hz, the larger one: the median over the seconds of the recording. At 100 Hz only
            50 Hz can be seen, and of that, what the filter of the device has left.
        noise_uv: standard deviation of white noise that would be as rough as the quiet fifth of the recording.
        limb_leads_uv: ``(record,)`` largest \\|I + III - II\\| (Einthoven 1912).
        augmented_leads_uv: ``(record,)`` largest \\|aVR + aVL + aVF\\| (Goldberger 1942).
        reversal_score: ``(record, 10)`` of each reversal of electrodes in the order of ``reversal.REVERSALS``.
        deviation_uv: ``(record, 8)`` standard deviation of ``INDEPENDENT_LEADS`` at about 100 Hz.
        plateau_s: seconds at plateaus exactly at an extreme that are entered steeply (``faults.clipped_plateaus``).
        beats: ``(record,)`` heart beats that were found.
        inversion_score: ``(record,)`` how much it looks upside down (``faults.inversion_scores``).
        time_features: ``(record, 3)`` how slow everything is (``faults.time_features``).
    """

    missing: np.ndarray
    lowest_uv: np.ndarray
    highest_uv: np.ndarray
    steepest_uv_per_ms: np.ndarray
    at_extreme_s: np.ndarray
    wander_uv: np.ndarray
    hum_uv: np.ndarray
    noise_uv: np.ndarray
    limb_leads_uv: np.ndarray
    augmented_leads_uv: np.ndarray
    reversal_score: np.ndarray
    deviation_uv: np.ndarray
    plateau_s: np.ndarray
    beats: np.ndarray
    inversion_score: np.ndarray
    time_features: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """``(record, 12)`` bool: the lead spans less than ``FLAT_UV``, half a millimetre on paper."""
        return self.highest_uv - self.lowest_uv < FLAT_UV

    @property
    def clipped(self) -> np.ndarray:
        """``(record, 12)`` bool."""
        return (self.at_extreme_s > CLIPPED_S) | (self.plateau_s > 0)


def quality_summary(signals: np.ndarray, fs_hz: float) -> pd.DataFrame:
    """One row per recording: the worst lead's value of each measure, and the names of leads that are flat or clipped.

    Columns: ``missing_samples``, ``largest_mv``, ``largest_lead``, ``flat_leads``, ``clipped_leads`` (``V5, V6``),
    ``steepest_mv_per_ms``, ``baseline_mv``, ``hum_uv``, ``noise_uv``, ``limb_leads_uv``, ``augmented_leads_uv``,
    ``limb_reversal`` and ``chest_reversal`` (the likely reversal of electrodes, ``LA-RA``; text, empty if none).

    Args:
        signals: ``(record, time, 12)`` in microvolts, leads in the order of ``LEADS``; NaN where a sample is missing.
            5 s or more.
        fs_hz: sampling rate in Hz, 50 or more.
    """
    measured = lead_quality(signals, fs_hz)
    largest_uv = np.maximum(measured.highest_uv, -measured.lowest_uv)
    limb_reversal, chest_reversal = likely_reversals(measured.reversal_score)
    return pd.DataFrame(
        {
            "missing_samples": measured.missing.sum(axis=1),
            "largest_mv": largest_uv.max(axis=1, initial=0) / 1000,
            "largest_lead": np.array(LEADS, dtype=object)[largest_uv.argmax(axis=1)],
            "flat_leads": lead_names(measured.flat),
            "clipped_leads": lead_names(measured.clipped),
            "steepest_mv_per_ms": measured.steepest_uv_per_ms.max(axis=1) / 1000,
            "baseline_mv": measured.wander_uv.max(axis=1) / 1000,
            "hum_uv": measured.hum_uv.max(axis=1),
            "noise_uv": measured.noise_uv.max(axis=1),
            "limb_leads_uv": measured.limb_leads_uv,
            "augmented_leads_uv": measured.augmented_leads_uv,
            "limb_reversal": limb_reversal,
            "chest_reversal": chest_reversal,
        }
    )


def lead_names(marked: np.ndarray) -> np.ndarray:
    """``(record, 12)`` bool to ``(record,)`` text, ``V5, V6``."""
    text = np.full(len(marked), "", dtype=object)
    for record in np.flatnonzero(marked.any(axis=1)):
        text[record] = ", ".join(lead_list(marked[record]))
    return text


def lead_list(marked: ArrayLike) -> tuple[str, ...]:
    """Names of the leads that ``(12,)`` bool marks."""
    return tuple(name for name, is_marked in zip(LEADS, np.asarray(marked).tolist(), strict=True) if is_marked)


def lead_quality(signals: np.ndarray, fs_hz: float) -> LeadQuality:
    """Measure every lead; see ``quality_summary`` for the arguments."""
    blocks = [signals[start : start + _BLOCK] for start in range(0, max(len(signals), 1), _BLOCK)]
    parts = [_measure(block, fs_hz) for block in blocks]
    names = [field.name for field in fields(LeadQuality)]
    return LeadQuality(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _measure(signals: np.ndarray, fs_hz: float) -> LeadQuality:
    leads = np.ascontiguousarray(signals.transpose(0, 2, 1), dtype=np.float32)
    leads *= np.float32(MICROVOLTS_PER_UNIT)
    missing = np.zeros(leads.shape[:2], dtype=np.int64)
    if np.issubdtype(signals.dtype, np.floating):
        leads, missing = _filled(leads)
    return measure_leads(leads, fs_hz, missing, Downsampled.of(leads, fs_hz))


def measure_leads(leads: np.ndarray, fs_hz: float, missing: np.ndarray, downsampled: Downsampled) -> LeadQuality:
    """Measure ``(record, 12, time)`` float32 in microvolts, of which ``(record, 12)`` samples were missing."""
    before, extremes, after = _at_extremes(leads)
    lowest, highest = extremes
    slopes = leads[:, :, 1:] - leads[:, :, :-1]
    has_signal = bool(len(leads))
    beats = average_beats(downsampled)
    found = reversal_scores(wave_moments(beats.waves), reversal.bundled_model()) if has_signal else None
    return LeadQuality(
        missing=missing,
        lowest_uv=lowest,
        highest_uv=highest,
        steepest_uv_per_ms=np.maximum(slopes.max(axis=2), -slopes.min(axis=2)) * np.float32(fs_hz / 1000),
        at_extreme_s=_at_extreme(leads, lowest, highest) / fs_hz,
        wander_uv=np.ptp(_below(downsampled, WANDER_HZ), axis=2),
        hum_uv=_hum(leads, fs_hz),
        noise_uv=_noise(downsampled),
        limb_leads_uv=np.abs(leads[:, 0] + leads[:, 2] - leads[:, 1]).max(axis=1),
        augmented_leads_uv=np.abs(leads[:, 3] + leads[:, 4] + leads[:, 5]).max(axis=1),
        reversal_score=np.zeros((0, len(REVERSALS))) if found is None else found,
        deviation_uv=np.sqrt(
            np.einsum("rlt,rlt->rl", downsampled.independent, downsampled.independent) / downsampled.leads.shape[2]
        ),
        plateau_s=_plateaus(leads, fs_hz, before, extremes, after),
        beats=beats.count,
        inversion_score=faults.inversion_scores(beats.waves),
        time_features=faults.time_features(beats.beat, beats.interval_s, downsampled.fs_hz),
    )


def _at_extremes(leads: np.ndarray) -> np.ndarray:
    """``(3, 2, record, 12)``: the first lowest and the first highest sample of each lead, between their neighbours."""
    at = np.stack([leads.argmin(axis=2), leads.argmax(axis=2)])
    places = np.stack([np.maximum(at - 1, 0), at, np.minimum(at + 1, leads.shape[2] - 1)])
    records, names = np.ogrid[: leads.shape[0], : leads.shape[1]]
    return np.asarray(leads[records, names, places])


def _plateaus(
    leads: np.ndarray, fs_hz: float, before: np.ndarray, extremes: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """``LeadQuality.plateau_s``; looked for where a lead's first extreme is entered steeply and kept."""
    steep = np.abs(before - extremes) > faults.STEEP_SHARE * (extremes[1] - extremes[0])
    seconds = np.zeros(leads.shape[:2])
    for record, lead in zip(*((after == extremes) & steep).any(axis=0).nonzero(), strict=True):
        seconds[record, lead] = faults.clipped_plateaus(leads[record, lead], fs_hz)
    return seconds


def _filled(leads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Missing samples replaced by the mean of their lead, 0 where it has none; and how many there were."""
    missing = ~np.isfinite(leads)
    count = missing.sum(axis=2)
    if not count.any():
        return leads, count
    total = np.where(missing, 0, leads).sum(axis=2) / np.maximum(leads.shape[2] - count, 1)
    return np.where(missing, total[:, :, np.newaxis], leads).astype(np.float32), count


def _at_extreme(leads: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Samples exactly at the largest or smallest value, where that is far from the mean."""
    mean = leads.mean(axis=2)
    count = np.zeros(lowest.shape, dtype=np.int64)
    for extreme in (lowest, highest):
        # Few leads have one: counting in all of them takes as long as all else that is measured.
        far = np.abs(extreme - mean) >= CLIPPED_UV
        count[far] = np.maximum(count[far], (leads[far] == extreme[far][:, np.newaxis]).sum(axis=1))
    return count


def _below(downsampled: Downsampled, limit_hz: float) -> np.ndarray:
    """The part below a frequency, at about 10 Hz: its first cosines (DCT-II), which a drift does not disturb."""
    slow = block_sums(downsampled.leads, factor := max(1, round(downsampled.fs_hz / 10))) / np.float32(factor)
    waves = cosines(slow.shape[2], int(2 * limit_hz * slow.shape[2] * factor / downsampled.fs_hz))
    return (slow @ waves) @ waves.T


@lru_cache(maxsize=8)
def cosines(time: int, count: int) -> np.ndarray:
    """``(time, count)``: the first cosines after the constant, each of norm 1."""
    waves = np.cos(np.pi / time * np.outer(np.arange(time) + 0.5, np.arange(1, count + 1)))
    return (waves * np.sqrt(2 / time)).astype(np.float32)


def _hum(leads: np.ndarray, fs_hz: float) -> np.ndarray:
    """Amplitude at the mains frequency: of the two, the larger median over whole seconds, seen through Hann windows."""
    second = min(round(fs_hz), leads.shape[2])
    seconds = leads.shape[2] // second
    by_second = leads[:, :, : seconds * second].reshape(*leads.shape[:2], seconds, second)
    largest = np.zeros(leads.shape[:2], dtype=np.float32)
    for mains_hz in MAINS_HZ:
        if mains_hz > fs_hz / 2:
            continue
        parts = by_second @ _windowed_waves(second, mains_hz / fs_hz)
        sizes = np.sort(np.hypot(parts[..., 0], parts[..., 1]), axis=2)
        largest = np.maximum(largest, (sizes[..., (seconds - 1) // 2] + sizes[..., seconds // 2]) / 2)
    return largest


@lru_cache(maxsize=8)
def _windowed_waves(samples: int, cycles_per_sample: float) -> np.ndarray:
    """``(samples, 2)``: cosine and sine under a Hann window; their products with a wave are parts of its amplitude."""
    window = np.hanning(samples + 1)[:-1]
    # At half the sampling rate the sine is nothing, and the cosine weighs twice.
    scale = (1 if cycles_per_sample == 0.5 else 2) / window.sum()
    phase = 2 * np.pi * cycles_per_sample * np.arange(samples)
    waves = np.stack([np.cos(phase), np.sin(phase)], axis=1) * window[:, np.newaxis] * scale
    return waves.astype(np.float32)


def _noise(downsampled: Downsampled) -> np.ndarray:
    """From the mean size of the differences of neighbouring slopes, in the blocks where it is smallest."""
    size = max(1, round(NOISE_BLOCK_S * downsampled.fs_hz))
    means = block_sums(downsampled.bends, size) / np.float32(size)
    place = int(QUIET_SHARE * means.shape[2])
    quiet = np.partition(means, place, axis=2)[:, :, place]
    # White noise of standard deviation 1 has second differences of mean size sqrt(6 * 2 / pi).
    return quiet / np.float32(np.sqrt(12 / np.pi))


FlagName = (
    Literal["flat", "missing", "noisy", "mains_hum", "baseline_wander", "clipped", "limb_leads_swapped"]
    | Literal["chest_leads_swapped", "inverted", "leads_disagree", "units_suspected", "scaled_lead_by_lead"]
    | ReaderFlag
)


@dataclass(frozen=True)
class Flag:
    """One thing that is wrong.

    Attributes:
        name: what.
        leads: where; empty where it is the whole recording.
        detail: how much of it, and what is usual.
    """

    name: FlagName
    leads: tuple[str, ...]
    detail: str


NOISY_UV = 60.0
"""As ``LeadQuality.noise_uv``; 99 % of PTB-XL stay below 26."""
HUM_UV = 100.0
"""Amplitude: on paper, a line of 2 mm instead of a thin one."""
DISAGREEING_UV = 500.0
"""I + III - II is 0 in a heart; beyond half a millivolt, leads are misnamed, or scaled one by one."""
LIMB_LEADS = LEADS[:6]


def may_be_flagged(measured: LeadQuality) -> np.ndarray:
    """``(segment,)``: where ``quality_flags`` may find something, but for reversals and inversion; all at once."""
    middle = len(LEADS) // 2
    spans_uv = np.sort(measured.highest_uv - measured.lowest_uv, axis=1)
    typical_uv = spans_uv[:, middle - 1 : middle + 1].mean(axis=1)
    return np.asarray(
        (measured.flat | (measured.noise_uv > NOISY_UV) | measured.clipped).any(axis=1)
        | (np.maximum(measured.limb_leads_uv, measured.augmented_leads_uv) > DISAGREEING_UV)
        | (typical_uv < 1000 * SMALLEST_USUAL_SPAN_MV)
        | (typical_uv > 1000 * LARGEST_USUAL_SPAN_MV)
    )


def quality_flags(measured: LeadQuality, rows: Sequence[int]) -> tuple[Flag, ...]:
    """The flags of one recording from the rows of ``(segment, 12)`` that are its segments and count.

    A lead is flat if it is so in every segment, clipped if in any; noise, hum and spans are medians over the segments,
    scores of reversed electrodes means.
    """
    flags = []
    spans_uv = _typical(measured.highest_uv - measured.lowest_uv, rows)
    flat = np.asarray(measured.flat[rows].all(axis=0))
    if flat.any():
        detail = f"spans {spans_uv[flat].max():.0f} uV at most: no heart beat is there"
        flags.append(Flag("flat", lead_list(flat), detail))
    noise_uv = _typical(measured.noise_uv, rows)
    if (noisy := noise_uv > NOISY_UV).any():
        detail = f"{noise_uv.max():.0f} uV in {LEADS[int(noise_uv.argmax())]}; up to {NOISY_UV:g} uV is usual"
        flags.append(Flag("noisy", lead_list(noisy), detail))
    clipped = np.asarray(measured.clipped[rows].any(axis=0))
    if clipped.any():
        longest = float(np.maximum(measured.at_extreme_s[rows], measured.plateau_s[rows])[:, clipped].max())
        detail = f"{longest:.2g} s exactly at an extreme; up to {CLIPPED_S:g} s is usual"
        flags.append(Flag("clipped", lead_list(clipped), detail))
    limb, chest = likely_reversals(measured.reversal_score[rows].mean(axis=0, keepdims=True))
    if limb[0]:
        flags.append(Flag("limb_leads_swapped", LIMB_LEADS, f"the electrodes {limb[0]} look reversed"))
    if chest[0] == REVERSED:
        flags.append(Flag("chest_leads_swapped", LEADS[6:], "the chest leads look as in reverse order, V6 to V1"))
    elif chest[0]:
        leads = tuple(chest[0].split("-"))
        flags.append(Flag("chest_leads_swapped", leads, f"the electrodes {chest[0]} look reversed"))
    score = float(np.median(measured.inversion_score[rows]))
    if score > INVERTED_SCORE and not measured.flat[rows].any() and measured.beats[rows].sum() >= FEWEST_BEATS:
        detail = f"P waves, QRS complexes and T waves look turned over in all leads ({score:.1f})"
        flags.append(Flag("inverted", (), detail))
    return (*flags, *_of_all_leads(measured, rows, spans_uv[~flat] / 1000))


def _of_all_leads(measured: LeadQuality, rows: Sequence[int], spans_mv: np.ndarray) -> list[Flag]:
    flags = []
    off_uv = np.maximum(measured.limb_leads_uv[rows], measured.augmented_leads_uv[rows]).max()
    if off_uv > DISAGREEING_UV:
        detail = (
            f"I + III - II or aVR + aVL + aVF reaches {off_uv / 1000:.2g} mV: leads misnamed, or scaled one by one?"
        )
        flags.append(Flag("leads_disagree", LIMB_LEADS, detail))
    typical = median(spans_mv.tolist()) if len(spans_mv) else SMALLEST_USUAL_SPAN_MV
    if not SMALLEST_USUAL_SPAN_MV <= typical <= LARGEST_USUAL_SPAN_MV:
        usual = f"{SMALLEST_USUAL_SPAN_MV:g} to {LARGEST_USUAL_SPAN_MV:g} mV is usual"
        flags.append(Flag("units_suspected", (), f"the leads span {typical:.3g} mV in the median; {usual}"))
    return flags


def _typical(values: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """``(lead,)`` median over the segments."""
    return values[rows[0]] if len(rows) == 1 else np.median(values[rows], axis=0)
