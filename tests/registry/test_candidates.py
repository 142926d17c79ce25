import json
from pathlib import Path
from typing import Any

import pytest

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.features import feature_names
from leadwise.parameters import load_parameters
from leadwise.registry.candidates import choose_candidates


def leave_model(workspace: Path, name: str, auroc: float, accuracy: float, **changes: Any) -> None:
    """Write what the train and evaluate stages leave of one model, as far as the choice reads it."""
    feature_set = changes.pop("feature_set", "clinical")
    training = {
        "model": name,
        "feature_set": feature_set,
        "digest": "d" * 64,
        "simulated": True,
        "validation": {"val/macro_auroc": auroc, "val/binary_accuracy": accuracy},
        **changes,
    }
    files = {
        f"models/{feature_set}/{name}/training.json": training,
        f"models/{feature_set}/{name}/preprocessing.json": {
            "signal": None,
            "metadata": {"features": list(feature_names(feature_set))},
        },
        f"evaluation/{feature_set}/{name}/metrics.json": {"metrics": {"test/macro_auroc": 0.8, "test/auroc/HYP": None}},
        f"evaluation/{feature_set}/{name}/decision.json": {"temperature": 1.0, "thresholds": {}},
    }
    for file, content in files.items():
        (workspace / file).parent.mkdir(parents=True, exist_ok=True)
        (workspace / file).write_text(json.dumps(content), encoding="utf-8")


def parameters(workspace: Path, **overrides: str) -> Parameters:
    return load_parameters({"workspace": str(workspace), **{k.replace("_", "-"): v for k, v in overrides.items()}})


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    leave_model(tmp_path, "metadata", 0.70, 0.80)
    leave_model(tmp_path, "fusion", 0.90, 0.89)
    leave_model(tmp_path, "fusion_augmented", 0.91, 0.88)
    return tmp_path


@pytest.mark.parametrize(
    ("monitor", "better"), [("val/macro_auroc", "fusion_augmented"), ("val/binary_accuracy", "fusion")]
)
def test_the_better_fusion_model_by_the_monitored_validation_score(workspace: Path, monitor: str, better: str) -> None:
    fusion, metadata = choose_candidates(parameters(workspace, monitor=monitor)).values()
    assert (fusion.name, metadata.name) == (better, "metadata")
    assert fusion.metrics == {"test/macro_auroc": 0.8}


def test_a_monitored_metric_that_fold_9_leaves_undefined_is_said(tmp_path: Path) -> None:
    leave_model(tmp_path, "metadata", float("nan"), 0.80)
    leave_model(tmp_path, "fusion", float("nan"), 0.60)
    with pytest.raises(LeadwiseError, match="monitor: fusion has no val/macro_auroc on fold 9; it has val/binary"):
        choose_candidates(parameters(tmp_path))
    assert choose_candidates(parameters(tmp_path, monitor="val/binary_accuracy"))["fusion"].name == "fusion"


def test_nothing_trained_is_said(tmp_path: Path) -> None:
    with pytest.raises(LeadwiseError, match="none of fusion, fusion_augmented is trained there; run the train"):
        choose_candidates(parameters(tmp_path))


def test_a_model_that_is_not_evaluated_is_named(workspace: Path) -> None:
    (workspace / "evaluation/clinical/metadata/decision.json").unlink()
    with pytest.raises(LeadwiseError, match=r"metadata/decision\.json: absent .* run the evaluate stage"):
        choose_candidates(parameters(workspace))


def test_models_of_different_data_do_not_go_together(workspace: Path) -> None:
    leave_model(workspace, "metadata", 0.7, 0.8, digest="e" * 64)
    with pytest.raises(LeadwiseError, match="data: fusion_augmented on dddddddddddd, metadata on eeeeeeeeeeee"):
        choose_candidates(parameters(workspace))
