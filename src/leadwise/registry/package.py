"""The package: two ONNX networks, what belongs to them as JSON, an example request, and the code that scores."""

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leadwise
from leadwise.atomic import folder_written_atomically
from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.contract import (
    DISCLAIMER,
    FS_HZ,
    LEADS,
    MICROVOLTS_PER_UNIT,
    SUPERCLASSES,
    ECGRecord,
    LeadwiseError,
)
from leadwise.datasets.store import Store, open_store
from leadwise.datasets.synthetic import simulate_record
from leadwise.evaluation.files import STATEMENTS_FILE
from leadwise.registry.candidates import Candidate, choose_candidates, read_policy_rates
from leadwise.registry.onnx_export import export_onnx
from leadwise.serving.network import Network
from leadwise.serving.request import FACTS
from leadwise.serving.scorer import DESCRIPTION_FILE, Scorer
from leadwise.training.prediction import TrainedModel, load_trained

PACKAGE_FOLDER = "package"
EXAMPLE_FILE = "input_example.json"
CODE_FOLDER = "code"
LARGEST_DIFFERENCE = 1e-4
"""Between the evaluation's probabilities and those of the network that is packaged."""
ROWS_COMPARED = 256
"""Rows of fold 9 on which ONNX, Keras and the evaluation are compared."""
REPORTED = ("macro_auroc", "binary_accuracy", "floor/binary_accuracy", "chosen/macro_f1", "ece")
"""Figures of fold 10 that a package carries along."""
EXAMPLE_SEED = 2

SERVED_CODE: tuple[str, ...] = (
    "__init__.py",
    "contract.py",
    "calibration.py",
    "memory.py",
    "policies.py",
    "quiet.py",
    "datasets/__init__.py",
    "datasets/metadata.py",
    "ecg/*.py",
    "ecg/reversal.json",
    "explain.py",
    "serving/*.py",
)
"""The parts of Leadwise that scoring needs: neither TensorFlow nor anything else of training."""

SERVED_PREFIX = "leadwise_served_"
_IMPORT = re.compile(rb"^( *from )leadwise(?=[. ])", re.MULTILINE)


class PackagingError(LeadwiseError):
    """The package would not answer as the trained models do."""


@dataclass(frozen=True)
class Parity:
    """How far apart the outputs of ONNX and Keras are.

    Attributes:
        difference: the largest, of any output.
        rows: of fold 9 that were compared.
    """

    difference: float
    rows: int


@dataclass(frozen=True)
class Package:
    """A finished package.

    Attributes:
        folder: where it lies.
        description: content of ``model.json``.
        example: one row of a request.
        parity: of each network by its name; empty where it was not packaged here.
    """

    folder: Path
    description: Mapping[str, Any]
    example: Mapping[str, Any]
    parity: Mapping[str, Parity] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Package":
        """Open a package folder.

        Raises:
            PackagingError: a file is absent or unreadable.
        """
        try:
            description, example = (
                json.loads((folder / name).read_text(encoding="utf-8")) for name in (DESCRIPTION_FILE, EXAMPLE_FILE)
            )
        except (OSError, ValueError) as error:
            raise PackagingError(f"{folder}: no whole package ({error}); run the register stage first") from None
        return cls(folder, description, example)

    @property
    def model(self) -> str:
        """The fusion model inside."""
        return str(self.description["networks"]["fusion"]["name"])

    @property
    def simulated(self) -> bool:
        """Whether the weights come from simulated data."""
        return bool(self.description["simulated"])

    @property
    def network_files(self) -> dict[str, Path]:
        """The ONNX files by role."""
        return {role: self.folder / entry["file"] for role, entry in self.description["networks"].items()}


