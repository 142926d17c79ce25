"""Single checks of the gate: limits and margins of the metrics on fold 10, the data, ONNX against Keras, the inputs."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.metrics import roc_auc_score
from small_package import small_network

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import GateLimits, dataset_named
from leadwise.evaluation.metrics import METRICS, Metric, MetricInput, register
from leadwise.features import feature_names
from leadwise.parameters import load_parameters
from leadwise.registry.gate_checks import (
    Check,
    Limits,
    comparison_checks,
    data_check,
    floor_checks,
    leak_check,
    parity_checks,
)
from leadwise.registry.package import Parity
from leadwise.registry.register import register_challenger
from leadwise.registry.smoke_test import HeldOutRows, Served

generator = np.random.default_rng(5)
# Well calibrated: the labels are drawn from the probabilities.
GOOD = np.where(generator.random((2000, 5)) < 0.3, 0.95, 0.03) + generator.uniform(-0.02, 0.02, (2000, 5))
LABELS = (generator.random(GOOD.shape) < GOOD).astype(float)
POOR_HYP = np.column_stack([GOOD[:, :4], generator.permutation(GOOD[:, 4])])


def limits(*, simulated: bool = False, **given: str) -> Limits:
    asked = load_parameters({name.replace("_", "-"): value for name, value in given.items()}).gate
    return Limits.of(asked, dataset_named("synthetic" if simulated else "ptbxl"))


@pytest.mark.parametrize(
    ("probabilities", "failed"),
    [
        (GOOD, []),
        (POOR_HYP, ["macro AUROC", "AUROC HYP", "calibration error"]),
        (GOOD / 4, ["calibration error"]),
    ],
)
def test_a_figure_below_its_limit_fails(probabilities: np.ndarray, failed: list[str]) -> None:
    checks = {check.name: check for check in floor_checks(LABELS, probabilities, limits())}
    assert len(checks) == 7
    assert [name for name, check in checks.items() if not check.passed] == failed
    assert checks["macro AUROC"].value == pytest.approx(roc_auc_score(LABELS, probabilities))
    assert checks["AUROC HYP"].measured == f"{roc_auc_score(LABELS[:, 4], probabilities[:, 4]):.4f}"
    assert checks["AUROC HYP"].allowed == "at least 0.85"
    assert checks["calibration error"].allowed == "at most 0.0500"


@pytest.mark.parametrize(("simulated", "outcome"), [(False, False), (True, None)])
def test_a_class_without_positives_passes_nobody(simulated: bool, outcome: bool | None) -> None:
    labels = LABELS.copy()
    labels[:, SUPERCLASSES.index("HYP")] = 0
    found = {check.name: check for check in floor_checks(labels, GOOD, limits(simulated=simulated))}
    for name in ("macro AUROC", "AUROC HYP"):
        assert (found[name].passed, found[name].note) == (outcome, "HYP has 0 positives among 2000 records")
    assert found["AUROC MI"].passed
    nothing_answered = floor_checks(labels[:0], GOOD[:0], limits(simulated=simulated))
    assert {check.passed for check in nothing_answered} == {False}


RECORDS = 600
generator = np.random.default_rng(8)
TRUTH = (generator.random((RECORDS, 5)) < 0.3).astype(float)
ROWS = HeldOutRows("d" * 64, np.arange(RECORDS) // 2, TRUTH, np.zeros((RECORDS, 0, 12), np.int16), [{}] * RECORDS)


def answers(noise: float, seed: int = 1) -> np.ndarray:
    logits = 2 * TRUTH - 1 + np.random.default_rng(seed).normal(0, noise, TRUTH.shape)
    return np.asarray(1 / (1 + np.exp(-logits)))


def served(with_recording: np.ndarray, without: np.ndarray | None = None) -> Served:
    alone = answers(8.0)[: len(with_recording)] if without is None else without
    return Served({}, with_recording, alone, (), np.ones(1), 1.0, 300.0)


def compared(new: Served, old: Served, rows: HeldOutRows = ROWS, asked: Limits | None = None) -> dict[str, Check]:
    checks = comparison_checks(new, old, rows, asked or limits(), seed=4, replicates=200)
    return {check.name.removesuffix(" against the champion's"): check for check in checks}


def outcomes(found: dict[str, Check]) -> set[bool | None]:
    return {check.passed for check in found.values()}


def test_the_same_or_better_answers_are_not_worse_and_a_worse_candidate_is_told_by_how_much() -> None:
    new, old = answers(1.5), answers(1.0)
    same = compared(served(old), served(old))
    assert (len(same), outcomes(same)) == (7, {True})
    assert same["macro AUROC"].measured == "+0.0000 [+0.0000, +0.0000]"
    assert same["macro AUROC"].allowed == "interval above -0.01"
    assert outcomes(compared(served(old), served(new))) == {True}
    worse = compared(served(new), served(old))["macro AUROC"]
    assert worse.passed is False
    assert worse.value == pytest.approx(roc_auc_score(TRUTH, new) - roc_auc_score(TRUTH, old))


def test_a_gain_elsewhere_does_not_pay_for_one_class_that_was_lost() -> None:
    new = np.column_stack([answers(0.5)[:, :4], answers(3.0)[:, 4]])
    found = compared(served(new), served(answers(1.2)))
    assert [found[name].passed for name in ("macro AUROC", "AUROC HYP", "AUROC MI")] == [True, False, True]


def test_a_difference_that_so_few_rows_cannot_tell_fails() -> None:
    few = replace(ROWS, patients=ROWS.patients[:40], labels=TRUTH[:40], facts=ROWS.facts[:40])
    found = compared(served(answers(1.5, 1)[:40]), served(answers(1.5, 2)[:40]), few)
    assert found["macro AUROC"].passed is False


def test_the_answers_without_a_recording_are_compared_too() -> None:
    found = compared(served(answers(1.0), answers(9.0)), served(answers(1.0), answers(3.0)))
    failed = [name for name, check in found.items() if not check.passed]
    assert failed == ["macro AUROC against the champion's, without a recording"]


def test_rows_that_one_of_them_refuses_are_left_out_for_both() -> None:
    new, old = answers(1.0), answers(1.0)
    new[:100], old[300:350] = np.nan, np.nan
    assert outcomes(compared(served(new), served(old))) == {True}
    new[:] = np.nan
    assert outcomes(compared(served(new), served(old))) == {False}


@pytest.mark.parametrize(("simulated", "outcome"), [(False, False), (True, None)])
def test_a_difference_that_is_undefined_passes_nobody(simulated: bool, outcome: bool | None) -> None:
    labels = np.column_stack([np.zeros(RECORDS), TRUTH[:, 1:]])
    same = served(answers(1.0))
    found = compared(same, same, replace(ROWS, labels=labels), limits(simulated=simulated))
    assert [found[name].passed for name in ("macro AUROC", "AUROC NORM", "AUROC MI")] == [outcome, outcome, True]


@pytest.fixture
def doubt() -> Iterator[str]:
    """A metric from outside of the package: how far the probabilities lie from 0 and 1."""
    gate = GateLimits(mean=0.1, mean_margin=0.02)

    def measure(rows: MetricInput) -> np.ndarray:
        return rows.mean(np.minimum(rows.p, 1 - rows.p))

    register(Metric("doubt", "doubt", measure, "doubt", higher_is_better=False, gate=gate))
    yield "doubt"
    del METRICS["doubt"]


@pytest.mark.parametrize("simulated", [False, True])
def test_the_gate_refuses_by_a_metric_that_was_added(doubt: str, simulated: bool) -> None:
    asked = limits(simulated=simulated)
    alone = replace(asked, of_metrics={doubt: asked.of_metrics[doubt]})
    (failed,) = [check for check in floor_checks(LABELS, GOOD * 0.5 + 0.25, alone) if not check.passed]
    assert (failed.name, failed.allowed) == ("doubt", "at most 0.1000")
    assert all(check.passed for check in floor_checks(LABELS, GOOD, alone))
    found = compared(served(0.6 * answers(1.0) + 0.2), served(answers(1.0)), asked=asked)
    assert (found["doubt"].passed, found["doubt"].allowed) == (False, "interval below 0.02")
    assert found["macro AUROC"].passed


def test_simulated_weights_have_looser_limits_and_parameters_replace_single_ones() -> None:
    real, loose = limits(), limits(simulated=True)
    assert {one[0].name for one in real.asked()} == {"auroc", "ece"}
    for (metric, _, strict), (_, _, lax) in zip(real.asked(), loose.asked(), strict=True):
        assert (strict < lax) == (metric.higher_is_better is False)
    assert all(a[2] < b[2] for a, b in zip(real.asked(margins=True), loose.asked(margins=True), strict=True))
    assert (real.replaceable, loose.replaceable) == (False, True)
    asked = limits(limits="macro_auroc:0.95,brier:0.1", margins="auroc:0.2").of_metrics
    assert asked["auroc"] == GateLimits(0.95, 0.85, mean_margin=0.01, each_margin=0.2)
    assert asked["brier"] == GateLimits(0.1)
    with pytest.raises(LeadwiseError, match=r"limits: received 'macro_auc'; allowed: .*macro_auroc"):
        limits(limits="macro_auc:0.9")


HERE, ELSEWHERE = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("theirs", "they_simulate", "we_simulate", "allowed", "outcome"),
    [
        (HERE, "false", False, "false", True),
        (ELSEWHERE, "false", False, "false", False),
        (ELSEWHERE, "false", False, "true", True),
        ("", "false", False, "false", False),
        ("", "false", False, "true", True),
        (ELSEWHERE, "true", True, "false", True),
        (ELSEWHERE, "false", True, "false", False),
        (ELSEWHERE, "true", False, "false", False),
    ],
)
def test_other_data_than_the_champions_are_refused_unless_allowed_and_simulated_ones_never_replace_real_ones(
    theirs: str, they_simulate: str, we_simulate: bool, allowed: str, outcome: bool
) -> None:
    tags = {"data.digest": theirs, "data.simulated": they_simulate}
    check = data_check(HERE, "3", tags, limits(simulated=we_simulate, allow_other_data=allowed))
    assert check.passed is outcome
    assert outcome or "are simulated" in check.note or "allow-other-data=true allows the change" in check.note


@pytest.mark.parametrize(("off", "passed"), [(3e-7, True), (1e-5, True), (2e-5, False), (math.nan, False)])
def test_onnx_may_differ_from_keras_by_a_hundred_thousandth(off: float, passed: bool) -> None:
    fusion, metadata = parity_checks({"fusion": Parity(off, 256), "metadata": Parity(1e-7, 256)})
    assert (fusion.passed, metadata.passed) == (passed, True)
    assert (fusion.name, fusion.note) == ("ONNX against Keras, fusion", "256 rows of fold 9")
    (without,) = parity_checks({})
    assert without.passed is None and "pretrained" in without.note


@pytest.fixture
def folder(make_package: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(make_package().folder, tmp_path / "package"))


def change(folder: Path, features: str, **of_all: Any) -> None:
    """Change what model.json says, and of the fusion network's metadata."""
    description = json.loads((folder / "model.json").read_text(encoding="utf-8")) | of_all
    metadata = description["networks"]["fusion"]["preprocessing"]["metadata"]
    metadata |= {"feature_set": features, "features": list(feature_names(features))}
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")


