"""Disturbances that leave the diagnosis as it is: for training, and to measure robustness.

Nothing here turns a lead round or exchanges two of them, as that changes what the recording says.
"""

from dataclasses import dataclass

import numpy as np

from leadwise.contract import FS_HZ

WANDER_HZ = (0.05, 0.5)
"""Baseline wander by breathing and movement lies below 0.5 Hz (IEC 60601-2-25 tests filters there)."""
WANDER_WAVES = 3


@dataclass(frozen=True)
class Augmentation:
    """How strongly a batch of standardised signals is disturbed; 0 everywhere leaves it as it is.

    Attributes:
        gain: amplitudes of a record are multiplied by a factor between ``1 - gain`` and ``1 + gain``.
        noise_sd: standard deviation of white noise, in standard deviations of the signal.
        wander_sd: standard deviation of baseline wander in the same unit, different in every lead.
        lead_dropout: share of leads that become silent.
    """

    gain: float = 0.0
    noise_sd: float = 0.0
    wander_sd: float = 0.0
    lead_dropout: float = 0.0

    def apply(self, signal: np.ndarray, generator: np.random.Generator, fs_hz: float = FS_HZ) -> np.ndarray:
        """Disturb ``(record, time, lead)`` float32; the array is changed in place and returned."""
        records, _, leads = signal.shape
        if self.gain:
            signal *= generator.uniform(1 - self.gain, 1 + self.gain, (records, 1, 1)).astype(np.float32)
        if self.wander_sd:
            signal += self.wander_sd * baseline_wander(signal.shape, fs_hz, generator)
        if self.noise_sd:
            signal += np.float32(self.noise_sd) * generator.standard_normal(signal.shape, dtype=np.float32)
        if self.lead_dropout:
            signal *= generator.random((records, 1, leads), dtype=np.float32) >= self.lead_dropout
        return signal


def baseline_wander(shape: tuple[int, ...], fs_hz: float, generator: np.random.Generator) -> np.ndarray:
    """``(record, time, lead)`` float32 of slow waves with standard deviation 1 over long stretches.

    A record's waves share their frequencies; their phases and strengths differ from lead to lead.
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


def mix_weights(records: int, alpha: float, generator: np.random.Generator) -> np.ndarray:
    """``(record,)`` float32 share of a record's own signal in mixup (Zhang et al. 2018), at least one half."""
    shares = generator.beta(alpha, alpha, records)
    return np.maximum(shares, 1 - shares).astype(np.float32)
