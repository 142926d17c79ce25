"""Search the parameters of each model with Optuna; the train stage takes what was found when use-tuned is set."""

from typing import TYPE_CHECKING, Any

import mlflow

from leadwise.config import Parameters
from leadwise.stage import child_run, log_store, run_stage

if TYPE_CHECKING:
    from leadwise.datasets.store import Store


def tune_one(model: str, parameters: Parameters, store: "Store") -> dict[str, Any]:
    """One study in a run of its own, its trials below it; what it has found."""
    from leadwise.reports.study_report import study_summary, write_study
    from leadwise.training.study import tune_model

    settings = parameters.tune.model_dump(mode="json", by_alias=True, exclude={"study_storage"})
    with child_run(f"tune/{model}", "model", {"model": model}, settings, long=True):
        log_store(store.manifest, "tuning")
        tuned = tune_model(model, parameters, store)
        found = tuned.content
        mlflow.set_tag("study", found["study"])
        mlflow.log_params({f"best/{name}": value for name, value in found["parameters"].items()})
        mlflow.log_metric(f"best/{found['monitor']}", found["value"])
        if found["defaults"] is not None:
            mlflow.log_metric(f"configured/{found['monitor']}", found["defaults"])
        mlflow.log_metrics({f"tune/trials/{state}": number for state, number in found["trials"].items()})
        mlflow.log_dict(found, "tuned.json")
        page, files = write_study(tuned, store.manifest)
        for file in files:
            mlflow.log_artifact(str(file))
        study_summary(tuned, page).log()
        print(f"  page: {files[0].resolve()}", flush=True)
        return found


def work(parameters: Parameters) -> None:
    """Tune what ``model`` asks for."""
    from leadwise.datasets.store import open_store
    from leadwise.reports.study_report import studies_summary

    store = open_store(parameters.shared.workspace / "store")
    log_store(store.manifest, "tuning")
    studies = {model: tune_one(model, parameters, store) for model in parameters.train.models}
    studies_summary(studies, store.manifest).log()


if __name__ == "__main__":
    run_stage("tune", work)
