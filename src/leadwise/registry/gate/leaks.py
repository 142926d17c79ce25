"""No leaking feature: every input of the packaged networks, by name, is known for a patient who walks in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadwise.contract import CLINICAL_FEATURES
from leadwise.datasets.metadata import MetadataError, MetadataTransformer
from leadwise.registry.gate.checks import Check
from leadwise.serving.network import open_session
from leadwise.serving.scorer import DESCRIPTION_FILE

NAME = "no leaking input"
NETWORK_INPUTS = frozenset({"signal", "metadata"})


@dataclass(frozen=True)
class Inputs:
    """What the networks of a package see.

    Attributes:
        feature_set: as ``model.json`` says.
        names: of every input, features of the metadata by their own names.
        problems: what must not be, in words; empty if all is well.
    """

    feature_set: str
    names: tuple[str, ...]
    problems: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Inputs":
        """Read them from ``model.json`` and from the ONNX files that it names."""
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        names: list[str] = []
        problems = []
        if description["feature_set"] != "clinical":
            problems.append(f"feature set {description['feature_set']}, only clinical is served")
        for role, entry in description["networks"].items():
            metadata = entry["preprocessing"]["metadata"]
            found = {value.name: value.shape[-1] for value in open_session(folder / entry["file"]).get_inputs()}
            names += [*sorted(found.keys() - {"metadata"}), *metadata["features"]]
            foreign = [*(found.keys() - NETWORK_INPUTS), *(set(metadata["features"]) - set(CLINICAL_FEATURES))]
            problems += [f"{role} sees {name}" for name in sorted(foreign)]
            problems += [f"{role}: {problem}" for problem in _unnamed(metadata, found.get("metadata"))]
        return cls(description["feature_set"], tuple(dict.fromkeys(names)), tuple(problems))


def _unnamed(metadata: Mapping[str, Any], received: Any) -> list[str]:
    """Numbers of metadata that the network takes and no name stands for."""
    try:
        width = MetadataTransformer.from_dict(metadata).width
    except MetadataError as error:
        return [str(error)]
    return [] if received == width else [f"takes {received} numbers of metadata, {width} of them have names"]


def leak_check(folder: Path) -> Check:
    """Look at the networks in a folder with ``model.json``."""
    inputs = Inputs.read(folder)
    allowed = "the recording and clinical features"
    return Check(NAME, ", ".join(inputs.names), allowed, not inputs.problems, "; ".join(inputs.problems))
