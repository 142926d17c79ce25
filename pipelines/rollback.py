"""Give the alias champion back to the version that had it before."""

import mlflow

from leadwise.config import Parameters
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Move the alias, and say which version has it now."""
    from leadwise.registry.champion import roll_back
    from leadwise.registry.register import name_to_roll_back

    name = name_to_roll_back(parameters)
    before, now = roll_back(name)
    mlflow.set_tags({"registered": f"{name} version {now} @champion", "rolled-back": f"{name} version {before}"})
    print(f"{name} version {now} is @champion again; version {before} was rolled back")


if __name__ == "__main__":
    run_stage("rollback", work)
