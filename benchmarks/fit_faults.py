"""Fit ``leadwise/ecg/faults.json`` on folds 1-8 of an ingested PTB-XL: what is upside down, what is too slow or fast.

Upside down: a logistic regression without an intercept on the areas of the waves, each recording once as it is and once
turned over. Too fast: the weights of the shortest interval of confidence for how much everything is shifted in time.
Too slow: a linear discriminant between recordings as they are and the same at half the rate. The limits lie just beyond
the most extreme recording of folds 1-9.

    PYTHONPATH=src python benchmarks/fit_faults.py workspace/ptbxl/store
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from sklearn.linear_model import LogisticRegression

from leadwise.datasets.store import Store, open_store
from leadwise.ecg import faults, reversal
from leadwise.ecg.waves import Downsampled

TOGETHER = 200
BEYOND = 0.03
"""How far the limits are beyond the most extreme recording."""


def measured(store: Store, rows: np.ndarray, up: int = 1, down: int = 1, fs_hz: float = 100.0) -> list[np.ndarray]:
    """Areas ``(record, 24)`` and time features ``(record, 3)`` of recordings with beats, resampled, taken at a rate."""
    areas, features = [], []
    for start in range(0, len(rows), TOGETHER):
        leads = store.signals[rows[start : start + TOGETHER]].transpose(0, 2, 1).astype(np.float32)
        leads = leads if up == down else resample_poly(leads, up, down, axis=2)
        leads = leads[:, :, : round(10 * fs_hz)]
        downsampled = Downsampled.of(np.ascontiguousarray(leads), fs_hz)
        beats = reversal.average_beats(downsampled)
        enough = beats.count >= faults.FEWEST_BEATS
        areas.append(np.concatenate(list(faults.wave_areas(beats.waves).values()), axis=1)[enough])
        features.append(faults.time_features(beats.beat, beats.interval_s, downsampled.fs_hz)[enough])
    return [np.concatenate(areas), np.concatenate(features)]


def fit_inversion(areas: np.ndarray) -> dict[str, list[float]]:
    """Weights by wave."""
    regression = LogisticRegression(fit_intercept=False, max_iter=500)
    regression.fit(np.concatenate([areas, -areas]), np.repeat([False, True], len(areas)))
    weights = np.round(regression.coef_[0].astype(np.float64).reshape(len(reversal.WAVES_S), -1), 3)
    return dict(zip(reversal.WAVES_S, weights.tolist(), strict=True))


def fit_rate(usual: np.ndarray, slow: np.ndarray, others: np.ndarray) -> dict[str, object]:
    """Means, weights and limits."""
    mean, spread = usual.mean(axis=0), np.cov(usual.T)
    unit = np.linalg.solve(spread[::2, ::2], np.ones(2))
    unit = np.round([unit[0] / unit.sum(), 0, unit[1] / unit.sum()], 4)
    weights = np.linalg.solve((spread + np.cov(slow.T)) / 2, slow.mean(axis=0) - mean)
    weights = np.round(weights / np.abs(weights).sum(), 4)
    all_shifts = np.concatenate([usual, others]) - mean
    return {
        "mean": np.round(mean, 4).tolist(),
        "unit": unit.tolist(),
        "fast_limit": round(float((-all_shifts @ unit).max()) + BEYOND, 4),
        "slow": weights.tolist(),
        "slow_limit": round(float((all_shifts @ weights).max()) + BEYOND, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("store", type=Path, help="an ingested PTB-XL")
    store = open_store(parser.parse_args().store)
    rows = store.rows("train")
    areas, usual = measured(store, rows)
    # 500 Hz taken for 250 Hz.
    slow = measured(store, rows[::9], 5, 1, 250.0)[1]
    content = {
        "fitted_on": f"folds 1-8 of PTB-XL {store.manifest['release']}",
        "inversion": fit_inversion(areas),
        "rate": fit_rate(usual, slow, measured(store, store.rows("validation"))[1]),
    }
    faults.MODEL_FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
