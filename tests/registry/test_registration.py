import json
import shutil
from dataclasses import asdict
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from leadwise.config import Parameters
from leadwise.contract import DISCLAIMER, STATEMENTS, LeadwiseError
from leadwise.datasets.base import dataset_named
from leadwise.datasets.store import open_store
from leadwise.parameters import load_parameters
from leadwise.registry.candidates import build_package, stored_records
from leadwise.registry.champion import alias_of
from leadwise.registry.register import GateFailed, Registered, name_to_roll_back, register_champion, registered_name
from leadwise.registry.smoke_test import RoundTripError, compare_answers
from leadwise.serving.scorer import Scorer

# The first test waits until two networks are trained, packaged and registered.
pytestmark = [pytest.mark.xdist_group("champion"), pytest.mark.timeout(1500)]


def test_a_champion_of_simulated_data_is_the_demo(registered: Registered, trained: Parameters) -> None:
    assert (registered.name, registered.alias, registered.simulated) == ("leadwise-demo", "champion", True)
    version = mlflow.MlflowClient().get_model_version_by_alias("leadwise-demo", "champion")
    assert str(version.version) == registered.version
    assert version.tags["model"] == registered.model == "fusion_augmented"
    assert version.tags["data.simulated"] == "true"
    assert "simulated" in version.description
    assert DISCLAIMER in version.description
    assert version.description.startswith("Gate passed: leadwise-demo version 1 (fusion_augmented), there was no")
    assert "| ONNX against Keras, fusion_augmented |" in version.description
    assert (version.tags["gate"], version.tags["gate.failed"]) == ("passed", "none")
    assert alias_of("leadwise-demo", "challenger") is None
    model = mlflow.MlflowClient().get_registered_model("leadwise-demo")
    assert "models:/leadwise-demo@champion" in model.description
    assert "simulated" in model.description
    assert DISCLAIMER in model.description
    on_disk = json.loads((trained.shared.workspace / "registered.json").read_text(encoding="utf-8"))
    assert on_disk == asdict(registered) | {"requirements": list(registered.requirements)}
    assert registered.uri == "models:/leadwise-demo@champion"


@pytest.fixture
def workspace(trained: Parameters, tmp_path: Path) -> Path:
    """A copy of what the stages left."""
    return Path(shutil.copytree(trained.shared.workspace, tmp_path / "workspace", symlinks=True))


def test_a_version_below_a_floor_stays_challenger_and_the_champion_who_it_was(
    registered: Registered, trained: Parameters, workspace: Path
) -> None:
    strict = trained.model_copy(
        update={
            "shared": trained.shared.model_copy(update={"workspace": workspace}),
            "gate": trained.gate.model_copy(update={"limits": "macro_auroc:1,auroc:0,ece:1"}),
        }
    )
    told: list[str] = []
    with mlflow.start_run() as run, pytest.raises(GateFailed) as refused:
        register_champion(strict, tell=told.append)
    version = refused.value.registered.version
    assert str(refused.value).startswith(f"Gate FAILED: leadwise-demo version {version} (fusion_augmented), compared")
    assert str(refused.value).endswith(f"It is @challenger; version {registered.version} stays @champion.")
    assert alias_of("leadwise-demo", "champion") == registered.version
    assert alias_of("leadwise-demo", "challenger") == version
    found = mlflow.MlflowClient().get_model_version("leadwise-demo", version)
    assert found.description.startswith("Gate FAILED: ")
    assert len(found.description) <= 5000
    assert (found.tags["gate"], found.tags["gate.failed"]) == ("failed", "macro AUROC")
    assert found.tags["gate.compared-with"] == registered.version
    assert "previous-champion" not in found.tags
    report = json.loads((workspace / "gate.json").read_text(encoding="utf-8"))
    assert (report["passed"], report["champion"]) == (False, registered.version)
    # The same networks as the champion's: no difference on any draw.
    (macro,) = [check for check in report["checks"] if check["name"] == "macro AUROC against the champion's"]
    assert (macro["measured"], macro["passed"]) == ("+0.0000 [+0.0000, +0.0000]", True)
    assert json.loads((workspace / "registered.json").read_text(encoding="utf-8"))["alias"] == "challenger"
    assert told == [refused.value.report.to_text()]
    logged = mlflow.get_run(run.info.run_id)
    assert logged.data.tags["gate"] == "failed"
    (measured,) = [check["value"] for check in report["checks"] if check["name"] == "macro AUROC"]
    assert logged.data.metrics["gate/macro_AUROC"] == pytest.approx(measured)
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"gate.json", "gate.md"} <= names
    assert name_to_roll_back(strict) == "leadwise-demo"


def test_the_package_answers_stored_records_as_the_evaluation_did(registered: Registered, trained: Parameters) -> None:
    workspace = trained.shared.workspace
    store = open_store(workspace / "store")
    rows = store.rows("test")[:5]
    table = pd.read_parquet(workspace / "evaluation" / "clinical" / "fusion_augmented" / "predictions.parquet")
    table = table.set_index("ecg_id").loc[store.records["ecg_id"].iloc[rows]]
    requests = [
        {"signal": record.signal_mv.tolist(), "fs_hz": record.fs_hz, **record.patient}
        for record in stored_records(store, rows)
    ]
    answers = Scorer.load(workspace / "package").score(requests)
    for answer, (_, expected) in zip(answers, table.iterrows(), strict=True):
        for name, probability in answer["probabilities"].items():
            assert probability == pytest.approx(expected[f"p_{name}"], abs=1e-5)


