"""Package the better fusion model, or take the pretrained one; register it, and make it champion if the gate allows."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from leadwise.config import Parameters
from leadwise.reports.run_summaries import registration_summary
from leadwise.stage import log_store, run_stage, tag_data, within_pipeline

if TYPE_CHECKING:
    from leadwise.registry.register import Registered


def work(parameters: Parameters) -> None:
    """Register, let the gate judge, and say how to serve what was registered."""
    from leadwise.datasets.store import open_store
    from leadwise.registry.register import GateFailed, curl_example, register_champion, serve_command

    workspace = parameters.shared.workspace
    if parameters.registration.source == "workspace":
        log_store(open_store(workspace / "store").manifest, "registration")
    try:
        registered = register_champion(parameters, tell=print)
    except GateFailed as failed:
        log_registered(failed.registered, workspace)
        raise
    log_registered(registered, workspace)
    print(f"{registered.name} version {registered.version} is @{registered.alias}: {registered.model}")
    if not within_pipeline():
        print(serve_command(registered, 5001))
        print(curl_example(5001, workspace))


def log_registered(registered: "Registered", workspace: Path) -> None:
    """What the run tells of the version that it registered."""
    from leadwise.registry.gate import JSON_FILE
    from leadwise.registry.package import PACKAGE_FOLDER, Package

    alias = f" @{registered.alias}" if registered.alias else ""
    where = f"{registered.name} version {registered.version}{alias}"
    mlflow.set_tags({"model": registered.model, "registered": where})
    mlflow.log_dict(asdict(registered), "registered.json")
    version = mlflow.MlflowClient().get_model_version(registered.name, registered.version)
    tag_data({name: value for name, value in version.tags.items() if name.startswith("data.")})
    gate = json.loads((workspace / JSON_FILE).read_text(encoding="utf-8"))
    package = Package.read(workspace / PACKAGE_FOLDER)
    size = sum(file.stat().st_size for file in package.network_files.values()) / 2**20
    registration_summary(asdict(registered), gate, package.description, size).log()


if __name__ == "__main__":
    run_stage("register", work)
