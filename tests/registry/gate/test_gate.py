"""The whole gate on registered versions: real packages, a real registry, fresh processes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.config import Gate as RequestParams
from leadwise.parameters import load_parameters
from leadwise.registry.gate import Gate, GateReport, JudgedVersion
from leadwise.registry.register import register_challenger
from leadwise.registry.smoke_test import HeldOutRows
from leadwise.serving.scorer import Scorer

pytestmark = [pytest.mark.xdist_group("gate"), pytest.mark.timeout(1500)]

NAME = "gate-of-small-networks"


def asked(**given: Any) -> RequestParams:
    # The tests' machine may be busy.
    usual = {"p95_latency_ms": 10_000}
    return load_parameters({k.replace("_", "-"): v for k, v in (usual | given).items()}).gate


@pytest.fixture(scope="module")
def versions(make_package: Any, tracking: str) -> dict[str, JudgedVersion]:
    """Registered versions: a good one, a slightly different one, a poor one, the good one again, one that is broken."""
    import mlflow

    packages = {"good": make_package(), "other": make_package(0.05), "poor": make_package(2.0)}
    packages["again"] = packages["good"]
    found = {}
    for name, package in packages.items():
        with mlflow.start_run():
            found[name], _ = register_challenger(package, NAME)
    tags = {"data.digest": str(packages["good"].description["data"]["digest"]), "data.simulated": "true"}
    broken = mlflow.MlflowClient().create_model_version(NAME, "/nowhere/at/all", tags=tags)
    return found | {"broken": replace(found["good"], version=str(broken.version))}


@pytest.fixture(scope="module")
def gates(versions: dict[str, JudgedVersion], gate_rows: HeldOutRows) -> dict[str, Gate]:
    return {name: Gate(versions[name], gate_rows, asked(), 3) for name in ("good", "other", "poor")}


def outcomes(report: GateReport) -> dict[str, bool | None]:
    return {check.name: check.passed for check in report.checks}


def test_a_good_version_passes_where_there_is_no_champion(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion], gate_rows: HeldOutRows
) -> None:
    report = gates["good"].judge(None)
    assert report.passed, report.to_text()
    assert report.verdict.startswith(f"Gate passed: {NAME} version {versions['good'].version} (fusion)")
    checks = {check.name: check for check in report.checks}
    possible = {name for name, check in checks.items() if check.passed is not None}
    left = {"answer in a clean environment", "same data as the champion", "not worse than the champion"}
    assert checks.keys() - possible == left
    assert {"no leaking input", "ONNX against Keras, fusion", "peak memory"} <= possible
    scorer = Scorer.load(versions["good"].package.folder)
    rows = [
        {"signal": (signal * 0.001).tolist(), "fs_hz": 100, **facts}
        for signal, facts in zip(gate_rows.signals[:20], gate_rows.facts[:20], strict=True)
    ]
    here = [list(answer["probabilities"].values()) for answer in scorer.score(rows)]
    served = gates["good"]._served
    assert not isinstance(served, str)
    np.testing.assert_allclose(served.with_recording[:20], here, atol=1e-6)
    assert checks["macro AUROC"].value == pytest.approx(roc_auc_score(gate_rows.labels, served.with_recording))
    assert len(served.milliseconds) == len(gate_rows.labels)
    assert 0 < float(np.median(served.milliseconds)) < served.p95_ms
    assert 50 < served.peak_mib < 2000


def test_a_version_that_is_as_good_may_replace_the_champion(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion]
) -> None:
    champion = versions["good"].version
    report = gates["other"].judge(champion)
    assert report.passed, report.to_text()
    assert report.champion == champion
    found = outcomes(report)
    assert found["same data as the champion"]
    assert found["macro AUROC against the champion's"]
    assert found["macro AUROC against the champion's, without a recording"]


def test_a_poor_version_fails_floors_and_comparison_and_says_so_first(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion]
) -> None:
    report = gates["poor"].judge(versions["good"].version)
    failed = {check.name for check in report.failed}
    assert {"macro AUROC", "macro AUROC against the champion's"} <= failed
    assert not failed & {"no leaking input", "answer in a fresh process", "peak memory"}
    head = report.to_markdown().splitlines()[0]
    assert head.startswith(f"Gate FAILED: {NAME} version {versions['poor'].version} (fusion), compared with version")
    assert "macro AUROC 0." in head
    assert "allowed: at least 0.6" in head
    content = report.to_dict()
    assert (content["passed"], content["verdict"]) == (False, report.verdict)
    assert report.metrics()["gate/macro_AUROC"] < 0.6


def test_a_champion_that_does_not_load_is_not_replaced_in_silence(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion], gate_rows: HeldOutRows
) -> None:
    report = gates["other"].judge(versions["broken"].version)
    (failed,) = report.failed
    assert failed.name == "not worse than the champion"
    assert "cannot be compared" in failed.note
    assert "allow-uncompared=true" in report.verdict


def test_without_data_only_what_needs_none_is_checked(versions: dict[str, JudgedVersion]) -> None:
    gate = Gate(versions["other"], None, asked(), 3)
    first = gate.judge(None)
    assert first.passed, first.to_text()
    found = {check.name: check for check in first.checks}
    assert found["answer in a fresh process"].passed
    floors = found["figures on fold 10"]
    assert floors.passed is None
    assert "there is no store" in floors.note
    assert "its package says macro AUROC 0.9000" in floors.note
    assert found["95th percentile of latency"].note.startswith("100 recordings")
    against = gate.judge(versions["good"].version)
    assert [check.name for check in against.failed] == ["not worse than the champion"]
    lenient = replace_asked(gate, asked(allow_uncompared="true")).judge(versions["good"].version)
    assert lenient.passed
    assert "there is no store" in next(c.note for c in lenient.checks if c.name == "not worse than the champion")


def replace_asked(gate: Gate, parameters: RequestParams) -> Gate:
    """The same gate with other parameters of the comparison; what was measured stays."""
    gate.asked = parameters
    return gate


def test_the_champion_registered_again_is_the_same_champion(versions: dict[str, JudgedVersion]) -> None:
    report = Gate(versions["again"], None, asked(), 3).judge(versions["good"].version)
    assert report.passed, report.to_text()
    assert outcomes(report)["not worse than the champion"] is True


def test_budgets_of_time_and_memory_hold(versions: dict[str, JudgedVersion]) -> None:
    report = Gate(versions["good"], None, asked(p95_latency_ms=0.001, memory_mib=10), 3).judge(None)
    assert {check.name for check in report.failed} == {"95th percentile of latency", "peak memory"}
    assert "allowed: at most 10 MiB" in report.verdict


@pytest.mark.parametrize("allowed", [False, True])
def test_a_champion_whose_files_are_gone_is_told_without_data_too(
    versions: dict[str, JudgedVersion], allowed: bool
) -> None:
    lost = versions["broken"].version
    report = Gate(versions["other"], None, asked(allow_uncompared=allowed), 3).judge(lost)
    (found,) = [check for check in report.checks if check.name == "not worse than the champion"]
    assert f"version {lost} is the champion and cannot be compared: models:/{NAME}/{lost}: its files" in found.note
    assert "allow-uncompared=true" in found.note
    assert (found.passed, report.passed) == ((None, True) if allowed else (False, False))


def test_a_candidate_whose_files_are_gone_is_told_and_answers_nothing(versions: dict[str, JudgedVersion]) -> None:
    report = Gate(versions["broken"], None, asked(), 3).judge(None)
    assert {check.name for check in report.failed} == {"files of the version", "answer in a fresh process"}
    assert not report.answers
    assert "Traceback" not in report.verdict
