"""A package becomes a version in the MLflow registry, and the version the champion."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leadwise import __version__
from leadwise.atomic import write_atomically
from leadwise.config import Parameters
from leadwise.contract import DISCLAIMER, LeadwiseError
from leadwise.data.store import open_store
from leadwise.registry.packaging import CODE_FOLDER, PACKAGE_FOLDER, Package, build_package
from leadwise.registry.requirements import served_requirements
from leadwise.registry.roundtrip import compare_answers, score_in_fresh_process
from leadwise.registry.shipped import unpack_shipped
from leadwise.registry.signature import served_signature
from leadwise.serving.scorer import DESCRIPTION_FILE, Scorer

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

REAL_NAME = "leadwise"
SIMULATED_NAME = "leadwise-demo"
CHAMPION = "champion"
REGISTERED_FILE = "registered.json"
REQUEST_FILE = "request.json"


class RegistrationError(LeadwiseError):
    """A model must not be registered under this name."""


@dataclass(frozen=True)
class Registered:
    """What ``registered.json`` holds.

    Attributes:
        name: the registered model.
        version: its version, as MLflow counts.
        alias: the alias that now points at the version.
        model: the fusion model inside.
        uri: what ``mlflow models serve -m`` takes.
        run_id: the run that logged it.
        simulated: whether the weights come from simulated data.
        requirements: the environment that the version asks for.
    """

    name: str
    version: str
    alias: str
    model: str
    uri: str
    run_id: str
    simulated: bool
    requirements: tuple[str, ...]


def register_champion(parameters: Parameters) -> Registered:
    """Package the better fusion model, or take the pretrained package, and make it the champion.

    Leaves ``package/``, ``registered.json`` and ``request.json`` in the workspace.

    Raises:
        RegistrationError: weights from simulated data are to be registered as ``leadwise``.
        CandidateError: there is nothing that may be registered.
        PackagingError: the package answers otherwise than the trained models, or what was brought along is damaged.
        RoundTripError: the registered version answers otherwise than the package; the alias is not moved.
    """
    workspace, asked = parameters.shared.workspace, parameters.registration.registered_model
    if parameters.registration.source == "pretrained":
        return register_package(unpack_shipped(workspace / PACKAGE_FOLDER), asked, workspace)
    # Refused before anything is exported.
    registered_name(asked, simulated=bool(open_store(workspace / "store").manifest["simulated"]))
    return register_package(build_package(parameters), asked, workspace)


def register_package(package: Package, asked: str, workspace: Path) -> Registered:
    """Register a package, try the registered version, then make it the champion.

    Args:
        package: what is registered.
        asked: the name in the registry, or ``auto``.
        workspace: gets ``registered.json`` and ``request.json``.

    Raises:
        RegistrationError: weights from simulated data are to be registered as ``leadwise``.
        RoundTripError: the registered version answers otherwise than the package; the alias is not moved.
    """
    import mlflow

    # By the weights, not by the store, which may hold other data by now.
    name = registered_name(asked, simulated=package.simulated)
    requirements = served_requirements()
    info = log_package(package, requirements)
    client = mlflow.MlflowClient()
    tags = _tags(package)
    version = mlflow.register_model(info.model_uri, name, tags=tags)
    client.update_model_version(name, version.version, description=describe(package))
    expected = Scorer.load(package.folder).score([package.example])[0]
    uri = f"models:/{name}/{version.version}"
    compare_answers(expected, score_in_fresh_process(uri, package.example), model_uri=uri)
    client.set_registered_model_alias(name, CHAMPION, version.version)
    registered = Registered(
        name=name,
        version=str(version.version),
        alias=CHAMPION,
        model=package.model,
        uri=f"models:/{name}@{CHAMPION}",
        run_id=str(info.run_id),
        simulated=package.simulated,
        requirements=tuple(requirements),
    )
    write_atomically(workspace / REGISTERED_FILE, json.dumps(asdict(registered), indent=2) + "\n")
    write_atomically(workspace / REQUEST_FILE, json.dumps({"dataframe_records": [package.example]}))
    return registered


def registered_name(asked: str, *, simulated: bool) -> str:
    """The name in the registry: ``auto`` chooses by the data.

    Raises:
        RegistrationError: simulated weights are to become ``leadwise``.
    """
    if asked == "auto":
        return SIMULATED_NAME if simulated else REAL_NAME
    if simulated and asked.casefold() == REAL_NAME:
        raise RegistrationError(
            f"registered-model: received {asked!r}, but the data are simulated; allowed: auto, {SIMULATED_NAME}, or "
            "another name of yours"
        )
    return asked


def log_package(package: Package, requirements: list[str]) -> "ModelInfo":
    """Log a package as a pyfunc model, code included, to the active run."""
    import mlflow
    import pandas as pd

    code = package.folder / CODE_FOLDER / "leadwise"
    artifacts = {role: str(file) for role, file in package.network_files.items()}
    return mlflow.pyfunc.log_model(
        name="package",
        python_model=str(code / "serving" / "pyfunc_model.py"),
        artifacts=artifacts | {"description": str(package.folder / DESCRIPTION_FILE)},
        code_paths=[str(code)],
        pip_requirements=requirements,
        signature=served_signature(),
        input_example=pd.DataFrame([dict(package.example)]),
        metadata={"leadwise": __version__, "simulated": package.simulated, "model": package.model},
    )


def describe(package: Package) -> str:
    """The description of a version, in Markdown: what it is, on which data, how good on fold 9 and fold 10."""
    data = package.description["data"]
    origin = (
        "**Trained on simulated data: its answers say nothing about a patient.**"
        if package.simulated
        else "Trained on PTB-XL (Wagner et al. 2020, CC BY 4.0)."
    )
    rows = [
        f"| {network['name']} | {_figure(network['validation'].get('val/macro_auroc'))} | "
        f"{_figure(network['test'].get('macro_auroc'))} | {_figure(network['test'].get('binary_accuracy'))} |"
        for network in package.description["networks"].values()
    ]
    return "\n".join(
        [
            f"{origin} Data release {data['release']}, digest `{data['digest'][:12]}`.",
            "",
            "| model | fold 9 macro AUROC | fold 10 macro AUROC | fold 10 mean binary accuracy |",
            "|---|---|---|---|",
            *rows,
            "",
            f"`{package.model}` answers a recording, `metadata` answers without one. {DISCLAIMER}",
        ]
    )


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _tags(package: Package) -> dict[str, str]:
    data, validation = package.description["data"], package.description["networks"]["fusion"]["validation"]
    return {
        "leadwise.version": __version__,
        "model": package.model,
        "feature_set": package.description["feature_set"],
        "data.digest": data["digest"],
        "data.release": str(data["release"]),
        "data.simulated": str(package.simulated).lower(),
        **{key: f"{value:.6f}" for key, value in validation.items()},
    }


def serve_command(registered: Registered, port: int) -> str:
    """The command that serves the champion."""
    return f"mlflow models serve -m {registered.uri} --env-manager local --port {port}"


def curl_example(port: int, workspace: Path) -> str:
    """A command that asks the server for an answer to ``request.json``; works when pasted."""
    return (
        f"curl -s http://127.0.0.1:{port}/invocations -H 'Content-Type: application/json' "
        f"-d @{workspace / REQUEST_FILE}"
    )