def test_clinical_networks_pass_and_what_else_they_see_is_named(folder: Path) -> None:
    check = leak_check(folder)
    assert check.passed
    assert check.measured == ", ".join(["signal", *feature_names("clinical")])
    change(folder, "clinical", feature_set="original")
    assert leak_check(folder).note == "feature set original, only clinical is served"
    change(folder, "clinical", feature_set="clinical")
    # An input of the network that nothing describes.
    model = small_network({"of_metadata": np.zeros((15, 5), np.float32)})
    model.graph.input.append(helper.make_tensor_value_info("report", TensorProto.FLOAT, ["batch", 15]))
    onnx.save(model, folder / "metadata.onnx")
    note = "metadata sees report; metadata: takes 15 numbers of metadata, 14 of them have names"
    assert (leak_check(folder).passed, leak_check(folder).note) == (False, note)


def test_a_package_that_sees_what_is_read_off_the_diagnosis_is_never_registered(
    make_package: Any, folder: Path, tracking: str
) -> None:
    change(folder, "original")
    assert "fusion sees infarction_stadium1; fusion sees infarction_stadium2" in leak_check(folder).note
    with pytest.raises(LeadwiseError, match=r"fusion sees infarction_stadium1.*never registered"):
        register_challenger(replace(make_package(), folder=folder), "leaking")
    assert not mlflow.MlflowClient().search_registered_models("name = 'leaking'")
