"""Package the better fusion model, or take the pretrained one; register it, and make it champion if the gate allows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from leadwise.config import Parameters
from leadwise.reports.report_page import log_card
from leadwise.stage import log_store, run_stage, tag_data

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
    print(serve_command(registered, 5001))
    print(curl_example(5001, workspace))


def log_registered(registered: "Registered", workspace: Path) -> None:
    """What the run tells of the version that it registered."""
    from leadwise.registry.model_card import register_card

    alias = f" @{registered.alias}" if registered.alias else ""
    where = f"{registered.name} version {registered.version}{alias}"
    mlflow.set_tags({"model": registered.model, "registered": where})
    mlflow.log_dict(asdict(registered), "registered.json")
    version = mlflow.MlflowClient().get_model_version(registered.name, registered.version)
    tag_data({name: value for name, value in version.tags.items() if name.startswith("data.")})
    log_card(register_card(registered, workspace))


if __name__ == "__main__":
    run_stage("register", work)
