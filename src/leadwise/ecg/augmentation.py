"""Corruptions that leave the diagnosis as it is, drawn anew for every record of a training batch.

Nothing here turns a lead round or exchanges two of them, as that changes what the recording says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import FS_HZ, LEADS
from leadwise.ecg.noise import Signals, add_mains_hum, baseline_wander, muscle_noise, white_noise
from leadwise.ecg.reversal import ELECTRODES, lead_noise

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