def test_findings_are_registered_and_answered_as_keras_gives_them(registered: Registered, trained: Parameters) -> None:
    from leadwise.training.prediction import load_trained

    workspace = trained.shared.workspace
    store = open_store(workspace / "store")
    rows = store.rows("validation")[:2]
    by_keras = load_trained(workspace / "models" / "clinical" / "fusion_augmented").answers(store, rows)["statements"]
    records = stored_records(store, rows)
    table = pd.DataFrame([{"signal": r.signal_mv.tolist(), "fs_hz": r.fs_hz, **r.patient} for r in records])
    model = mlflow.pyfunc.load_model(registered.uri)
    for answer, raw in zip(model.predict(table, params={"all_findings": True}), by_keras, strict=True):
        found = {finding["code"]: finding["probability"] for finding in answer["findings"]}
        assert set(found) == {"AFIB", "IMI"}
        for code, probability in found.items():
            p = float(raw[STATEMENTS.index(code)])
            logit = np.log(p / (1 - p))
            assert probability == pytest.approx(1 / (1 + np.exp(-1.1 * logit - 0.3)), abs=2e-5)
    description = json.loads((workspace / "package" / "model.json").read_text(encoding="utf-8"))
    statements = description["networks"]["fusion"]["statements"]
    assert [entry["code"] for entry in statements] == list(STATEMENTS)
    assert {entry["code"] for entry in statements if entry["trusted"]} == {"AFIB", "IMI"}
    assert description["networks"]["metadata"]["statements"] == []


def test_simulated_weights_never_become_leadwise(trained: Parameters, tracking: str) -> None:
    asked = load_parameters({"workspace": str(trained.shared.workspace), "registered-model": "Leadwise"})
    refused = pytest.raises(LeadwiseError, match=r"registered-model: .* but the data are simulated; allowed: auto")
    with mlflow.start_run(), refused:
        register_champion(asked)


def test_the_name_follows_the_data_unless_another_is_asked_for() -> None:
    real, simulated = dataset_named("ptbxl"), dataset_named("synthetic")
    assert registered_name("auto", real) == registered_name("leadwise", real) == "leadwise"
    assert registered_name("auto", simulated) == "leadwise-demo"
    assert registered_name("mine", simulated) == "mine"


def test_an_evaluation_of_other_weights_stops_packaging_and_leaves_the_old_package(workspace: Path) -> None:
    shutil.rmtree(workspace / "package", ignore_errors=True)
    (workspace / "package").mkdir()
    predictions = workspace / "evaluation" / "clinical" / "metadata" / "predictions.parquet"
    table = pd.read_parquet(predictions)
    table["raw_MI"] = np.clip(table["raw_MI"].to_numpy() + np.float32(0.01), 0, 1)
    table.to_parquet(predictions)
    with pytest.raises(LeadwiseError, match=r"metadata: .* was made with other weights"):
        build_package(load_parameters({"workspace": str(workspace), "monitor": "val/binary_accuracy"}))
    assert list((workspace / "package").iterdir()) == []
    assert sorted(path.name for path in workspace.iterdir() if path.name.startswith(".")) == []


def test_statements_of_another_network_or_unreadable_ones_stop_packaging(workspace: Path) -> None:
    asked = load_parameters({"workspace": str(workspace), "monitor": "val/binary_accuracy"})
    evaluation = workspace / "evaluation" / "clinical"
    shutil.copy(evaluation / "fusion_augmented" / "statements.json", evaluation / "metadata")
    with pytest.raises(LeadwiseError, match=r"metadata: does not answer statements, but .* run the evaluate stage"):
        build_package(asked)
    (evaluation / "metadata" / "statements.json").write_text('{"statements"', encoding="utf-8")
    with pytest.raises(LeadwiseError, match=r"statements\.json: absent or unreadable .* run the evaluate stage"):
        build_package(asked)


def test_an_answer_that_differs_from_the_package_is_refused() -> None:
    expected = {
        "model": "fusion",
        "probabilities": {"MI": 0.5},
        "decisions": {"MI": True},
        "thresholds": {"MI": 0.4},
        "findings": [{"code": "AFIB", "probability": 0.9}],
    }
    compare_answers(expected, expected, model_uri="models:/x/1")
    with pytest.raises(RoundTripError, match=r"models:/x/1: answers MI 0\.01 off its package"):
        compare_answers(expected, expected | {"probabilities": {"MI": 0.51}}, model_uri="models:/x/1")
    with pytest.raises(RoundTripError, match=r"answers finding AFIB 0\.1 off its package"):
        compare_answers(expected, expected | {"findings": [{"code": "AFIB", "probability": 0.8}]}, model_uri="x")
    with pytest.raises(RoundTripError, match=r"answers \['MI'\], its package \['MI', 'finding AFIB'\]"):
        compare_answers(expected, expected | {"findings": []}, model_uri="x")
    with pytest.raises(RoundTripError, match="answers decisions"):
        compare_answers(expected, expected | {"decisions": {"MI": False}}, model_uri="models:/x/1")
