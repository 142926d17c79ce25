"""Noise as it arises at electrodes: by itself, of strength 1, for whoever adds it to a recording."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

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
    """``(record, time, electrode)`` float32 of slow waves with standard deviation 1 over long stretches.

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
