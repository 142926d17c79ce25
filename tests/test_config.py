"""Parameters: one home of defaults, one name everywhere, every mistake named."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from leadwise.config import CONFIGURATIONS, ENTRY_POINTS, ConfigError, Parameters, Register, section_fields
from leadwise.parameters import RENAMED, load_parameters, parse_arguments


def test_the_shipped_file_changes_no_default() -> None:
    assert load_parameters() == load_parameters(file=Path("nowhere")) == Parameters()


def test_no_entry_point_has_two_parameters_of_one_name() -> None:
    for point, sections in ENTRY_POINTS.items():
        models = [Parameters.model_fields[section].annotation for section in sections]
        names = [name for model in models for name in model.model_fields if (model, name) != (Register, "source")]
        assert len(names) == len(set(names)), f"{point}: -P could not tell them apart"
    assert all(text for point in ENTRY_POINTS for _, text, _ in section_fields(point).values()), "none is undescribed"


@pytest.mark.parametrize("name", sorted(file.stem for file in CONFIGURATIONS.glob("*.yaml")))
def test_every_named_configuration_replaces_what_it_names(name: str) -> None:
    values = load_parameters({"configuration": name}).flat("main")
    overlay = yaml.safe_load((CONFIGURATIONS / f"{name}.yaml").read_text(encoding="utf-8"))
    named = {key: value for section in overlay.values() for key, value in section.items()}
    assert named.items() <= values.items()
    defaults = load_parameters().flat("main")
    assert {key for key in values if values[key] != defaults[key]} <= {*named, "configuration"}
    assert load_parameters({"configuration": name, "epochs-fusion": "3"}).train.epochs_fusion == 3


def test_an_unknown_configuration_is_named() -> None:
    with pytest.raises(ConfigError, match=r"configuration: received 'orignal'.*'original'"):
        load_parameters({"configuration": "orignal"})


def test_register_has_a_source_of_its_own() -> None:
    assert load_parameters({"source": "pretrained"}, entry_point="register").registration.source == "pretrained"
    whole = load_parameters({"source": "data/ptbxl"}, entry_point="main")
    assert str(whole.ingest.source) == "data/ptbxl"
    assert whole.flat("register")["source"] == "workspace"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("learning-rate", "abc", ["learning-rate", "'abc'", "number"]),
        ("learning-rate", "-1", ["learning-rate", "'-1'", "greater than 0"]),
        ("model", "resnet", ["model", "'resnet'", "fusion_augmented"]),
        ("monitor", "val/f1", ["monitor", "'val/f1'", "val/macro_auroc"]),
        ("use-tuned", "maybe", ["use-tuned", "'maybe'", "boolean"]),
        ("epochs-fusion", "2.5", ["epochs-fusion", "'2.5'", "integer"]),
        ("registered-model", "a b", ["registered-model", "'a b'"]),
        ("limits", "macro_auroc=0.9", ["limits", "'macro_auroc=0.9'"]),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_parameters({name: value})
    for word in words:
        assert word in str(error.value)


def test_a_parameter_of_another_entry_point_is_refused() -> None:
    with pytest.raises(ConfigError, match="patients: not a parameter of train"):
        load_parameters({"patients": "200"}, entry_point="train")


@pytest.mark.parametrize(("old", "new"), [*RENAMED.items(), ("simulated-highest-ece", RENAMED["highest-ece"])])
def test_a_parameter_by_its_old_name_is_told_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    assert new.partition("=")[0] in section_fields("main")
    with pytest.raises(ConfigError, match=re.escape(f"{old}: not a parameter of main; it is called {new} now")):
        load_parameters({old: "0"})
    for arguments in ([f"--{old}", "0"], [f"--{old}=0"]):
        with pytest.raises(ConfigError, match=re.escape(f"--{old}: it is called {new} now")):
            parse_arguments("main", arguments)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"train": {old: 0}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{old}: unknown parameter in section 'train' .* it is called {new} now"):
        load_parameters(file=file)


def test_what_never_was_a_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unrecognized arguments: --teachers 3; allowed: --.*--epochs-fusion"):
        parse_arguments("train", ["--teachers", "3"])


def test_a_file_replaces_defaults_and_an_unknown_key_in_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("train: {amplitude-scale: 0.05}\nshared: {configuration: demo}", encoding="utf-8")
    found = load_parameters({"seed": 3}, file=file)
    assert (found.train.amplitude_scale, found.train.encoder_width, found.shared.seed) == (0.05, 16, 3)
    file.write_text("train: {learnin-rate: 0.1}", encoding="utf-8")
    with pytest.raises(ConfigError, match="learnin-rate: unknown parameter in section 'train'"):
        load_parameters(file=file)


@pytest.mark.parametrize("text", ["", "[1, 2]", "train: 3", "a: [", "- x"])
def test_a_file_that_holds_no_sections_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(file)):
        load_parameters(file=file)


@given(st.sampled_from(sorted(section_fields("main"))), st.text(max_size=20))
def test_any_text_for_any_parameter_is_taken_or_named(name: str, value: str) -> None:
    message = ""
    try:
        load_parameters({name: value})
    except ConfigError as error:
        message = str(error)
    assert not message or name in message


@pytest.mark.parametrize("entry_point", sorted(name for name, own in ENTRY_POINTS.items() if "shared" in own))
def test_the_command_line_reaches_the_parameters(entry_point: str) -> None:
    defaults: dict[str, Any] = load_parameters().flat(entry_point)
    assert parse_arguments(entry_point, []).flat(entry_point) == defaults
    given_all = [part for name, value in defaults.items() for part in (f"--{name}", str(value))]
    assert parse_arguments(entry_point, given_all).flat(entry_point) == defaults
    assert parse_arguments(entry_point, ["--seed", "5"]).shared.seed == 5
