"""The search spaces: what is configured is always inside, and whatever is drawn is a config that may be trained."""

import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.config import CONFIGURATIONS, section_fields
from leadwise.contract import ENCODER_NAMES
from leadwise.models.spec import MODELS, Choice, Real, Whole
from leadwise.parameters import load_parameters
from leadwise.training.config import TrainingConfig, training_config, with_values
from leadwise.training.trial import space_of

CONFIGURED = ["default", *sorted(file.stem for file in CONFIGURATIONS.glob("*.yaml"))]


def configured_for(model: str, **given: object) -> TrainingConfig:
    return training_config(model, load_parameters({name.replace("_", "-"): value for name, value in given.items()}))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("configuration", CONFIGURED)
def test_what_is_configured_is_a_trial(model: str, configuration: str) -> None:
    configured = configured_for(model, configuration=configuration)
    space = space_of(configured)
    with warnings.catch_warnings():
        # Optuna warns of a fixed value that is out of its range.
        warnings.simplefilter("error")
        drawn = space.draw(optuna.trial.FixedTrial(space.drawn_from(configured)))  # type: ignore[arg-type]
    assert with_values(configured, drawn) == configured


@pytest.mark.parametrize("model", MODELS)
def test_whatever_is_drawn_may_be_configured(model: str) -> None:
    configured = configured_for(model)
    space = space_of(configured)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(20))
    for _ in range(30):
        values = space.draw(study.ask())
        assert all(type(value) is type(configured.parameters()[name]) for name, value in values.items())
        known = {"fusion_augmented": {"window-samples": "window-samples-augmented"}}.get(model, {})
        parameters = section_fields("train")
        asked = {known.get(name, name): value for name, value in values.items() if known.get(name, name) in parameters}
        assert with_values(configured, values) == with_values(configured_for(model, **asked), values)


def test_every_encoder_has_widths_of_its_own() -> None:
    space = space_of(configured_for("fusion", encoder="original_cnn"))
    encoders = space.dimensions["encoder"]
    assert isinstance(encoders, Choice)
    assert set(encoders.options) == set(ENCODER_NAMES) == set(space.widths)
    drawn = {**space.drawn_from(configured_for("fusion")), "encoder": "resnet1d_wang", "resnet1d_wang-width": 64}
    assert space.config_values(drawn)["encoder-width"] == 64


def test_what_is_switched_off_or_does_not_apply_is_not_searched() -> None:
    plain = space_of(configured_for("fusion", statement_weight=0, weight_decay=0))
    assert not {"statement-weight", "weight-decay"} & plain.dimensions.keys()
    assert "feature-dropout" not in space_of(configured_for("fusion", feature_set="original")).dimensions
    assert not {"encoder", "encoder-width", "amplitude-scale"} & space_of(configured_for("metadata")).described().keys()


@given(st.integers(1, 40), st.integers(0, 20), st.integers(1, 9), st.integers(0, 200))
def test_a_range_grows_to_reach_a_value_and_keeps_its_steps(low: int, steps: int, step: int, value: int) -> None:
    before = Whole(low, low + steps * step, step)
    reaching = before.reaching(value)
    allowed = set(range(reaching.low, reaching.high + 1, max(reaching.step, 1)))
    assert value in allowed
    assert set(range(before.low, before.high + 1, before.step)) <= allowed


@given(st.floats(0, 2), st.booleans())
def test_a_number_is_reached_or_means_off(value: float, log: bool) -> None:
    reaching = Real(0.5, 1.0, log).reaching(value)
    assert (reaching is None) == (log and value == 0)
    assert reaching is None or reaching.low <= value <= reaching.high
