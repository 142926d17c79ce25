"""Write the simulated PTB-XL tree: ``python pipelines/simulate.py --tree data/simulated --patients 1200``."""

from leadwise.config import Parameters
from leadwise.datasets.releases import SIMULATION_FILE
from leadwise.datasets.synthetic import write_simulated_tree
from leadwise.reports.run_summaries import simulation_summary
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    import mlflow

    section = parameters.simulate
    tree = write_simulated_tree(section.tree, patients=section.patients, seed=parameters.shared.seed)
    mlflow.set_tag("data.simulated", "true")
    mlflow.log_artifact(str(tree / SIMULATION_FILE))
    mlflow.log_artifact(str(tree / "ptbxl_database.csv"))
    simulation_summary(tree, SIMULATION_FILE).log()


if __name__ == "__main__":
    run_stage("simulate", work)
