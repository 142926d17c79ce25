"""A value given to `mlflow run` reaches the stage: through MLflow's command, the shell and the script's parser."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.projects.utils import load_project
from pydantic import TypeAdapter

from leadwise.config import ENTRY_POINTS, PROJECT_ROOT, ConfigError, section_fields
from leadwise.parameters import load_parameters, parse_arguments

PROJECT = load_project(PROJECT_ROOT)
TEXTS = ("fusion", 'it\'s $HOME & "more" {seed}', "another-name", "ece:0.1")


def command(entry_point: str, given: dict[str, Any]) -> list[str]:
    """The words that bash makes of the command that MLflow computes."""
    words = shlex.split(PROJECT.get_entry_point(entry_point).compute_command(given, storage_dir=None))
    assert words[:3] == ["PYTHONPATH=src", "python", f"pipelines/{entry_point}.py"]
    return words[3:]


def choices(schema: dict[str, Any]) -> list[str]:
    own = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return own + [choice for part in schema.get("anyOf", ()) for choice in choices(part)]


def another(entry_point: str, name: str, value: Any) -> Any:
    """A value that is allowed and is not the default."""
    allowed = choices(TypeAdapter(section_fields(entry_point)[name][2]).json_schema())
    if isinstance(value, bool):
        return not value
    if isinstance(value, int) and not allowed:
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    for candidate in allowed or TEXTS:
        try:
            load_parameters({name: candidate}, entry_point=entry_point)
        except ConfigError:
            continue
        if candidate != value:
            return candidate
    raise AssertionError(f"{name}: no other value than {value!r} found")


def test_mlproject_is_short_and_has_every_entry_point() -> None:
    assert len((PROJECT_ROOT / "MLproject").read_text(encoding="utf-8").splitlines()) <= 150
    assert all(PROJECT.get_entry_point(entry_point).parameters == {} for entry_point in ENTRY_POINTS)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_every_parameter_reaches_the_script(entry_point: str) -> None:
    given = {name: another(entry_point, name, value) for name, value in load_parameters().flat(entry_point).items()}
    received = parse_arguments(entry_point, command(entry_point, {name: str(value) for name, value in given.items()}))
    assert received.flat(entry_point) == given


@given(folder=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_path_survives_the_shell(folder: str) -> None:
    words = command("ingest", {"source": folder})
    assert words[words.index("--source") + 1] == folder
