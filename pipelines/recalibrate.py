"""A version for one site, fitted on half of its patients; it gets the alias site-NAME if the others find it better."""

import mlflow

from leadwise.config import Parameters
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Fit, register, judge, and say how to serve what was registered."""
    from leadwise.registry.register import serve_command
    from leadwise.registry.site import recalibrate_site

    registered = recalibrate_site(parameters, tell=print)
    mlflow.set_tag("registered", f"{registered.name} version {registered.version} @{registered.alias}")
    print(f"{registered.name} version {registered.version} is @{registered.alias}: {registered.model}")
    print(serve_command(registered, 5001))


if __name__ == "__main__":
    run_stage("recalibrate", work)
