"""Package the better fusion model, or take the pretrained one; register it, and make it the champion."""

import mlflow

from leadwise.config import Parameters
from leadwise.stage import log_store, run_stage


def work(parameters: Parameters) -> None:
    """Register, and say how to serve what was registered."""
    from leadwise.data.store import open_store
    from leadwise.registry.registration import curl_example, register_champion, serve_command

    workspace = parameters.shared.workspace
    if parameters.registration.source == "workspace":
        log_store(open_store(workspace / "store").manifest, "registration")
    registered = register_champion(parameters)
    mlflow.set_tags(
        {"model": registered.model, "registered": f"{registered.name} version {registered.version} @{registered.alias}"}
    )
    mlflow.log_artifact(str(workspace / "registered.json"))
    print(f"{registered.name} version {registered.version} is @{registered.alias}: {registered.model}")
    print(serve_command(registered, 5001))
    print(curl_example(5001, workspace))


if __name__ == "__main__":
    run_stage("register", work)
