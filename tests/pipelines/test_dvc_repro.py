"""`dvc repro` runs the stages themselves; what it does with all six of them, ``project/test_dvc_effects`` asks."""

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Checkout

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("dvc")]


def reproduce(checkout: "Checkout") -> list[str]:
    """The stages that `dvc repro ingest` ran, in order."""
    result = checkout.run("dvc", "repro", "ingest")
    assert result.returncode == 0, result.stdout[-6000:]
    return re.findall(r"^Running stage '(\w+)'", result.stdout, flags=re.MULTILINE)


def test_the_stages_run_once_and_leave_the_checkout_clean(checkout: "Checkout") -> None:
    checkout.set_parameters(patients=300)
    assert reproduce(checkout) == ["simulate", "ingest"]
    assert (checkout.folder / "workspace" / "simulated" / "store" / "manifest.json").is_file()
    assert reproduce(checkout) == []
    changed = checkout.run("git", "status", "--porcelain").stdout.splitlines()
    assert {line[3:] for line in changed} <= {"dvc.lock", "pipelines/params.yaml"}
