"""The search spaces: what is configured is always inside, and whatever is drawn is a recipe that may be trained."""

import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from leadwise.config import CONFIGURATIONS, load_parameters
from leadwise.contract import ENCODER_NAMES, MODEL_NAMES, ModelName
from leadwise.training.recipe import Recipe, recipe_for, with_values
from leadwise.training.search_space import reaching, space_of

CONFIGURED = ["default", *sorted(file.stem for file in CONFIGURATIONS.glob("*.yaml"))]


def recipe(model: ModelName, **given: object) -> Recipe:
    return recipe_for(model, load_parameters({name.replace("_", "-"): value for name, value in given.items()}))


@pytest.mark.parametrize("model", MODEL_NAMES)
@pytest.mark.parametrize("configuration", CONFIGURED)
def test_the_configured_recipe_is_a_trial(model: ModelName, configuration: str) -> None:
    configured = recipe(model, configuration=configuration)
    space = space_of(configured)
    with warnings.catch_warnings():
        # Optuna warns of a fixed value that is out of its range.
        warnings.simplefilter("error")
        drawn = space.draw(optuna.trial.FixedTrial(space.drawn_from(configured)))  # type: ignore[arg-type]
    assert with_values(configured, drawn) == configured


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_whatever_is_drawn_may_be_configured(model: ModelName) -> None:
    configured = recipe(model)
    space = space_of(configured)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(20))
    for _ in range(30):
        values = space.draw(study.ask())
        assert all(type(value) is type(configured.parameters()[name]) for name, value in values.items())
        known = {"fusion_augmented": {"window-samples": "window-samples-augmented"}}.get(model, {})
        asked = {known.get(name, name): value for name, value in values.items()}
        assert with_values(configured, values) == with_values(recipe(model, **asked), values)


def test_every_encoder_has_widths_of_its_own() -> None:
    space = space_of(recipe("fusion", encoder="original_cnn"))
    encoders = space.dimensions["encoder"]
    assert isinstance(encoders, CategoricalDistribution)
    assert set(encoders.choices) == set(ENCODER_NAMES) == set(space.widths)
    drawn = {**space.drawn_from(recipe("fusion")), "encoder": "convnext", "convnext-width": 64}
    assert space.recipe_values(drawn)["encoder-width"] == 64


def test_the_issues_parameters_are_searched() -> None:
    searched = set(space_of(recipe("fusion_augmented")).described())
    assert searched >= {"encoder", "encoder-width", "window-samples", "learning-rate", "weight-decay", "mixup", "gain"}
    assert searched >= {"dropout-branch", "dropout-head", "metadata-dropout", "statement-weight", "disturbed-share"}


def test_what_is_switched_off_or_does_not_apply_is_not_searched() -> None:
    plain = space_of(recipe("fusion", statement_weight=0, weight_decay=0))
    assert not {"statement-weight", "weight-decay"} & plain.dimensions.keys()
    assert "metadata-dropout" not in space_of(recipe("fusion", feature_set="original")).dimensions
    assert not {"encoder", "encoder-width", "gain"} & space_of(recipe("metadata")).described().keys()


@given(st.integers(1, 40), st.integers(0, 20), st.integers(1, 9), st.integers(0, 200))
def test_a_range_grows_to_reach_a_value_and_keeps_its_steps(low: int, steps: int, step: int, value: int) -> None:
    before = IntDistribution(low, low + steps * step, step=step)
    extended = reaching(before, value)
    assert isinstance(extended, IntDistribution)
    allowed = set(range(extended.low, extended.high + 1, extended.step))
    assert value in allowed
    assert set(range(before.low, before.high + 1, before.step)) <= allowed


@given(st.floats(0, 2), st.booleans())
def test_a_number_is_reached_or_means_off(value: float, log: bool) -> None:
    extended = reaching(FloatDistribution(0.5, 1.0, log=log), value)
    assert (extended is None) == (log and value == 0)
    if extended is not None:
        assert isinstance(extended, FloatDistribution)
        assert extended.low <= value <= extended.high
