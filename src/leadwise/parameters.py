"""Values for the parameters: the defaults, replaced by params.yaml, a named configuration and the command line."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from leadwise.config import CONFIGURATIONS, PARAMS_FILE, ConfigError, Parameters, Shared, kebab, section_fields

RENAMED: Mapping[str, str] = {
    "gain": "amplitude-scale",
    "metadata-dropout": "feature-dropout",
    "disturbed-share": "augment-prob",
    "floor-macro-auroc": "limits=macro_auroc:...",
    "floor-class-auroc": "limits=auroc:...",
    "highest-ece": "limits=ece:...",
    "margin-macro-auroc": "margins=macro_auroc:...",
    "margin-class-auroc": "margins=auroc:...",
}
"""Parameters by the names that they had before, ``simulated-`` before them or not."""


def load_parameters(
    overrides: Mapping[str, Any] | None = None, *, entry_point: str = "main", file: Path = PARAMS_FILE
) -> Parameters:
    """The defaults, replaced by params.yaml, by the named configuration, and by overrides, each more than the last.

    Args:
        overrides: values by kebab-case name, as text or as typed values.
        entry_point: the entry point whose parameters may be overridden.
        file: a params.yaml, if there is one.

    Raises:
        ConfigError: a key or value is not allowed; the message names the parameter, what was received and what is
            allowed.
    """
    content = _read_sections(file) if file.exists() else {}
    known = section_fields(entry_point)
    given = dict(overrides or {})
    for name in given:
        if name not in known:
            instead = _renamed(name) or f"allowed: {', '.join(sorted(known))}"
            raise ConfigError(f"{name}: not a parameter of {entry_point}; {instead}")
    named = given.get("configuration", content.get("shared", {}).get("configuration", Shared().configuration))
    if (overlay := CONFIGURATIONS / f"{named}.yaml") in CONFIGURATIONS.glob("*.yaml"):
        for section, values in _read_sections(overlay).items():
            content.setdefault(section, {}).update(values)
    for name, value in given.items():
        content.setdefault(known[name][0], {})[name] = value
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None


def _renamed(name: str) -> str:
    new = RENAMED.get(name.removeprefix("simulated-"))
    return f"it is called {new} now" if new else ""


def _read_sections(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(section, dict) for section in content.values()):
        raise ConfigError(f"{file}: expected sections with keys, received {type(content).__name__}")
    return content


def _explain(problem: Any) -> str:
    name = str(problem["loc"][1] if len(problem["loc"]) > 1 else problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown parameter in section '{problem['loc'][0]}' of params.yaml; {_renamed(name)}".rstrip(
            "; "
        )
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: received {problem['input']!r}; {message[0].lower()}{message[1:]}"


def parse_arguments(entry_point: str, arguments: Sequence[str] | None = None) -> Parameters:
    """Parse a script's command line.

    Raises:
        ConfigError: a parameter is not allowed; the message names it, what was received and what is allowed.
    """
    parser = argparse.ArgumentParser(
        prog=f"pipelines/{entry_point}.py",
        description=f"The {entry_point} stage of Leadwise. docs/parameters.md lists the defaults.",
        allow_abbrev=False,
    )
    allowed = section_fields(entry_point)
    for name, (_, description, annotation) in allowed.items():
        metavar = "|".join(choices) if (choices := _choices(annotation)) else name.rsplit("-", 1)[-1].upper()
        # argparse formats what it prints.
        parser.add_argument(f"--{name}", metavar=metavar, help=description.replace("%", "%%"))
    known, unknown = parser.parse_known_args(arguments)
    for old in (name.partition("=")[0].removeprefix("--") for name in unknown):
        if new := _renamed(old):
            raise ConfigError(f"--{old}: {new}")
    if unknown:
        raise ConfigError(f"unrecognized arguments: {' '.join(unknown)}; allowed: --{', --'.join(sorted(allowed))}")
    given = {kebab(name): value for name, value in vars(known).items() if value is not None}
    return load_parameters(given, entry_point=entry_point)


def _choices(annotation: Any) -> list[str]:
    """What a Literal, or a union of Literals, allows, as text."""
    found: list[str] = []
    for argument in get_args(annotation):
        found += [str(argument)] if isinstance(argument, str | int) else _choices(argument)
    return found
