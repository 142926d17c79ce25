"""`dvc repro` runs the stages, and again only those whose inputs changed."""

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("dvc")]

STAGES = ["simulate", "ingest", "tune", "train", "evaluate", "register"]


def reproduce(checkout: "Checkout") -> list[str]:
    """The stages that `dvc repro` ran, in order."""
    result = checkout.run("dvc", "repro")
    assert result.returncode == 0, result.stdout[-6000:]
    return re.findall(r"^Running stage '(\w+)'", result.stdout, flags=re.MULTILINE)


def changed(checkout: "Checkout") -> set[str]:
    """The stages that the next `dvc repro` would run because of their own inputs."""
    result = checkout.run("dvc", "status", "--json")
    return set(json.loads(result.stdout[result.stdout.index("{") :]))


def test_only_what_changed_is_run_again(checkout: "Checkout") -> None:
    # The encoder with the fewest layers: most of so short a training is the making of its graph.
    checkout.set_parameters(encoder="original_cnn", encoder_width=8, epochs_metadata=1, epochs_fusion=1)
    checkout.set_parameters(patients=300, bootstrap=100, robustness=0)
    # One epoch teaches a network of this width nothing.
    checkout.set_parameters(limits="macro_auroc:0,auroc:0,ece:1", p95_latency_ms=10_000)
    assert sorted(reproduce(checkout)) == sorted(STAGES)
    assert reproduce(checkout) == []

    with (checkout.folder / "src" / "leadwise" / "models" / "framework.py").open("a") as networks:
        networks.write("# A change of the networks.\n")
    assert {"tune", "train"} <= changed(checkout)
    assert not {"simulate", "ingest"} & changed(checkout)

    ignored = checkout.run("git", "status", "--porcelain").stdout.splitlines()
    assert {line[3:] for line in ignored} <= {"dvc.lock", "pipelines/params.yaml", "src/leadwise/models/framework.py"}
