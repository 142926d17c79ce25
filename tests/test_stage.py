"""What every stage's run holds, whoever else writes to the tracking store at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import mlflow

from leadwise.stage import log_store

WORKERS = 4


def test_workers_that_log_a_new_data_set_at_once_all_have_it(tmp_path: Path) -> None:
    """MLflow alone fails here in a third of the cases, as two workers insert the same data set."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(address)
    experiment = mlflow.create_experiment("race", artifact_location=(tmp_path / "artifacts").as_uri())

    def work(digest: str, barrier: Barrier) -> str:
        with mlflow.start_run(experiment_id=experiment) as run:
            barrier.wait(timeout=60)
            manifest = {"source": str(tmp_path), "simulated": True, "digest": digest, "release": "1.0.3"}
            log_store(manifest, "training")
        return run.info.run_id

    with ThreadPoolExecutor(WORKERS) as pool:
        for digest in (f"{number:012d}" for number in range(5)):
            barrier = Barrier(WORKERS)
            for run_id in pool.map(lambda _, d=digest, b=barrier: work(d, b), range(WORKERS)):
                logged = mlflow.get_run(run_id).inputs.dataset_inputs
                assert [entry.dataset.digest for entry in logged] == [digest]
