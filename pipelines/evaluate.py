"""Evaluate the trained models: choose on fold 9, report on fold 10, one run each, and the table of them all."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.stage import child_run, log_store, run_stage, within_pipeline
from leadwise.tracking_store import save_view

if TYPE_CHECKING:
    from leadwise.datasets.store import Store


def trained_folders(parameters: Parameters) -> list[Path]:
    """The folders of the finished trainings that ``model`` asks for."""
    folder = parameters.shared.workspace / "models" / parameters.shared.feature_set
    found = [folder / model for model in parameters.train.models if (folder / model / "training.json").is_file()]
    if not found:
        raise LeadwiseError(f"model={parameters.train.model}: no trained model in {folder}; run the train stage first")
    return found


def evaluate_one(trained_folder: Path, store: "Store", parameters: Parameters) -> None:
    """One model in a run of its own."""
    from leadwise.evaluation.evaluate import evaluate_model
    from leadwise.reports.evaluation_page import write_evaluation
    from leadwise.training.prediction import load_trained

    trained = load_trained(trained_folder)
    shared, section = parameters.shared, parameters.evaluate
    settings = {"bootstrap": section.bootstrap, "seed": shared.seed, "robustness": section.robustness}
    # What it was trained with, too: so that a learning rate can be laid against a figure of fold 10.
    told = {**trained.training["parameters"], **settings}
    with child_run(f"evaluate/{trained.name}", "model", {"model": trained.name}, told) as run:
        log_store(store.manifest, "evaluation")
        if run_id := trained.training.get("run_id"):
            mlflow.set_tag("trained_by", run_id)
        evaluation = evaluate_model(trained, store, **settings)
        folder = shared.workspace / "evaluation" / shared.feature_set / trained.name
        summary = write_evaluation(evaluation, folder, run.info.run_id)
        mlflow.log_metrics(evaluation.logged_metrics())
        mlflow.log_artifacts(str(folder), "evaluation")
        summary.log()


def work(parameters: Parameters) -> None:
    """Evaluate what ``model`` asks for, then lay the models side by side."""
    from leadwise.datasets.store import open_store
    from leadwise.evaluation import COMPARISONS_FILE, LEAK_FILE, MARKDOWN_FILE, REPORT_FILE, SUMMARY_FILE
    from leadwise.reports.overview import overview_summary, terminal_table, write_overview

    shared, section = parameters.shared, parameters.evaluate
    store = open_store(shared.workspace / "store")
    log_store(store.manifest, "evaluation")
    for folder in trained_folders(parameters):
        evaluate_one(folder, store, parameters)
    save_view()
    other = Path(section.compare_with) if section.compare_with else None
    workspace, features = shared.workspace, shared.feature_set
    summary = write_overview(
        workspace, features, store, compare_with=other, bootstrap=section.bootstrap, seed=shared.seed
    )
    folder = shared.workspace / "evaluation" / shared.feature_set
    if not within_pipeline():
        print(terminal_table(summary))
    print(f"Report: {(folder / REPORT_FILE).resolve()}")
    for name in (REPORT_FILE, SUMMARY_FILE, MARKDOWN_FILE, COMPARISONS_FILE, LEAK_FILE):
        mlflow.log_artifact(str(folder / name))
    overview_summary(summary, str(store.manifest["release"]), folder).log()


if __name__ == "__main__":
    run_stage("evaluate", work)