def build_package(parameters: Parameters) -> Package:
    """Write ``<workspace>/package`` from what the train and evaluate stages left.

    Raises:
        CandidateError: there is nothing to package, or nothing that may be served.
        PackagingError: the evaluation is of other weights, or of statements that the network does not answer.
    """
    fusion, metadata = choose_candidates(parameters)
    store = open_store(parameters.shared.workspace / "store")
    folder = parameters.shared.workspace / PACKAGE_FOLDER
    description = describe_package(fusion, metadata, store)
    example = example_row()
    with folder_written_atomically(folder) as target:
        trained = {role: load_trained(model.folder) for role, model in (("fusion", fusion), ("metadata", metadata))}
        for role, model in trained.items():
            export_onnx(model.network, target / description["networks"][role]["file"])
        (target / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2, allow_nan=False), encoding="utf-8")
        (target / EXAMPLE_FILE).write_text(json.dumps(example), encoding="utf-8")
        stage_code(target / CODE_FOLDER)
        scorer = Scorer.load(target)
        parity = {
            candidate.name: _compare(candidate, trained[role], network, store)
            for candidate, role, network in (
                (fusion, "fusion", scorer.fusion),
                (metadata, "metadata", scorer.metadata),
            )
        }
    return Package(folder, description, example, parity)


def describe_package(fusion: Candidate, metadata: Candidate, store: Store) -> dict[str, Any]:
    """What ``model.json`` holds."""
    networks = {
        role: {
            "name": model.name,
            "file": f"{role}.onnx",
            "preprocessing": dict(model.preprocessing),
            "decision": dict(model.decision),
            "validation": dict(model.validation),
            "test": {name: model.metrics[f"test/{name}"] for name in REPORTED if f"test/{name}" in model.metrics},
            "policy_rates": read_policy_rates(model.evaluation),
            "recipe": dict(model.training["parameters"]),
            "run_id": model.training.get("run_id"),
            "statements": read_statements(model.evaluation),
        }
        for role, model in (("fusion", fusion), ("metadata", metadata))
    }
    return {
        "leadwise": leadwise.__version__,
        "classes": list(SUPERCLASSES),
        "leads": list(LEADS),
        "feature_set": fusion.training["feature_set"],
        "data": {"digest": store.manifest["digest"], "release": store.manifest["release"]},
        "simulated": bool(
            store.manifest["simulated"] or fusion.training["simulated"] or metadata.training["simulated"]
        ),
        "networks": networks,
        "disclaimer": DISCLAIMER,
    }


def read_statements(evaluation: Path) -> list[dict[str, Any]]:
    """What the evaluate stage found out about each SCP-ECG statement; nothing where the network does not answer them.

    Raises:
        PackagingError: ``statements.json`` is there and cannot be read.
    """
    file = evaluation / STATEMENTS_FILE
    if not file.is_file():
        return []
    try:
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["statements"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackagingError(f"{file}: cannot be read ({error!r}); run the evaluate stage again") from None
    return found


def example_row() -> dict[str, Any]:
    """One row of a request with a simulated recording: 10 s, 12 leads, rounded to a microvolt."""
    record = simulate_record("MI", EXAMPLE_SEED)
    return {
        "id": "example",
        "signal": [[round(float(value), 3) for value in sample] for sample in record.signal_mv],
        "leads": list(LEADS),
        "fs_hz": record.fs_hz,
        "units": "mV",
        **{name: value for name, value in record.patient.items() if value is not None},
    }


def stage_code(folder: Path) -> Path:
    """Copy the parts of Leadwise that scoring needs, as a package whose name says which code it is.

    Where a model is loaded, ``leadwise`` stays the name of what is installed there, and models of several versions
    have their code side by side.

    Returns:
        ``folder/leadwise_served_<digest>``.
    """
    source = Path(leadwise.__file__).parent
    files = {
        file.relative_to(source).as_posix(): file.read_bytes()
        for pattern in SERVED_CODE
        for file in sorted(source.glob(pattern))
    }
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    package = f"{SERVED_PREFIX}{digest.hexdigest()[:12]}"
    for name, content in files.items():
        target = folder / package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_IMPORT.sub(rb"\1" + package.encode(), content) if name.endswith(".py") else content)
    return folder / package


