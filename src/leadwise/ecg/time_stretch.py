"""Windows of recordings in which time runs a little faster or slower: what a heart rate nearby would look like.

A few percent only: a QRS complex of 115 ms must not become one of 130 ms, which is another diagnosis.
"""

import numpy as np
from numpy.typing import NDArray

TAPS = (-1, 0, 1, 2)


def random_speeds(
    records: int, samples: int, window: int, largest: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw how fast time runs in each window, and where it begins.

    Args:
        records: how many windows.
        samples: of a whole recording.
        window: samples of a window.
        largest: speeds lie between ``1 - largest`` and ``1 + largest``, as far as the recording is long enough.
        generator: what draws.

    Returns:
        Speeds ``(records,)``, and first places ``(records,)`` in samples, not whole ones; the window lies inside the
        recording.
    """
    longest = (samples - 1) / max(window - 1, 1)
    speeds = np.minimum(generator.uniform(1 - largest, 1 + largest, records), longest)
    return speeds, generator.uniform(0, 1, records) * (samples - 1 - speeds * (window - 1))


def stretched_windows(signals: np.ndarray, begins: np.ndarray, speeds: np.ndarray, window: int) -> NDArray[np.float32]:
    """Windows ``(record, window, lead)`` float32, in the unit of ``signals``, read between the samples.

    By cubic convolution (Keys 1981): straight lines would take three tenths of what lies at 25 Hz, halfway between two
    samples.

    Args:
        signals: ``(record, time, lead)``.
        begins: ``(record,)`` place of each window's first sample, in samples.
        speeds: ``(record,)`` samples of the recording per sample of the window.
        window: samples of a window.
    """
    places = begins[:, np.newaxis] + speeds[:, np.newaxis] * np.arange(window)
    whole = np.clip(np.floor(places).astype(np.intp), 0, signals.shape[1] - 2)
    weights = _cubic_weights((places - whole).astype(np.float32))
    record = np.arange(len(signals))[:, np.newaxis]
    windows = np.zeros((len(signals), window, signals.shape[2]), dtype=np.float32)
    for tap, weight in zip(TAPS, weights, strict=True):
        windows += weight[:, :, np.newaxis] * signals[record, np.clip(whole + tap, 0, signals.shape[1] - 1)]
    return windows


def _cubic_weights(t: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Weights of the samples at ``TAPS`` for a place ``t`` behind the one at 0, from 0 to 1."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
