"""How a model is trained: what the default is, which arithmetic is taken, what tuning left; named configurations."""

import json
from importlib import resources
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.ingest import ingest
from leadwise.datasets.store import open_store
from leadwise.datasets.synthetic import write_simulated_tree
from leadwise.parameters import RENAMED, load_parameters
from leadwise.training.config import precision_here, training_config, tuned_file
from leadwise.training.fit import fit_model
from leadwise.training.prediction import load_trained

CPUS = {
    "flags\t\t: fpu avx512f avx512_bf16 sse": "bfloat16",
    "processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile": "bfloat16",
    "flags\t\t: fpu avx512f avx2 sse": "float32",
    "bugs\t\t: avx512_bf16\nflags\t\t: fpu": "float32",
    "Features\t: fp asimd": "float32",
    "": "float32",
}


@pytest.mark.parametrize("cpu", CPUS)
def test_auto_takes_what_the_processor_computes_faster(cpu: str, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpu)
    assert precision_here("auto", file) == CPUS[cpu]
    assert precision_here("float32", file) == "float32"
    assert precision_here("bfloat16", file) == "bfloat16"


def test_the_default_trains_what_ships() -> None:
    shipped = json.loads(resources.files("leadwise").joinpath("pretrained", "model.json").read_text(encoding="utf-8"))
    recorded = shipped["networks"]["fusion"]["recipe"]
    default = training_config("fusion", load_parameters({"seed": recorded["seed"], "precision": "bfloat16"}))
    ours = default.parameters()
    names = {name: (RENAMED | {"silent-leads": "lead-dropout"}).get(name, name) for name in recorded}
    assert {name for name, known in names.items() if known not in ours} == {
        "privileged-weight", "teachers", "distillation", "time-stretch"
    }  # fmt: skip
    assert ours == {known: recorded[name] for name, known in names.items() if known in ours}


def test_what_tuning_did_not_leave_or_left_before_a_parameter_was_renamed_is_named(tmp_path: Path) -> None:
    parameters = load_parameters({"workspace": str(tmp_path), "use-tuned": True})
    with pytest.raises(LeadwiseError, match=r"use-tuned: .*fusion.json is absent"):
        training_config("fusion", parameters)
    file = tuned_file("fusion", parameters)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"parameters": {"gain": 0.1}}))
    with pytest.raises(LeadwiseError, match=r"fusion.json has gain, which no training takes"):
        training_config("fusion", parameters)


def test_the_original_configuration_trains(simulated_store: Path, tmp_path: Path) -> None:
    """The demo's trains below, and the default everywhere else."""
    small = {"epochs-fusion": 1, "encoder": "original_cnn", "encoder-width": 8, "monitor": "val/binary_accuracy"}
    config = training_config("fusion_augmented", load_parameters({"configuration": "original", **small}))
    training = fit_model(config, open_store(simulated_store), tmp_path / "fusion", report=lambda *_: None)
    assert training["parameters"] == config.parameters()
    assert training["epochs"] == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_reads_every_class_off_the_recording(tmp_path: Path) -> None:
    parameters = load_parameters({"configuration": "demo"})
    tree = write_simulated_tree(tmp_path / "tree", patients=parameters.simulate.patients, seed=parameters.shared.seed)
    ingest(tree, tmp_path / "store", max_unreadable_share=0.0)
    store = open_store(tmp_path / "store")
    rows = store.rows("test")
    found = {}
    for model in ("metadata", "fusion"):
        fit_model(training_config(model, parameters), store, tmp_path / model, report=lambda *_: None)
        answers = load_trained(tmp_path / model).answers(store, rows)["superclasses"]
        areas = roc_auc_score(store.labels()[rows], answers, average=None)
        found[model] = dict(zip(SUPERCLASSES, areas, strict=True))
    macro = {model: sum(areas.values()) / len(areas) for model, areas in found.items()}
    assert macro["fusion"] >= 0.90, found
    assert min(found["fusion"].values()) >= 0.80, found
    assert macro["fusion"] - macro["metadata"] >= 0.15, found
