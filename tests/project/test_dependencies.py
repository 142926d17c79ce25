"""What the code imports is what pyproject.toml asks for: nothing is there by the grace of another package."""

import ast
import itertools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from leadwise.config import PROJECT_ROOT

BACKENDS = {"jax", "torch"}
"""Of Keras, imported only where KERAS_BACKEND chooses them; whoever does so installs them."""


def imported(folder: str) -> dict[str, str]:
    """Top-level modules that the code of a folder imports, anywhere in it -> one of the files."""
    found = {}
    for file in sorted((PROJECT_ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.partition(".")[0]: str(file.relative_to(PROJECT_ROOT)) for name in names}
    return found


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("folder", ["src", "pipelines"])
def test_everything_that_is_imported_is_asked_for(folder: str) -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    extras = (project["optional-dependencies"][name] for name in ("train", "app", "formats"))
    requirements = itertools.chain(project["dependencies"], *extras)
    asked_for = {normalised(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}
    provided_by = packages_distributions()
    others = {"leadwise", *sys.stdlib_module_names, *BACKENDS}
    modules = {name: file for name, file in imported(folder).items() if name not in others}
    assert modules.keys() <= provided_by.keys()
    missing = {
        f"{provided_by[name][0]} (imported in {file})"
        for name, file in modules.items()
        if not asked_for & {normalised(one) for one in provided_by[name]}
    }
    assert missing == set()
