"""The alias champion: moved after a comparison with the champion of the moment, by one process at a time, and back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest

from leadwise.contract import LeadwiseError
from leadwise.registry.champion import alias_of, promote, roll_back
from leadwise.registry.gate import Check, GateReport
from leadwise.registry.register import register_challenger

pytestmark = [pytest.mark.xdist_group("gate"), pytest.mark.timeout(900)]

NewModel = Callable[[str, int], list[str]]


@pytest.fixture
def new_model(tracking: str, tmp_path: Path) -> NewModel:
    """A registered model with some versions; the first is champion."""

    def make(name: str, count: int) -> list[str]:
        client = mlflow.MlflowClient()
        client.create_registered_model(name)
        found = [str(client.create_model_version(name, str(tmp_path)).version) for _ in range(count)]
        client.set_registered_model_alias(name, "champion", found[0])
        return found

    return make


def says_nothing(uri: str) -> None:
    """For versions that are none but in the registry."""


def verdict(name: str, version: str, champion: str | None, *, passed: bool) -> GateReport:
    return GateReport(name, version, "fusion", champion, True, "", [Check("not worse", "", "", passed)])


def test_a_version_that_passes_becomes_champion_and_remembers_who_was(new_model: NewModel) -> None:
    first, second, third = new_model("chain", 3)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("chain", "challenger", second)
    promote("chain", second, lambda champion: verdict("chain", second, champion, passed=True))
    assert (alias_of("chain"), alias_of("chain", "challenger")) == (second, None)
    report = promote("chain", third, lambda champion: verdict("chain", third, champion, passed=False))
    assert (report.passed, report.champion, alias_of("chain")) == (False, second, second)
    promote("chain", third, lambda champion: verdict("chain", third, champion, passed=True))
    assert alias_of("chain") == third
    assert roll_back("chain", says_nothing) == (third, second)
    assert alias_of("chain") == second
    assert "rolled-back" in client.get_model_version("chain", third).tags
    assert roll_back("chain", says_nothing) == (second, first)
    with pytest.raises(LeadwiseError, match=f"chain version {first} is the first champion: there is none before"):
        roll_back("chain", says_nothing)
    assert alias_of("chain") == first


def test_rolling_back_refuses_what_is_not_there(new_model: NewModel) -> None:
    client = mlflow.MlflowClient()
    first, second = new_model("gone", 2)
    promote("gone", second, lambda champion: verdict("gone", second, champion, passed=True))
    client.delete_model_version("gone", first)
    with pytest.raises(LeadwiseError, match=f"version {second} followed version {first}, which was deleted"):
        roll_back("gone")
    assert alias_of("gone") == second
    client.delete_registered_model_alias("gone", "champion")
    with pytest.raises(LeadwiseError, match="registered-model: gone has no champion"):
        roll_back("gone")
    with pytest.raises(LeadwiseError, match="registered-model: no model nobody is registered at sqlite"):
        roll_back("nobody")


@pytest.fixture(scope="module")
def three_versions(make_package: Any, tracking: str) -> list[str]:
    """Three versions that answer, registered one after another and each made champion."""
    package, found = make_package(), []
    for _ in range(3):
        with mlflow.start_run():
            candidate, _ = register_challenger(package, "fallen")
        found.append(candidate.version)
        promote("fallen", found[-1], lambda champion: verdict("fallen", found[-1], champion, passed=True))
    return found


def test_rolling_back_never_leads_to_a_version_that_does_not_answer(three_versions: list[str]) -> None:
    first, second, third = three_versions
    client = mlflow.MlflowClient()
    assert roll_back("fallen") == (third, second)
    files = Path(client.get_model_version_download_uri("fallen", first).removeprefix("file://"))
    away = files.rename(files.with_name("moved away"))
    with pytest.raises(
        LeadwiseError, match=rf"version {first}, which does not answer \(.*nothing is rolled back"
    ) as told:
        roll_back("fallen")
    assert "\n" not in str(told.value)
    assert alias_of("fallen") == second
    assert "rolled-back" not in client.get_model_version("fallen", second).tags
    away.rename(files)
    assert roll_back("fallen") == (second, first)


@pytest.mark.parametrize("target", ["copied-to", "origin"])
def test_the_tags_of_a_copy_say_nothing_of_the_model_that_it_is_in(new_model: NewModel, target: str) -> None:
    name = "origin" if target == "origin" else "origin-of-copies"
    _, second = new_model(name, 2)
    promote(name, second, lambda champion: verdict(name, second, champion, passed=True))
    if target != name:
        new_model(target, 2)
    client = mlflow.MlflowClient()
    source = f"models:/{name}/{second}"
    for _ in range(2):
        copy = client.copy_model_version(source, target)
        source = f"models:/{target}/{copy.version}"
    assert copy.tags["previous-champion"] == "1", "MLflow copies the tags"
    client.set_registered_model_alias(target, "champion", copy.version)
    with pytest.raises(LeadwiseError, match=f"{target} version {copy.version} is a copy of .*nothing is rolled back"):
        roll_back(target, says_nothing)
    assert alias_of(target) == str(copy.version)


def test_a_version_that_fails_is_challenger_only_if_it_answers(new_model: NewModel) -> None:
    first, second, third = new_model("mute", 3)
    promote("mute", second, lambda champion: verdict("mute", second, champion, passed=False))
    assert (alias_of("mute"), alias_of("mute", "challenger")) == (first, second)
    silent = GateReport("mute", third, "fusion", first, True, "", [Check("answer in a fresh process", "", "", False)])
    promote("mute", third, lambda champion: silent)
    assert (alias_of("mute"), alias_of("mute", "challenger")) == (first, second)
    promote("mute", third, lambda champion: verdict("mute", third, champion, passed=True))
    assert (alias_of("mute"), alias_of("mute", "challenger")) == (third, None)


def test_two_registrations_at_once_follow_one_another(new_model: NewModel) -> None:
    first, *rivals = new_model("rivals", 3)
    met = threading.Barrier(len(rivals))

    def register(version: str) -> tuple[str, list[str | None]]:
        seen: list[str | None] = []

        def judge(champion: str | None) -> GateReport:
            seen.append(champion)
            if len(seen) == 1:
                # Everybody has compared with the same champion before anybody moves the alias.
                met.wait(60)
            return verdict("rivals", version, champion, passed=True)

        promote("rivals", version, judge)
        return version, seen

    with ThreadPoolExecutor(len(rivals)) as threads:
        (quick, once), (late, twice) = sorted(threads.map(register, rivals), key=lambda one: len(one[1]))
    assert once == [first]
    assert twice == [first, quick], "whoever comes late is compared with the new champion"
    assert alias_of("rivals") == late
    client = mlflow.MlflowClient()
    previous = {v: client.get_model_version("rivals", v).tags["previous-champion"] for v in rivals}
    assert previous == {quick: first, late: quick}


def test_a_champion_that_never_holds_still_is_given_up(new_model: NewModel) -> None:
    first, second, third = new_model("restless", 3)
    client = mlflow.MlflowClient()

    def judge(champion: str | None) -> GateReport:
        client.set_registered_model_alias("restless", "champion", first if champion == second else second)
        return verdict("restless", third, champion, passed=True)

    with pytest.raises(LeadwiseError, match="the champion changed during each of 5 comparisons"):
        promote("restless", third, judge)
    assert alias_of("restless") in (first, second)
