"""The package: two ONNX networks, what belongs to them as JSON, an example request, and the code that scores."""

import hashlib
import importlib
import json
import logging
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import leadwise
from leadwise.atomic import folder_written_atomically
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS, SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import Dataset, dataset_named
from leadwise.datasets.synthetic import simulate_record
from leadwise.evaluation import write_json
from leadwise.registry.load import BUNDLED, bundled_files
from leadwise.serving.request import request_fields
from leadwise.serving.scorer import DESCRIPTION_FILE, read_description

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

PACKAGE_FOLDER = "package"
EXAMPLE_FILE = "input_example.json"
CODE_FOLDER = "code"
EXAMPLE_SEED = 2

SERVED_CODE: tuple[str, ...] = (
    "__init__.py",
    "contract.py",
    "features.py",
    "decision.py",
    "memory.py",
    "datasets/__init__.py",
    "datasets/metadata.py",
    "ecg/*.py",
    "ecg/faults.json",
    "ecg/reversal.json",
    "explain.py",
    "serving/*.py",
    "serving/leads_off.json",
)
"""The parts of Leadwise that scoring needs: neither TensorFlow nor anything else of training."""

SERVED_PREFIX = "leadwise_served_"
_IMPORT = re.compile(rb"^( *from )leadwise(?=[. ])", re.MULTILINE)


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
            LeadwiseError: a file is absent or unreadable.
        """
        try:
            example = json.loads((folder / EXAMPLE_FILE).read_text(encoding="utf-8"))
            return cls(folder, read_description(folder), example)
        except (OSError, ValueError) as error:
            raise LeadwiseError(f"{folder}: no whole package ({error}); run the register stage first") from None

    @property
    def model(self) -> str:
        """The fusion model inside."""
        return str(self.description["networks"]["fusion"]["name"])

    @property
    def simulated(self) -> bool:
        """Whether the weights come from simulated data."""
        return bool(self.description["simulated"])

    @property
    def dataset(self) -> Dataset[Any]:
        """The dataset that the weights come from."""
        return trained_on(self.description["data"], simulated=self.simulated)

    @property
    def network_files(self) -> dict[str, Path]:
        """The ONNX files by role."""
        return {role: self.folder / entry["file"] for role, entry in self.description["networks"].items()}


def trained_on(data: Mapping[str, Any], *, simulated: bool) -> Dataset[Any]:
    """The dataset that a manifest or ``model.json`` names; those of before name none; the weights count for more."""
    named = dataset_named(data.get("dataset", "ptbxl"))
    if named.about_patients == simulated:
        return dataset_named("synthetic" if simulated else "ptbxl")
    return named


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


def write_beside_networks(folder: Path, description: Mapping[str, Any]) -> Package:
    """Write what belongs to the networks in a folder: ``model.json``, an example of a request, the code that scores."""
    example = example_row()
    for name, content in ((DESCRIPTION_FILE, description), (EXAMPLE_FILE, example)):
        write_json(folder / name, content)
    stage_code(folder / CODE_FOLDER)
    return Package(folder, description, example)


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


@contextmanager
def _as_pyfunc(package: Package, requirements: list[str]) -> Iterator[dict[str, Any]]:
    artifacts = {role: str(file) for role, file in package.network_files.items()}
    with served_code(package.folder / CODE_FOLDER) as code:
        yield code | {
            "artifacts": artifacts | {"description": str(package.folder / DESCRIPTION_FILE)},
            "pip_requirements": requirements,
            "signature": served_signature(),
            "input_example": pd.DataFrame([dict(package.example)]),
            "metadata": {"leadwise": leadwise.__version__, "simulated": package.simulated, "model": package.model},
        }


def log_package(package: Package, requirements: list[str]) -> "ModelInfo":
    """Log a package as a pyfunc model, code included, to the active run."""
    import mlflow

    with _as_pyfunc(package, requirements) as pyfunc:
        return mlflow.pyfunc.log_model(name="package", **pyfunc)


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


def served_requirements(lock: Path = LOCK_FILE) -> list[str]:
    """``name==version`` of ``SERVED_PACKAGES`` as the lock pins them for the running Python.

    Raises:
        LeadwiseError: a package is not pinned there.
    """
    from packaging.requirements import Requirement

    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                pins[requirement.name] = f"{requirement.name}{requirement.specifier}"
    if missing := [name for name in SERVED_PACKAGES if name not in pins]:
        raise LeadwiseError(f"{lock}: no pin for {', '.join(missing)}")
    return [pins[name] for name in SERVED_PACKAGES]


DECIDED: Mapping[str, Any] = {
    "probabilities": dict.fromkeys(SUPERCLASSES, "double"),
    "decisions": dict.fromkeys(SUPERCLASSES, "boolean"),
    "uncertain": dict.fromkeys(SUPERCLASSES, "boolean"),
}
_QUALITY = [{"flag": "string", "leads": ["string"], "detail": "string"}]
_ATTRIBUTION = {"data": "string", "dtype": "string", "shape": ["long"], "order": "string", "fs_hz": "double"}
_FINDING = {
    "code": "string",
    "description": "string",
    "group": "string",
    "probability": "double",
    "threshold": "double",
    "reported": "boolean",
}
ANSWER: Mapping[str, Any] = {
    **dict.fromkeys(("model", "registered_model", "version", "policy"), "string"),
    **DECIDED,
    "thresholds": dict.fromkeys(SUPERCLASSES, "double"),
    "findings": [_FINDING],
    "windows": [{"start_s": "double", "end_s": "double", **DECIDED, "quality": _QUALITY}],
    "explanations": ({"method": "string", "effects": (("double",),), "attribution": _ATTRIBUTION},),
    "quality": _QUALITY,
    "warnings": ["string"],
    "disclaimer": "string",
    "error": {"code": "string", "field": "string", "message": "string", "row": "long"},
}
"""The columns of an answer and MLflow's types; all but the id are absent where there is an error."""


