"""Corruptions of known strength, to measure how much of them an answer survives.

All take recordings ``(record, time, 12)`` float32 in mV, leads in the order of ``LEADS``, and return new ones; what is
random comes from the generator alone and is drawn alike for every strength, so that a record's corruption of twice
the strength is twice the same one. Noise, wander and hum arise at the nine electrodes, so that the six limb leads go
on obeying Einthoven's law. Strengths in mV are root mean squares over the 12 leads unless said otherwise.

Such a corruption may change what the recording says: reversed electrodes do. An ``Augmentation``, drawn anew for every
record of a training batch, leaves the diagnosis as it is: it turns no lead round and reverses no two of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from leadwise.contract import FS_HZ, LEADS
from leadwise.ecg.record import INDEPENDENT_COLUMNS, INDEPENDENT_LEADS, arrange_leads, resample
from leadwise.ecg.reversal import ELECTRODES, lead_noise, reversal_matrix
from leadwise.ecg.waves import average_beat

MUSCLE_HZ = (5.0, 20.0)
"""Muscle noise sets in between these; above, it is white as far as the recording goes (surface EMG: 20 to 500 Hz)."""
TENSION_SD = 0.5
"""Standard deviation of the logarithm of muscle noise's slowly changing strength."""
WANDER_HZ = (0.05, 0.5)
"""Baseline wander by breathing and movement lies below 0.5 Hz (IEC 60601-2-25 tests filters there)."""
WANDER_WAVES = 3


