"""Prediction: every output, windows averaged, for stored and for changed recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LeadwiseError, SignalShape
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.store import Store, open_store
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.models.framework import build_model
from leadwise.models.spec import Architecture
from leadwise.training.prediction import RECORDS_PER_BATCH, TrainedModel

WINDOW, STRIDE = 250, 125


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


def untrained(store: Store, name: str, **architecture: Any) -> TrainedModel:
    """A model with its initial weights: what they say does not matter here."""
    rows = np.arange(100)
    metadata = MetadataTransformer.fit(store.patients().iloc[rows], "clinical")
    signal = SignalPreprocessing.fit(store.signals, rows, window_samples=WINDOW, stride_samples=STRIDE)
    chosen = Architecture(encoder="se_resnet", encoder_width=8, head="linear", **architecture)
    network = build_model(name, SignalShape(), metadata_width=metadata.width, architecture=chosen, seed=1)
    training = {"digest": store.manifest["digest"]}
    return TrainedModel(name, network, None if name == "metadata" else signal, metadata, training)


@pytest.fixture(scope="module")
def fusion(store: Store) -> TrainedModel:
    return untrained(store, "fusion", statements=True)


def recordings(store: Store, rows: np.ndarray) -> np.ndarray:
    return store.signals[rows].astype(np.float32) / 1000


def test_every_output_is_the_mean_over_the_windows(fusion: TrainedModel, store: Store) -> None:
    assert fusion.signal is not None
    rows = np.array([7, 3, 11])
    answers = fusion.answers(store, rows)
    assert {name: values.shape for name, values in answers.items()} == {"superclasses": (3, 5), "statements": (3, 71)}
    signal = fusion.signal.standardise(recordings(store, rows))
    metadata = fusion.metadata.transform(store.patients().iloc[rows])
    by_window = [
        fusion.network.predict_on_batch({"signal": signal[:, start : start + WINDOW], "metadata": metadata})
        for start in range(0, 1000 - WINDOW + 1, STRIDE)
    ]
    for name, values in answers.items():
        np.testing.assert_allclose(values, np.mean([window[name] for window in by_window], axis=0), atol=1e-5)


def test_more_rows_than_a_batch_keep_their_order(fusion: TrainedModel, store: Store) -> None:
    rows = np.arange(RECORDS_PER_BATCH + 5)[::-1]
    answers = fusion.answers(store, rows)
    few = fusion.answers(store, rows[[0, -1]])
    for name, values in answers.items():
        assert len(values) == len(rows)
        np.testing.assert_allclose(values[[0, -1]], few[name], atol=1e-5)


def test_a_recording_as_it_is_stored_is_answered_as_from_the_store(fusion: TrainedModel, store: Store) -> None:
    rows = np.array([2, 9])
    expected = fusion.answers(store, rows)
    found = fusion.answers_of(recordings(store, rows), store.patients().iloc[rows])
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5)


def test_a_shorter_recording_is_answered_from_the_windows_that_it_has(fusion: TrainedModel, store: Store) -> None:
    rows = np.array([2, 9])
    patients = store.patients().iloc[rows]
    parts = [recordings(store, rows)[:, start : start + WINDOW] for start in (0, STRIDE)]
    both = fusion.answers_of(recordings(store, rows)[:, : WINDOW + STRIDE], patients)
    each = [fusion.answers_of(part, patients) for part in parts]
    for name, values in both.items():
        np.testing.assert_allclose(values, (each[0][name] + each[1][name]) / 2, atol=1e-5)


def test_a_recording_that_is_shorter_than_a_window_is_refused(fusion: TrainedModel, store: Store) -> None:
    patients = store.patients().iloc[:2]
    with pytest.raises(LeadwiseError, match=r"fusion: .* 249 samples; allowed: at least one window, 250 at 100 Hz"):
        fusion.answers_of(np.zeros((2, 249, 12)), patients)


def test_a_network_without_statements_has_one_output_and_metadata_needs_no_recording(store: Store) -> None:
    rows = np.arange(4)
    model = untrained(store, "metadata")
    answers = model.answers(store, rows)
    assert set(answers) == {"superclasses"}
    found = model.answers_of(np.zeros((4, 10, 12)), store.patients().iloc[rows])
    np.testing.assert_allclose(found["superclasses"], answers["superclasses"], atol=1e-6)
