"""How often a reversal of electrodes is noticed, and how often one is seen where nobody made one.

Two electrodes are reversed, by arithmetic, in every recording of folds 9 and 10 of an ingested PTB-XL; a share of
"flagged as recorded" are true reversals, as the data set holds some. With ``--fit``, ``reversal.json`` is fitted on
folds 1-8 first.

    PYTHONPATH=src python benchmarks/lead_reversal.py workspace/ptbxl/store [--fit]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.store import Store, open_store
from leadwise.ecg import reversal
from leadwise.ecg.reversal import (
    REVERSALS,
    ReversalModel,
    misfit_forms,
    misfit_ratios,
    reversal_matrix,
    reversal_scores,
)
from leadwise.ecg.waves import Downsampled


def moments_of(store: Store, block: int = 250) -> dict[str, np.ndarray]:
    """The second moments of every recording of a store."""
    parts = []
    for start in range(0, len(store.signals), block):
        leads = np.ascontiguousarray(store.signals[start : start + block].transpose(0, 2, 1), dtype=np.float32)
        parts.append(reversal.wave_moments(reversal.average_beats(Downsampled.of(leads, 100.0)).waves))
    return {wave: np.concatenate([part[wave] for part in parts]) for wave in reversal.WAVES_S}


def with_reversal(moments: dict[str, np.ndarray], reversal: str) -> dict[str, np.ndarray]:
    """The moments of the same recordings with two electrodes reversed."""
    matrix = reversal_matrix(reversal)
    result = {wave: matrix @ moment @ matrix.T for wave, moment in moments.items()}
    return {wave: moment / np.trace(moment, axis1=1, axis2=2)[:, None, None] for wave, moment in result.items()}


def fit(moments: dict[str, np.ndarray]) -> ReversalModel:
    """The precision, and the weights: one logistic regression over all reversals."""
    from sklearn.linear_model import LogisticRegression

    precision = {}
    for wave, moment in moments.items():
        inverse = np.linalg.inv(moment.mean(axis=0).astype(np.float64) + 1e-4 * np.eye(8))
        precision[wave] = np.round((inverse + inverse.T) / 2, 3)

    def ratios(of: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([misfit_ratios(of[wave], misfit_forms(precision[wave])) for wave in of], axis=2)

    recorded = ratios(moments)
    features = [recorded.reshape(-1, len(precision))]
    features += [ratios(with_reversal(moments, name))[:, number] for number, name in enumerate(REVERSALS)]
    answers = np.concatenate([np.full(len(part), number > 0) for number, part in enumerate(features)])
    regression = LogisticRegression(fit_intercept=False, class_weight="balanced")
    regression.fit(np.concatenate(features), answers)
    weights = {wave: round(float(value), 2) for wave, value in zip(precision, regression.coef_[0], strict=True)}
    return ReversalModel({wave: misfit_forms(matrix) for wave, matrix in precision.items()}, weights)


def write(model: ReversalModel, source: str) -> None:
    """Write ``reversal.json`` beside its module."""
    content = {
        "fitted_on": source,
        "weights": model.weights,
        "precision": {wave: forms[0].reshape(8, 8).tolist() for wave, forms in model.forms.items()},
    }
    text = json.dumps(content, indent=1)
    # One row of a matrix a line.
    lines = text.replace("\n    ", " ").replace("[ ", "[").replace("\n   ]", "]")
    reversal.MODEL_FILE.write_text(lines + "\n", encoding="utf-8")


def report(moments: dict[str, np.ndarray], rows: np.ndarray, normal: np.ndarray, model: ReversalModel) -> None:
    """Print, for every reversal, how often it is noticed, rightly named, and seen without anybody's doing."""
    subset = {wave: moment[rows] for wave, moment in moments.items()}
    is_normal = normal[rows]

    def flagged(of: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return reversal.likely_reversals(reversal_scores(of, model))

    limb, chest = flagged(subset)
    print(f"{len(rows):,} recordings of folds 9 and 10, {is_normal.sum():,} of them normal (NORM only)\n")
    print("reversal   noticed  in normal  rightly named  seen as recorded  in normal")
    for name in REVERSALS:
        found_limb, found_chest = flagged(with_reversal(subset, name))
        found, before = (found_limb, limb) if name in reversal.LIMB_REVERSALS else (found_chest, chest)
        noticed, right, seen = found != "", found == name, before == name
        print(
            f"{name:9} {noticed.mean():8.1%} {noticed[is_normal].mean():10.1%} {right.mean():14.1%}"
            f" {seen.mean():17.2%} {seen[is_normal].mean():10.2%}"
        )
    for name, found in (("limb leads", limb), ("chest leads", chest)):
        print(
            f"{name}: {(found != '').mean():.2%} flagged as recorded, {(found[is_normal] != '').mean():.2%} in normal"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("store", type=Path, help="an ingested PTB-XL")
    parser.add_argument("--fit", action="store_true", help="fit reversal.json on folds 1-8 first")
    arguments = parser.parse_args()
    store = open_store(arguments.store)
    moments = moments_of(store)
    if arguments.fit:
        training = {wave: moment[store.rows("train")] for wave, moment in moments.items()}
        write(fit(training), f"folds 1-8 of PTB-XL {store.manifest['release']}")
        reversal.bundled_model.cache_clear()
    labels = store.records[list(SUPERCLASSES)].to_numpy(dtype=bool)
    normal = labels[:, 0] & ~labels[:, 1:].any(axis=1)
    rows = np.concatenate([store.rows("validation"), store.rows("test")])
    report(moments, rows, normal, reversal.bundled_model())


if __name__ == "__main__":
    main()
