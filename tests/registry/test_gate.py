"""The whole gate on registered versions: real packages, a real registry, fresh processes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadwise.config import Gate as GateParameters
from leadwise.parameters import load_parameters
from leadwise.registry.gate import Gate, JudgedVersion, download
from leadwise.registry.gate_checks import Check, InstallationError, clean_environment
from leadwise.registry.register import register_challenger
from leadwise.registry.smoke_test import HeldOutRows, compare_answers, serving_smoke_test
from leadwise.serving.scorer import Scorer

pytestmark = [pytest.mark.xdist_group("gate"), pytest.mark.timeout(1500)]

NAME = "gate-of-small-networks"
COMPARISON = "not worse than the champion"


def asked(**given: Any) -> GateParameters:
    # The tests' machine may be busy.
    usual = {"p95_latency_ms": 10_000}
    return load_parameters({k.replace("_", "-"): v for k, v in (usual | given).items()}).gate


@pytest.fixture(scope="module")
def versions(make_package: Any, tracking: str) -> dict[str, JudgedVersion]:
    """Registered versions: a good one, a slightly different one, a poor one, the good one again, one that is broken."""
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
    found = {name: Gate(versions[name], gate_rows, asked(), 3) for name in ("good", "other", "poor")}
    return found | {"other, without data": Gate(versions["other"], None, asked(), 3)}


@pytest.fixture
def without_data(gates: dict[str, Gate]) -> Iterator[Gate]:
    """The gate of ``other`` where there is no store; its version has been asked in a fresh process once."""
    gate = gates["other, without data"]
    yield gate
    gate.asked = asked()


def checks_of(report: Any) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def test_a_good_version_passes_where_there_is_no_champion(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion], gate_rows: HeldOutRows
) -> None:
    report = gates["good"].judge(None)
    assert report.passed, report.to_text()
    assert report.verdict.startswith(f"Gate passed: {NAME} version {versions['good'].version} (fusion)")
    checks = checks_of(report)
    left = {name for name, check in checks.items() if check.passed is None}
    assert left == {"answer in a clean environment", "same data as the champion", COMPARISON}
    assert {"no leaking input", "ONNX against Keras, fusion", "peak memory"} <= checks.keys()
    rows = [
        {"signal": (signal * 0.001).tolist(), "fs_hz": 100, **facts}
        for signal, facts in zip(gate_rows.signals[:20], gate_rows.facts[:20], strict=True)
    ]
    scorer = Scorer.load(versions["good"].package.folder)
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
    report = gates["other"].judge(versions["good"].version)
    assert report.passed, report.to_text()
    found = checks_of(report)
    for name in ("same data as the champion", "macro AUROC against the champion's"):
        assert found[name].passed
    assert found["macro AUROC against the champion's, without a recording"].passed


def test_a_poor_version_fails_floors_and_comparison_and_says_so_first(
    gates: dict[str, Gate], versions: dict[str, JudgedVersion]
) -> None:
    report = gates["poor"].judge(versions["good"].version)
    failed = {check.name for check in report.failed}
    assert {"macro AUROC", "macro AUROC against the champion's"} <= failed
    assert not failed & {"no leaking input", "answer in a fresh process", "peak memory"}
    head = report.to_markdown().splitlines()[0]
    assert head.startswith(f"Gate FAILED: {NAME} version {versions['poor'].version} (fusion), compared with version")
    assert "macro AUROC 0." in head and "allowed: at least 0.6" in head
    content = report.to_dict()
    assert (content["passed"], content["verdict"]) == (False, report.verdict)
    assert report.metrics()["gate/macro_AUROC"] < 0.6


def test_without_data_only_what_needs_none_is_checked(without_data: Gate, versions: dict[str, JudgedVersion]) -> None:
    gate = without_data
    first = gate.judge(None)
    assert first.passed, first.to_text()
    found = checks_of(first)
    assert found["answer in a fresh process"].passed
    floors = found["figures on fold 10"]
    assert floors.passed is None and "there is no store" in floors.note
    assert "its package says macro AUROC 0.9000" in floors.note
    assert found["95th percentile of latency"].note.startswith("100 recordings")
    against = gate.judge(versions["good"].version)
    assert [check.name for check in against.failed] == [COMPARISON]
    gate.asked = asked(allow_uncompared="true")
    lenient = gate.judge(versions["good"].version)
    assert lenient.passed and "there is no store" in checks_of(lenient)[COMPARISON].note


def test_the_champion_registered_again_is_the_same_champion_and_budgets_of_time_and_memory_hold(
    versions: dict[str, JudgedVersion],
) -> None:
    budgets = asked(p95_latency_ms=0.001, memory_mib=10)
    report = Gate(versions["again"], None, budgets, 3).judge(versions["good"].version)
    assert checks_of(report)[COMPARISON].passed
    assert {check.name for check in report.failed} == {"95th percentile of latency", "peak memory"}
    assert "allowed: at most 10 MiB" in report.verdict


def test_a_champion_whose_files_are_gone_is_not_replaced_in_silence(
    gates: dict[str, Gate], without_data: Gate, versions: dict[str, JudgedVersion]
) -> None:
    lost = versions["broken"].version
    for gate in (gates["other"], without_data):
        report = gate.judge(lost)
        (failed,) = report.failed
        assert failed.name == COMPARISON
        assert f"version {lost} is the champion and cannot be compared: models:/{NAME}/{lost}: " in failed.note
        assert "allow-uncompared=true" in report.verdict
    assert "its files" in failed.note
    without_data.asked = asked(allow_uncompared="true")
    report = without_data.judge(lost)
    assert report.passed and "allow-uncompared=true" in checks_of(report)[COMPARISON].note


def test_a_candidate_whose_files_are_gone_is_told_and_answers_nothing(versions: dict[str, JudgedVersion]) -> None:
    report = Gate(versions["broken"], None, asked(), 3).judge(None)
    assert {check.name for check in report.failed} == {"files of the version", "answer in a fresh process"}
    assert not report.answers
    assert "Traceback" not in report.verdict


def test_requirements_that_do_not_exist_are_named(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("leadwise-has-no-such-package==1.0\n", encoding="utf-8")
    with pytest.raises(InstallationError, match="leadwise-has-no-such-package"), clean_environment(file):
        pass


@pytest.mark.slow
def test_a_version_answers_where_nothing_but_its_requirements_is_installed(
    versions: dict[str, JudgedVersion], tmp_path: Path
) -> None:
    good = versions["good"]
    with clean_environment(download(good.uri, tmp_path) / "requirements.txt") as python:
        installed = Path(python).parents[1]
        for name in ("*leadwise*", "tensorflow"):
            assert not list(installed.glob(f"lib/*/site-packages/{name}"))
        served = serving_smoke_test(good.uri, good.package.example, python=python)
    assert compare_answers(good.expected, served.example, model_uri=good.uri) < 1e-5
    assert not installed.exists()
