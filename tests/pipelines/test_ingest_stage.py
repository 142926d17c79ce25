"""The ingest stage as a program: its exit status, and what it leaves in the tracking server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from leadwise.config import PROJECT_ROOT

DATABASE = "ptbxl_database.csv"


def test_what_is_wrong_stops_with_status_1_and_a_report(simulated_tree: Path, tmp_path: Path) -> None:
    """What one that passes leaves, ``test_whole_run`` asks."""
    damaged = Path(shutil.copytree(simulated_tree, tmp_path / "damaged"))
    table = pd.read_csv(damaged / DATABASE, dtype=str)
    table.loc[4, "sex"] = "2"
    table.to_csv(damaged / DATABASE, index=False)
    tracking_uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    script, workspace = PROJECT_ROOT / "pipelines" / "ingest.py", tmp_path / "workspace"
    stopped = subprocess.run(
        [sys.executable, str(script), "--source", str(damaged), "--workspace", str(workspace)],
        cwd=tmp_path,
        env=inherited | {"MLFLOW_TRACKING_URI": tracking_uri, "PYTHONPATH": str(PROJECT_ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert "Sex is 0 (male) or 1 (female): 1 of" in stopped.stderr
    assert "ecg_id 5: 2" in stopped.stderr
    client = MlflowClient(tracking_uri)
    (run,) = client.search_runs(["1"])
    assert (run.info.status, run.data.tags["validation.verdict"]) == ("FAILED", "stopped")
    assert run.data.metrics["ingest/table/sex_coded"] == 1
    assert {"validation/summary.html", "validation/data_docs"} <= {
        file.path for file in client.list_artifacts(run.info.run_id, "validation")
    }
    assert not (workspace / "store").exists()
