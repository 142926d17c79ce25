"""Distillation: what teachers say about the training records, and a network that learns from it."""

from pathlib import Path

import numpy as np
import pytest

from leadwise.config import Parameters, load_parameters
from leadwise.datasets.store import Store, open_store
from leadwise.training.fit import TrainingData, fit_model
from leadwise.training.prediction import load_trained
from leadwise.training.recipe import recipe_for
from leadwise.training.teachers import SoftTargets, teach, teacher_recipes

TEACHERS = 3


@pytest.fixture(scope="module")
def store(simulated_store: Path) -> Store:
    return open_store(simulated_store)


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return load_parameters(
        {"epochs-fusion": 1, "encoder": "original_cnn", "encoder-width": 8, "teachers": TEACHERS, "distillation": 0.4}
    )


@pytest.fixture(scope="module")
def taught(store: Store, parameters: Parameters, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SoftTargets]:
    folder = tmp_path_factory.mktemp("teachers")
    for name, recipe in teacher_recipes(parameters).items():
        fit_model(recipe, store, folder / name, report=lambda epoch, metrics: None)
    return folder, teach(sorted(folder.iterdir()), store)


def test_the_teachers_differ_and_learn_from_nobody(parameters: Parameters) -> None:
    recipes = teacher_recipes(parameters)
    seed = parameters.shared.seed
    assert list(recipes) == [f"fusion-{seed}", f"fusion-{seed + 1}", f"fusion-{seed + 2}"]
    assert len({recipe.fingerprint({"digest": "data"}) for recipe in recipes.values()}) == TEACHERS
    assert {recipe.distillation for recipe in recipes.values()} == {0.0}
    alone = load_parameters({"epochs-fusion": 1, "encoder": "original_cnn", "encoder-width": 8})
    assert recipes[f"fusion-{seed}"] == recipe_for("fusion", alone)


def test_the_targets_are_the_mean_of_the_teachers(store: Store, taught: tuple[Path, SoftTargets]) -> None:
    folder, targets = taught
    rows = store.rows("train")
    assert {name: answer.shape for name, answer in targets.answers.items()} == {
        "superclasses": (len(rows), 5),
        "statements": (len(rows), 71),
    }
    # With windows that overlap the answers are close to those with windows side by side.
    said = np.mean([load_trained(teacher).predict(store, rows) for teacher in folder.iterdir()], axis=0)
    np.testing.assert_allclose(targets.answers["superclasses"], said, atol=0.1)
    assert 0 < targets.validation["val/macro_auroc"] < 1


def test_a_network_learns_from_labels_and_teachers(
    store: Store, parameters: Parameters, taught: tuple[Path, SoftTargets], tmp_path: Path
) -> None:
    _, targets = taught
    recipe = recipe_for("fusion", parameters)
    learnt = TrainingData.prepare(recipe, store, targets=targets).labels(recipe)
    truth = store.labels()[store.rows("train")]
    np.testing.assert_allclose(learnt["superclasses"], 0.6 * truth + 0.4 * targets.answers["superclasses"], atol=1e-6)

    def fit(targets: SoftTargets | None) -> bool:
        result = fit_model(recipe, store, tmp_path / "fusion", report=lambda *_: None, targets=targets)
        return bool(result["reused"])

    other = SoftTargets({name: 1 - answer for name, answer in targets.answers.items()}, targets.validation)
    assert [fit(targets), fit(targets), fit(other)] == [False, True, False]


def test_the_metadata_model_has_no_teachers(parameters: Parameters) -> None:
    recipe = recipe_for("metadata", parameters)
    assert (recipe.teachers, recipe.distillation) == (0, 0.0)
