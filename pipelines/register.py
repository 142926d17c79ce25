"""Package the better fusion model, or take the pretrained one; register it, and make it champion if the gate allows."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import mlflow

from leadwise.config import Parameters
from leadwise.stage import log_store, run_stage

if TYPE_CHECKING:
    from leadwise.registry.registration import Registered


def work(parameters: Parameters) -> None:
    """Register, let the gate judge, and say how to serve what was registered."""
    from leadwise.data.store import open_store
    from leadwise.registry.registration import GateFailed, curl_example, register_champion, serve_command

    workspace = parameters.shared.workspace
    if parameters.registration.source == "workspace":
        log_store(open_store(workspace / "store").manifest, "registration")
    try:
        registered = register_champion(parameters, tell=print)
    except GateFailed as failed:
        log_registered(failed.registered)
        raise
    log_registered(registered)
    print(f"{registered.name} version {registered.version} is @{registered.alias}: {registered.model}")
    print(serve_command(registered, 5001))
    print(curl_example(5001, workspace))


def log_registered(registered: "Registered") -> None:
    """What the run tells of the version that it registered."""
    where = f"{registered.name} version {registered.version} @{registered.alias}"
    mlflow.set_tags({"model": registered.model, "registered": where})
    mlflow.log_dict(asdict(registered), "registered.json")


if __name__ == "__main__":
    run_stage("register", work)
