"""The tags that every run carries, so that a person finds it in the tracking UI."""

import socket
import subprocess
from collections.abc import Mapping
from typing import Any, Literal

from leadwise import __version__
from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.models.spec import keras_backend

Level = Literal["pipeline", "stage", "model", "trial"]
"""What a run is of; a study is of a model."""


def stage_tags(stage: str, parameters: Parameters) -> dict[str, str]:
    """What is known of a stage when it begins."""
    level: Level = "pipeline" if stage == "main" else "stage"
    tags = {
        "level": level,
        "stage": stage,
        "feature_set": parameters.shared.feature_set,
        "seed": str(parameters.shared.seed),
        "backend": keras_backend(),
        "host": socket.gethostname(),
        "leadwise.version": __version__,
        "leadwise.commit": commit(),
    }
    if "model" in parameters.flat(stage):
        tags["model"] = parameters.train.model
    return {name: value for name, value in tags.items() if value}


def data_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Which data a run is about, from the store's manifest."""
    return {
        "data.digest": str(manifest["digest"]),
        "data.release": str(manifest["release"]),
        "data.simulated": str(manifest["simulated"]).lower(),
    }


def commit() -> str:
    """The commit of the code, with ``-dirty`` where files differ from it; empty outside of a checkout."""
    if not (PROJECT_ROOT / ".git").exists():
        # An installed package may lie within somebody else's checkout.
        return ""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip()
