"""dvc.yaml mirrors MLproject: the same stages, known parameters, and a dependency for all code that is imported."""

import ast
import copy
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
from dvc.repo import Repo

from leadwise.config import ENTRY_POINTS, PROJECT_ROOT, section_fields

STAGES = [name for name in ENTRY_POINTS if name not in ("main", "rollback", "score", "validate", "recalibrate", "app")]
"""`rollback` makes nothing: it moves an alias. What `score`, `validate` and `recalibrate` read is no part of the
pipeline; `app` is the page."""

PLUMBING = {"leadwise"} | {
    f"leadwise.{name}"
    for name in (
        *("atomic", "config", "errors", "memory", "parameters", "stage"),
        *("stopping", "terminal", "tracking_store"),
    )
}
PLUMBING |= {f"leadwise.reports.{name}" for name in ("report_page", "run_summaries", "study_report", "validation_page")}
PLUMBING |= {"leadwise.reports", "leadwise.reports.figures"}
# The parameters know the names of the models.
PLUMBING |= {"leadwise.models", "leadwise.models.spec"}
"""Decides no result: a stage need not run again when it changes, nor when what it alone imports does."""


@cache
def stages() -> dict[str, Any]:
    with Repo(str(PROJECT_ROOT)) as repo:
        return {stage.name: stage for stage in repo.index.stages}


@cache
def import_graph() -> grimp.ImportGraph:
    graph = grimp.build_graph("leadwise", cache_dir=None)
    # The names of the models, for the parameter that chooses among them.
    graph.remove_import(importer="leadwise.config", imported="leadwise.models.spec")
    return graph


def dependencies(stage: str) -> list[Path]:
    return [Path(dependency.fs_path) for dependency in stages()[stage].deps if not hasattr(dependency, "params")]


def imported_modules(script: Path) -> set[str]:
    """Every module of ours that a script needs, at the top or inside a function, directly or through others."""
    graph = copy.deepcopy(import_graph())
    for module in PLUMBING & {name for name in graph.modules if name.startswith("leadwise.reports.")}:
        graph.remove_module(module)
    direct = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            direct |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            direct |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = direct & graph.modules
    for module in ours.copy():
        ours |= graph.find_upstream_modules(module)
    return ours - PLUMBING


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_parameters_of_its_entry_point_only(stage: str) -> None:
    known = {key for name, (section, _, _) in section_fields(stage).items() for key in (section, f"{section}.{name}")}
    known |= {section.capitalize() for section in known}
    asked = {key for dependency in stages()[stage].deps for key in getattr(dependency, "params", ())}
    assert asked
    assert asked <= known


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_code_that_it_imports(stage: str) -> None:
    covered = dependencies(stage)
    for module in imported_modules(PROJECT_ROOT / "pipelines" / f"{stage}.py"):
        path = PROJECT_ROOT / "src" / Path(*module.split("."))
        assert any(path.is_relative_to(part) or path.with_suffix(".py") == part for part in covered), module


def test_what_dvc_depends_on_exists_in_git_or_is_written_by_a_stage() -> None:
    written = {Path(out.fs_path) for stage in stages().values() for out in stage.outs}
    for stage in stages():
        for dependency in dependencies(stage):
            assert dependency in written or dependency.exists(), f"{stage}: {dependency}"


def test_dvc_reports_to_nobody_and_needs_no_remote() -> None:
    with Repo(str(PROJECT_ROOT)) as repo:
        assert repo.config["core"]["analytics"] is False
        assert repo.config["core"]["check_update"] is False
        assert not repo.config["remote"]