@contextmanager
def served_code(folder: Path) -> Iterator[dict[str, Any]]:
    """What MLflow's ``log_model`` and ``save_model`` take of the code in a folder, importable while they log it.

    Args:
        folder: where ``stage_code`` has written it.
    """
    (package,) = folder.glob(f"{SERVED_PREFIX}*")
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield {"python_model": str(package / "serving" / "pyfunc_model.py"), "code_paths": [str(package)]}
    finally:
        sys.path.remove(str(folder))


def _compare(candidate: Candidate, trained: TrainedModel, network: Network, store: Store) -> Parity:
    """Score rows of fold 9 as requests are scored, and with Keras; the evaluation must be of these weights.

    Returns:
        The difference between ONNX and Keras, which the gate judges.

    Raises:
        PackagingError: the evaluation is of other weights, or of statements that the network does not answer.
    """
    validation = store.rows("validation")
    rows = validation[np.unique(np.linspace(0, len(validation) - 1, ROWS_COMPARED).round().astype(int))]
    by_keras = trained.answers(store, rows)
    if missing := set(network.outputs) - set(by_keras):
        raise PackagingError(
            f"{candidate.name}: does not answer {', '.join(sorted(missing))}, but {candidate.evaluation} says how good "
            "they are; run the evaluate stage again"
        )
    table = pd.read_parquet(candidate.evaluation / "predictions.parquet").set_index("ecg_id")
    evaluated = table.loc[store.records["ecg_id"].iloc[rows], [f"raw_{name}" for name in SUPERCLASSES]].to_numpy()
    if (difference := float(np.abs(by_keras["superclasses"] - evaluated).max())) > LARGEST_DIFFERENCE:
        raise PackagingError(
            f"{candidate.name}: {candidate.evaluation} was made with other weights (probabilities differ by "
            f"{difference:.2g}); run the evaluate stage again"
        )
    by_onnx = [network.answers(record.patient, record) for record in stored_records(store, rows)]
    differences = [np.abs(by_keras[name] - np.stack([row[name] for row in by_onnx])).max() for name in network.outputs]
    # Not Python's max, which would lose a NaN.
    return Parity(float(np.max(differences)), len(rows))


def stored_records(store: Store, rows: np.ndarray) -> list[ECGRecord]:
    """Rows of a store as recordings, with the facts about the patient that a request may state."""
    return [
        ECGRecord(
            signal_mv=store.signals[row].astype(np.float32) * np.float32(MICROVOLTS_PER_UNIT / 1000),
            fs_hz=FS_HZ,
            patient=facts,
        )
        for row, facts in zip(rows, stored_facts(store, rows), strict=True)
    ]


def stored_facts(store: Store, rows: np.ndarray) -> list[dict[str, float]]:
    """What a request may state of the patients of some rows: the facts that are known."""
    patients = store.patients().iloc[rows][list(FACTS)].astype(float)
    return [
        {str(name): value for name, value in facts.items() if value == value}
        for facts in patients.to_dict(orient="records")
    ]


LOCK_FILE = PROJECT_ROOT / "requirements.lock"

SERVED_PACKAGES: tuple[str, ...] = (
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "onnxruntime",
    "orjson",
    # Without these two the scoring server answers an order of magnitude slower when it has several workers.
    "uvloop",
    "httptools",
    # What leadwise.serving.api and leadwise.serving.connections reach into.
    "starlette",
    "uvicorn",
)
"""What scoring imports, and what makes the scoring server fast; no TensorFlow."""


class RequirementsError(LeadwiseError):
    """The lock file does not pin a package that a served model needs."""


def served_requirements(lock: Path = LOCK_FILE) -> list[str]:
    """``name==version`` of ``SERVED_PACKAGES`` as the lock pins them for the running Python.

    Raises:
        RequirementsError: a package is not pinned there.
    """
    from packaging.requirements import Requirement

    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                pins[requirement.name] = f"{requirement.name}{requirement.specifier}"
    if missing := [name for name in SERVED_PACKAGES if name not in pins]:
        raise RequirementsError(f"{lock}: no pin for {', '.join(missing)}")
    return [pins[name] for name in SERVED_PACKAGES]
