"""A clean environment holds a version's own requirements, and the version answers there."""

from pathlib import Path
from typing import Any

import pytest

from leadwise.registry.gate import download
from leadwise.registry.gate_checks import InstallationError, clean_environment
from leadwise.registry.register import register_challenger
from leadwise.registry.smoke_test import compare_answers, serving_smoke_test

pytestmark = [pytest.mark.xdist_group("gate"), pytest.mark.timeout(1500)]


def test_requirements_that_do_not_exist_are_named(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("leadwise-has-no-such-package==1.0\n", encoding="utf-8")
    with pytest.raises(InstallationError, match="leadwise-has-no-such-package"), clean_environment(file):
        pass


@pytest.mark.slow
def test_a_version_answers_where_nothing_but_its_requirements_is_installed(
    make_package: Any, tracking: str, tmp_path: Path
) -> None:
    import mlflow

    package = make_package()
    with mlflow.start_run():
        candidate, _ = register_challenger(package, "alone")
    requirements = download(candidate.uri, tmp_path) / "requirements.txt"
    with clean_environment(requirements) as python:
        installed = Path(python).parents[1]
        assert not list(installed.glob("lib/*/site-packages/*leadwise*"))
        assert not list(installed.glob("lib/*/site-packages/tensorflow"))
        served = serving_smoke_test(candidate.uri, package.example, python=python)
    assert compare_answers(candidate.expected, served.example, model_uri=candidate.uri) < 1e-5
    assert not installed.exists()