def white_noise(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise without memory, standard deviation 1, as amplifiers make it."""
    return generator.standard_normal(shape, dtype=np.float32)


def muscle_noise(shape: tuple[int, int, int], fs_hz: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """``(record, time, electrode)`` of noise from ``MUSCLE_HZ`` on, rising and falling at all electrodes together.

    Its strength is near 1 and differs from record to record.
    """
    records, samples, _ = shape
    spectrum = rfft(white_noise(shape, generator), axis=1)
    low, high = MUSCLE_HZ
    hertz = np.fft.rfftfreq(samples, 1 / fs_hz)
    spectrum *= np.clip((hertz - low) / (high - low), 0, 1).astype(np.float32)[:, np.newaxis]
    tension = np.exp(TENSION_SD * baseline_wander((records, samples, 1), fs_hz, generator))
    return np.asarray(irfft(spectrum, samples, axis=1) * tension, dtype=np.float32)


def baseline_wander(shape: tuple[int, ...], fs_hz: float, generator: np.random.Generator) -> np.ndarray:
    """``(record, time, electrode)`` float32 of slow waves with standard deviation 1 over long times.

    A record's waves share their frequencies; their phases and strengths differ from one electrode to the other.
    """
    records, samples, leads = shape
    hertz = generator.uniform(*WANDER_HZ, (records, WANDER_WAVES)).astype(np.float32)
    phase = generator.uniform(0, 2 * np.pi, (records, WANDER_WAVES, leads)).astype(np.float32)
    strength = generator.standard_normal((records, WANDER_WAVES, leads), dtype=np.float32)
    seconds = np.arange(samples, dtype=np.float32) / np.float32(fs_hz)
    turns = 2 * np.pi * hertz[:, np.newaxis, :] * seconds[:, np.newaxis]
    # sin(a + b) as two products: the waves of all leads come from two small matrix products per record.
    waves = np.sin(turns) @ (np.cos(phase) * strength) + np.cos(turns) @ (np.sin(phase) * strength)
    return np.asarray(waves * np.float32(np.sqrt(2 / WANDER_WAVES)), dtype=np.float32)


Signals = NDArray[np.float32]

MAINS_HZ, MAINS_TOLERANCE_HZ = 50.0, 0.05
"""European grids are normally within 0.05 Hz of it."""
DEVICE_HZ = 500.0
"""The rate at which hum is recorded before it is brought to the rate of the model."""
QRS_HALF_S = 0.1
"""A QRS complex, wide ones too, lies within this of its steepest place."""


def add_white_noise(signal_mv: Signals, rms_mv: float, generator: np.random.Generator) -> Signals:
    """Gaussian noise without memory, as amplifiers make it: in mV, as it knows nothing of the heart's amplitude."""
    return signal_mv + np.float32(rms_mv) * lead_noise(white_noise(_electrodes(signal_mv), generator))


def add_muscle_noise(
    signal_mv: Signals, snr_db: float, generator: np.random.Generator, fs_hz: float = FS_HZ
) -> Signals:
    """Muscle noise as far below the QRS complexes as asked, in dB; infinite: none.

    The ratio is that of the MIT-BIH Noise Stress Test Database (Moody et al., Computers in Cardiology 1984; the
    program ``nst`` of WFDB), so that curves can be set beside published ones: 10 log10(S / N), S from ``qrs_power``
    and N the mean square of the noise, here over all leads of a record together, as one gain per lead would break
    Einthoven's law. Every record has exactly the asked ratio.
    """
    noise = lead_noise(muscle_noise(_electrodes(signal_mv), fs_hz, generator))
    power = np.square(noise).mean(axis=(1, 2)) * np.float32(10 ** (snr_db / 10))
    gain = np.sqrt(qrs_power(signal_mv, fs_hz) / power)
    return signal_mv + gain[:, np.newaxis, np.newaxis].astype(np.float32) * noise


def qrs_power(signal_mv: Signals, fs_hz: float = FS_HZ) -> NDArray[np.float32]:
    """``(record,)`` in mV^2: peak-to-peak amplitude of the average QRS complex, squared, over 8; mean of the leads.

    The power of a sine of that amplitude; ``nst`` takes the mean amplitude of the beats, not that of the mean beat.
    Where no beat is found it is the variance of the recording.
    """
    beat, count = average_beat(signal_mv.transpose(0, 2, 1), fs_hz, QRS_HALF_S, QRS_HALF_S + 1 / fs_hz)
    power = np.square(np.ptp(beat, axis=2)).mean(axis=1) / 8
    return np.asarray(np.where(count > 0, power, signal_mv.var(axis=1).mean(axis=1)), dtype=np.float32)


def add_baseline_wander(
    signal_mv: Signals, rms_mv: float, generator: np.random.Generator, fs_hz: float = FS_HZ
) -> Signals:
    """Slow waves of 0.05 to 0.5 Hz at each electrode, as breathing and movement make them."""
    wander = baseline_wander(_electrodes(signal_mv), fs_hz, generator)
    return signal_mv + np.float32(rms_mv) * lead_noise(wander)


def add_mains_hum(
    signal_mv: Signals, amplitude_mv: float, generator: np.random.Generator, fs_hz: float = FS_HZ
) -> Signals:
    """50 Hz hum as a recording at ``DEVICE_HZ`` holds it that is then brought to ``fs_hz``.

    At 100 Hz, 50 Hz is the Nyquist frequency: of a hum there, resampling leaves about half, beating slowly as the grid
    is never at exactly 50 Hz. As resampling is linear, it is enough to resample the hum and add it. 60 Hz leaves
    nothing at that rate, so that 50 Hz is the worse case.

    Args:
        amplitude_mv: half of the peak-to-peak amplitude at ``DEVICE_HZ``, root mean square over the leads; the
            electrodes differ, one phase is common to all.
    """
    records, samples, _ = signal_mv.shape
    hertz = MAINS_HZ + generator.uniform(-MAINS_TOLERANCE_HZ, MAINS_TOLERANCE_HZ, records)
    phase = generator.uniform(0, 2 * np.pi, records)
    strength = lead_noise(generator.standard_normal((records, len(ELECTRODES)), dtype=np.float32))
    seconds = np.arange(int(np.ceil(samples * DEVICE_HZ / fs_hz))) / DEVICE_HZ
    hum = resample(np.cos(2 * np.pi * np.outer(seconds, hertz) + phase), DEVICE_HZ, fs_hz)[:samples]
    return signal_mv + np.float32(amplitude_mv) * hum.T.astype(np.float32)[:, :, np.newaxis] * strength[:, np.newaxis]


def silence_leads(signal_mv: Signals, count: int, generator: np.random.Generator) -> Signals:
    """As many leads of each record as asked are 0, drawn at random: loose or forgotten cables."""
    rank = generator.random((len(signal_mv), len(LEADS))).argsort(axis=1).argsort(axis=1)
    return np.where((rank < count)[:, np.newaxis], np.float32(0), signal_mv)


def keep_leads(signal_mv: Signals, leads: tuple[str, ...]) -> Signals:
    """All leads but the named ones are 0."""
    return signal_mv * np.isin(LEADS, leads).astype(np.float32)


def reverse_electrodes(signal_mv: Signals, reversal: str) -> Signals:
    """What is recorded with two electrodes reversed, such as ``LA-RA``: every lead that they have a part in.

    The four leads that follow from I and II are computed from them, also where the recording had them otherwise.
    """
    matrix = reversal_matrix(reversal).astype(np.float32)
    recorded = signal_mv[:, :, INDEPENDENT_COLUMNS].reshape(-1, len(matrix)) @ matrix.T
    return np.asarray(arrange_leads(recorded, INDEPENDENT_LEADS)[0].reshape(signal_mv.shape), dtype=np.float32)


def lower_rate(signal_mv: Signals, rate_hz: float, fs_hz: float = FS_HZ) -> Signals:
    """What is left of a recording that was sampled at a lower rate, brought back to ``fs_hz`` as every input is."""
    records, samples, leads = signal_mv.shape
    columns = signal_mv.transpose(1, 0, 2).reshape(samples, -1)
    back = resample(resample(columns, fs_hz, rate_hz), rate_hz, fs_hz)[:samples]
    return back.reshape(samples, records, leads).transpose(1, 0, 2).astype(np.float32)


def shorten(signal_mv: Signals, seconds: float, generator: np.random.Generator, fs_hz: float = FS_HZ) -> Signals:
    """``(record, seconds * fs_hz, 12)``: a segment of each record at a random place; a longer one holds the shorter."""
    records, samples, _ = signal_mv.shape
    kept = round(seconds * fs_hz)
    starts = np.round(generator.random(records) * (samples - kept)).astype(int)
    return signal_mv[np.arange(records)[:, np.newaxis], starts[:, np.newaxis] + np.arange(kept)]


def _electrodes(signal_mv: Signals) -> tuple[int, int, int]:
    records, samples, _ = signal_mv.shape
    return records, samples, len(ELECTRODES)


KIND_SHARE = 0.5
"""Share of the corrupted records that each kind of corruption is added to: many have one, some all of them."""
CHEST_SHARE = 0.25
"""Share of the records with dropped leads in which it is all six chest leads, as on a monitor."""
CHEST = np.array([lead.startswith("V") for lead in LEADS])


@dataclass(frozen=True)
class Augmentation:
    """How strongly the recordings of a batch are corrupted; 0 everywhere leaves them as they are.

    Strengths are the highest: a record gets one between 0 and that. Noise, wander and hum arise at the electrodes, so
    that the limb leads go on obeying Einthoven's law.

    Attributes:
        amplitude_scale: every record is multiplied by a factor between 1 minus this and 1 plus this.
        white_noise_mv: root mean square of white noise, the same in every record, independent in every lead.
        augment_prob: share of the records that any of the following is added to.
        noise_mv: root mean square of white noise or of muscle noise, as often one as the other.
        wander_mv: root mean square of baseline wander.
        hum_mv: amplitude of 50 Hz hum as a device at 500 Hz would record it.
        lead_dropout: number of leads that are 0, at random, or else the six chest leads.
    """

    amplitude_scale: float = 0.0
    white_noise_mv: float = 0.0
    augment_prob: float = 0.0
    noise_mv: float = 0.0
    wander_mv: float = 0.0
    hum_mv: float = 0.0
    lead_dropout: int = 0

    def apply(self, signal_mv: Signals, generator: np.random.Generator, fs_hz: float = FS_HZ) -> Signals:
        """Corrupt ``(record, time, 12)`` float32 in mV; the array is changed in place and returned."""
        records = len(signal_mv)
        if scale := self.amplitude_scale:
            signal_mv *= generator.uniform(1 - scale, 1 + scale, (records, 1, 1)).astype(np.float32)
        if self.white_noise_mv:
            signal_mv += np.float32(self.white_noise_mv) * white_noise(signal_mv.shape, generator)
        if self.augment_prob:
            self._corrupt(signal_mv, generator, fs_hz)
        return signal_mv

    def _corrupt(self, signal_mv: Signals, generator: np.random.Generator, fs_hz: float) -> None:
        corrupted = generator.random(len(signal_mv)) < self.augment_prob

        def some() -> NDArray[np.int64]:
            return np.flatnonzero(corrupted & (generator.random(len(signal_mv)) < KIND_SHARE))

        def strength(chosen: NDArray[np.int64], highest: float) -> Signals:
            return generator.uniform(0, highest, (len(chosen), 1, 1)).astype(np.float32)

        samples = signal_mv.shape[1]
        if self.noise_mv:
            chosen = some()
            shape = (len(chosen), samples, len(ELECTRODES))
            muscle = generator.random((len(chosen), 1, 1)) < 0.5
            noise = np.where(muscle, muscle_noise(shape, fs_hz, generator), white_noise(shape, generator))
            signal_mv[chosen] += strength(chosen, self.noise_mv) * lead_noise(noise)
        if self.wander_mv:
            chosen = some()
            wander = baseline_wander((len(chosen), samples, len(ELECTRODES)), fs_hz, generator)
            signal_mv[chosen] += strength(chosen, self.wander_mv) * lead_noise(wander)
        if self.hum_mv:
            chosen = some()
            hum = add_mains_hum(np.zeros((len(chosen), samples, len(LEADS)), np.float32), 1.0, generator, fs_hz)
            signal_mv[chosen] += strength(chosen, self.hum_mv) * hum
        if self.lead_dropout:
            chosen = some()
            signal_mv[chosen] *= self._heard(len(chosen), generator)[:, np.newaxis]

    def _heard(self, records: int, generator: np.random.Generator) -> Signals:
        """``(record, 12)`` of 1 and 0: which leads are heard."""
        rank = generator.random((records, len(LEADS))).argsort(axis=1).argsort(axis=1)
        silent = rank < generator.integers(1, self.lead_dropout, (records, 1), endpoint=True)
        limbs_only = generator.random((records, 1)) < CHEST_SHARE
        return (~np.where(limbs_only, CHEST, silent)).astype(np.float32)


def mix_weights(records: int, alpha: float, generator: np.random.Generator) -> np.ndarray:
    """``(record,)`` float32 share of a record's own signal in mixup (Zhang et al. 2018), at least one half."""
    shares = generator.beta(alpha, alpha, records)
    return np.maximum(shares, 1 - shares).astype(np.float32)
