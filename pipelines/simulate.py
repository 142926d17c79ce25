"""Write the simulated PTB-XL tree: ``python pipelines/simulate.py --tree data/simulated --patients 1200``."""

from leadwise.config import Parameters
from leadwise.datasets.synthetic import MARKER, write_simulated_tree
from leadwise.reports.report_page import log_card
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    import mlflow

    from leadwise.datasets.card import simulate_card

    section = parameters.simulate
    tree = write_simulated_tree(section.tree, patients=section.patients, seed=parameters.shared.seed)
    mlflow.set_tag("data.simulated", "true")
    mlflow.log_artifact(str(tree / MARKER))
    mlflow.log_artifact(str(tree / "ptbxl_database.csv"))
    log_card(simulate_card(tree))


if __name__ == "__main__":
    run_stage("simulate", work)
