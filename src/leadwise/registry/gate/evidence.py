"""Not worse than the champion: both scored now, by their own code, on the same rows of fold 10.

Non-inferiority: the 95 % interval of the paired difference, patients resampled, must lie above minus the margin. As
only its lower end counts, a candidate that is worse by the margin passes with a probability of 2.5 %.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.atomic import temporary_folder
from leadwise.contract import SERVED_FEATURE_SET, SUPERCLASSES, LeadwiseError
from leadwise.datasets.metadata import MetadataError, MetadataTransformer
from leadwise.evaluation.comparison import Evaluated, compare_all
from leadwise.evaluation.metrics import Estimate
from leadwise.features import feature_names
from leadwise.registry.gate.report import Check, Limits
from leadwise.registry.package import Parity
from leadwise.registry.smoke_test import HeldOutRows, Served
from leadwise.serving.network import open_session
from leadwise.serving.scorer import DESCRIPTION_FILE

COMPARISON = "not worse than the champion"
WITHOUT = "macro AUROC against the champion's, without a recording"


@dataclass(frozen=True)
class Bootstrap:
    """Replicates and seed of the paired bootstrap over patients."""

    replicates: int
    seed: int


def comparison_checks(
    candidate: Served, champion: Served, rows: HeldOutRows, limits: Limits, drawn: Bootstrap
) -> list[Check]:
    """Macro AUROC and the AUROC of each class; macro AUROC also where no recording is sent.

    Args:
        candidate: answers to the rows.
        champion: answers to the same rows.
        rows: those that only one of the two answers are left out.
        limits: the margins.
        drawn: the bootstrap.
    """
    with_recording = _differences(candidate.with_recording, champion.with_recording, rows, drawn)
    if with_recording is None:
        return [Check(COMPARISON, "", "", False, "there is no recording that both have answered")]
    found = list(_judged(with_recording, limits))
    alone = _differences(candidate.without_recording, champion.without_recording, rows, drawn)
    if alone is None:
        return [*found, Check.not_made(WITHOUT, "no patient of fold 10 has any fact known")]
    return [*found, _judge(WITHOUT, alone["macro_auroc"], limits.margin_macro_auroc, limits)]


def _judged(differences: dict[str, Estimate], limits: Limits) -> Iterator[Check]:
    yield _judge("macro AUROC against the champion's", differences["macro_auroc"], limits.margin_macro_auroc, limits)
    for name in SUPERCLASSES:
        difference = differences[f"auroc/{name}"]
        yield _judge(f"AUROC {name} against the champion's", difference, limits.margin_class_auroc, limits)


def _judge(name: str, difference: Estimate, margin: float, limits: Limits) -> Check:
    low, high = difference.interval.low, difference.interval.high
    allowed = f"interval above {-margin:g}"
    if not (math.isfinite(difference.value) and math.isfinite(low)):
        passed = None if limits.simulated else False
        return Check(name, "undefined", allowed, passed, "a class has no positives, or nothing but positives")
    measured = f"{difference.value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Check(name, measured, allowed, low > -margin, value=difference.value)


def _differences(
    candidate: NDArray[np.float64], champion: NDArray[np.float64], rows: HeldOutRows, drawn: Bootstrap
) -> dict[str, Estimate] | None:
    """Candidate minus champion on the rows that both answer; ``None`` where there are none."""
    both = np.isfinite(np.concatenate([candidate, champion], axis=1)).all(axis=1)
    if not both.any():
        return None
    sides = [_evaluated(name, answers, rows, both) for name, answers in (("new", candidate), ("old", champion))]
    (pair,) = compare_all(sides, replicates=drawn.replicates, seed=drawn.seed)
    return dict(pair.differences)


def _evaluated(model: str, probabilities: NDArray[np.float64], rows: HeldOutRows, kept: NDArray[np.bool_]) -> Evaluated:
    return Evaluated(
        feature_set="clinical",
        model=model,
        folder=Path(),
        digest=rows.digest,
        simulated=rows.simulated,
        ecg_ids=rows.ecg_ids[kept],
        patients=rows.patients[kept],
        labels=rows.labels[kept],
        probabilities=probabilities[kept],
        thresholds=np.full(len(SUPERCLASSES), 0.5),
    )


TIME_LIMIT_S = 900


class InstallationError(LeadwiseError):
    """The requirements of a version cannot be installed."""


@contextmanager
def clean_environment(requirements: Path) -> Iterator[str]:
    """Yield the interpreter of an environment that is removed afterwards.

    Args:
        requirements: the version's ``requirements.txt``.

    Raises:
        InstallationError: they cannot be installed.
    """
    from uv import find_uv_bin

    with temporary_folder("environment") as folder:
        python = str(folder / "bin" / "python")
        _uv(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, "--no-project", str(folder))
        _uv(find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--requirements", str(requirements))
        yield python


def _uv(*command: str) -> None:
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InstallationError(f"{' '.join(command[1:3])}: not done within {TIME_LIMIT_S} s") from None
    if finished.returncode != 0:
        raise InstallationError(f"{' '.join(command[1:3])} failed:\n{finished.stderr[-2000:]}")


LARGEST_DIFFERENCE = 1e-5


def parity_checks(parity: Mapping[str, Parity]) -> list[Check]:
    """One check per network.

    Args:
        parity: by network, measured while it was packaged; empty where there is no Keras network to compare with.
    """
    if not parity:
        why = "there is no Keras network beside a pretrained package; it was compared before it was bundled"
        return [Check.not_made("ONNX against Keras", why, f"at most {LARGEST_DIFFERENCE:g}")]
    return [
        Check.at_most(
            f"ONNX against Keras, {name}",
            found.difference,
            LARGEST_DIFFERENCE,
            shown="{:.2g}",
            note=f"{found.rows} rows of fold 9",
        )
        for name, found in parity.items()
    ]


SAME_DATA = "same data as the champion"


@dataclass(frozen=True)
class Champion:
    """The version that has the alias now, as far as its tags tell.

    Attributes:
        version: as MLflow counts.
        digest: of the data that it was trained and evaluated on; empty where it is not known.
        simulated: whether they are simulated; ``None`` where it is not known.
    """

    version: str
    digest: str
    simulated: bool | None


def data_check(digest: str, champion: Champion | None, limits: Limits) -> Check:
    """Compare the candidate's digest with the champion's.

    Args:
        digest: of the candidate's data.
        champion: ``None`` where there is none.
        limits: whether a change of data is allowed. Real data never give way to simulated ones.
    """
    if champion is None:
        return Check(SAME_DATA, digest[:12], "any", None, "there is no champion yet")
    allowed = f"{champion.digest[:12] or 'unknown'}, that of version {champion.version}"
    if champion.simulated is False and limits.simulated:
        return Check(
            SAME_DATA, digest[:12], allowed, False, "the champion's data are real, the candidate's are simulated"
        )
    if digest == champion.digest:
        return Check(SAME_DATA, digest[:12], allowed, True)
    change = f"version {champion.version} was trained on other data; it is compared on the candidate's fold 10"
    if limits.allow_other_data:
        return Check(SAME_DATA, digest[:12], "any", True, f"{change}, as the parameters allow")
    parameter = "simulated-allow-other-data" if limits.simulated else "allow-other-data"
    return Check(SAME_DATA, digest[:12], allowed, False, f"{change}; {parameter}=true allows the change")


NO_LEAK = "no leaking input"
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
        allowed = set(feature_names(SERVED_FEATURE_SET))
        problems = []
        if description["feature_set"] != SERVED_FEATURE_SET:
            problems.append(f"feature set {description['feature_set']}, only {SERVED_FEATURE_SET} is served")
        for role, entry in description["networks"].items():
            metadata = entry["preprocessing"]["metadata"]
            found = {value.name: value.shape[-1] for value in open_session(folder / entry["file"]).get_inputs()}
            names += [*sorted(found.keys() - {"metadata"}), *metadata["features"]]
            foreign = [
                *(found.keys() - NETWORK_INPUTS),
                *(set(metadata["features"]) - allowed),
            ]
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
    return Check(NO_LEAK, ", ".join(inputs.names), allowed, not inputs.problems, "; ".join(inputs.problems))