def served_signature() -> "ModelSignature":
    """Columns of a request, each optional and of any JSON type, its parameters, and columns of the answer.

    MLflow's own check of a typed column answers with the whole request in its message, and reads nested lists slowly
    element by element: so ``leadwise.serving.request`` alone checks.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import (
        AnyType,
        Array,
        ColSpec,
        DataType,
        Map,
        Object,
        ParamSchema,
        ParamSpec,
        Property,
        Schema,
    )

    def made(what: Any, *, optional: Collection[str] = ()) -> Any:
        """A name of a type; a dict of properties; a list with that of its items; a tuple with that of its values."""
        if isinstance(what, dict):
            return Object([Property(name, made(kind), name not in optional) for name, kind in what.items()])
        if isinstance(what, list):
            return Array(made(what[0], optional=optional))
        return Map(made(what[0])) if isinstance(what, tuple) else DataType[what]

    columns = [ColSpec(AnyType(), "id", required=False)]
    for name, what in ANSWER.items():
        columns.append(ColSpec(made(what, optional=DECIDED if name == "windows" else ()), name, required=False))
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in request_fields()]),
        outputs=Schema(columns),
        params=ParamSchema(
            [
                ParamSpec("policy", DataType.string, None),
                ParamSpec("explain", DataType.string, [], (-1,)),
                ParamSpec("all_findings", DataType.boolean, False),
                ParamSpec("as_json", DataType.boolean, False),
            ]
        ),
    )


def unpack_bundled(folder: Path, bundled: Path = BUNDLED) -> Package:
    """Check the pretrained package and write it to a folder, with the code that scores.

    Args:
        folder: where; replaced if it is there.
        bundled: where the package comes from.

    Raises:
        ModelError: it is absent or damaged; the message names the file.
    """
    names = bundled_files(bundled)
    with folder_written_atomically(folder) as target:
        for name in names:
            shutil.copyfile(bundled / name, target / name)
        stage_code(target / CODE_FOLDER)
    return Package.read(folder)


def save_bundled(folder: Path) -> Path:
    """Write the bundled package as a model that MLflow can load.

    Returns:
        Its folder, in ``folder``.

    Raises:
        ModelError: it is absent or damaged; the message names the file.
    """
    import mlflow

    model = folder / "model"
    # Says which versions it could not find out of what serves no environment here.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with _as_pyfunc(unpack_bundled(folder / PACKAGE_FOLDER), list(SERVED_PACKAGES)) as pyfunc:
        mlflow.pyfunc.save_model(path=str(model), **pyfunc)
    return model
