"""deploy/: what can be said of images and compose file without a container engine."""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from leadwise.config import PROJECT_ROOT
from leadwise.registry.package import SERVED_PACKAGES, served_requirements

DEPLOY = PROJECT_ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def instructions(stage: str) -> dict[str, list[str]]:
    """Instruction -> its arguments, of a stage of the Dockerfile."""
    found: dict[str, list[str]] = {}
    (text,) = [part for part in re.split(r"(?m)^(?=FROM )", DOCKERFILE) if re.match(rf"FROM \S+ AS {stage}\n", part)]
    for line in filter(None, text.splitlines()):
        name, _, arguments = line.partition(" ")
        found.setdefault(name, []).append(arguments)
    return found


def command(stage: str) -> str:
    """What the shell of a stage runs."""
    shell = yaml.safe_load(instructions(stage)["CMD"][-1])
    assert shell[:2] == ["bash", "-c"]
    return str(shell[2])


def pins(lock: Path) -> dict[str, str]:
    lines = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = [Requirement(line.split(" --hash")[0]) for line in lines if line.strip()]
    assert all("--hash=sha256:" in line for line in lines if line.strip())
    return {pin.name: str(pin.specifier) for pin in found if pin.marker is None or pin.marker.evaluate()}


@pytest.mark.parametrize("image", ["scorer", "tracking", "page"])
def test_an_image_holds_what_the_lock_files_pin(image: str) -> None:
    lock = pins(DEPLOY / f"{image}.lock")
    everything = pins(PROJECT_ROOT / "requirements-dev.lock")
    assert {name: version for name, version in lock.items() if everything.get(name) != version} == {}
    assert not {"tensorflow", "keras", "optuna", "great-expectations"} & lock.keys()
    copied, *checkout = instructions(image)["COPY"]
    assert copied.split() == [f"{image}.lock", f"/opt/{image}.lock"]
    for line in checkout:
        origin, source, target = line.split()
        assert origin == "--from=checkout"
        assert (PROJECT_ROOT / source).is_dir()
        assert target.startswith("/opt/leadwise")
    allowed = (DEPLOY / ".dockerignore").read_text(encoding="utf-8").split()
    assert allowed == ["*", "!*.lock"]


def test_the_scorer_holds_what_a_registered_model_asks_for() -> None:
    lock = pins(DEPLOY / "scorer.lock")
    assert {f"{name}{lock[name]}" for name in SERVED_PACKAGES} == set(served_requirements())


@pytest.mark.parametrize("stage", ["scorer", "tracking", "page"])
def test_an_image_runs_as_nobody_special_and_says_how_it_is(stage: str) -> None:
    assert instructions("base")["FROM"][0].count(":") == 1
    assert instructions(stage)["FROM"] == [f"base AS {stage}"]
    assert instructions(stage)["USER"] == ["10001:10001"]
    (health,) = instructions(stage)["HEALTHCHECK"]
    (port,) = instructions(stage)["EXPOSE"]
    assert f"http://127.0.0.1:{port}/" in health
    # Nothing of root's comes after the user was changed.
    assert list(instructions(stage)).index("USER") > list(instructions(stage)).index("RUN")


def test_no_image_is_the_latest_and_no_secret_is_written_down() -> None:
    images = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    images += [service["image"] for service in COMPOSE["services"].values() if "image" in service]
    named = [image for image in images if image != "base"]
    assert all(re.search(r":\d+\.\d+\S*$", image) for image in named), named
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8") + DOCKERFILE
    for line in text.splitlines():
        if re.search(r"(?i)password|secret|token", line):
            assert re.search(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", line), line
    assert "/deploy/.env" in (PROJECT_ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_everything_is_reached_from_this_machine_only_and_is_watched() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        stage = service.get("build", {}).get("target")
        assert "healthcheck" in service or "HEALTHCHECK" in instructions(stage), name
        assert service["restart"] == "unless-stopped"
        for other, condition in service.get("depends_on", {}).items():
            assert (other in COMPOSE["services"], condition) == (True, {"condition": "service_healthy"})
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / "Dockerfile").is_file()


def test_the_page_holds_what_the_project_and_its_extras_ask_for_and_cannot_write() -> None:
    lock = pins(DEPLOY / "page.lock")
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for asked in map(Requirement, [*project["dependencies"], *extras["app"], *extras["formats"]]):
        assert asked.specifier.contains(lock[asked.name].removeprefix("==")), asked
    service = COMPOSE["services"]["page"]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    checkout = DEPLOY / service["build"]["additional_contexts"]["checkout"]
    assert checkout.resolve() == PROJECT_ROOT.resolve()
    of_image = {word.partition("=")[0] for line in instructions("page")["ENV"] for word in line.split()}
    assert set(re.findall(r"\$\{?(\w+)", command("page"))) <= of_image
    assert set(service["environment"]) <= of_image


def test_the_command_of_the_page_is_one_that_leadwise_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from leadwise.app import settings
    from leadwise.cli import main
    from leadwise.config import App

    became = []
    monkeypatch.setattr(settings, "launch", lambda *given: became.append(given))
    values = {"$URL": "", "$MODEL_URI": "", "$EMBED_FROM": "https://a.example"}
    words = [values.get(word, word) for word in shlex.split(command("page").rpartition("leadwise.cli ")[2])]
    assert not main(words)
    assert became == [(App(embed_from="https://a.example", address="0.0.0.0"),)]


def test_a_host_of_streamlit_pages_finds_entry_packages_and_settings() -> None:
    from streamlit.web.server.app_discovery import discover_asgi_app

    folder = DEPLOY / "page"
    assert discover_asgi_app(folder / "streamlit_app.py").is_asgi_app
    (line,) = (folder / "requirements.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert (folder / line.removeprefix("-r ")).resolve() == DEPLOY / "page.lock"
    assert (folder / ".streamlit" / "config.toml").is_file()


def mlflow_options() -> Iterator[tuple[str, Any]]:
    from mlflow.cli import cli

    yield "tracking", cli.commands["server"]
    yield "scorer", cli.commands["models"].commands["serve"]


def test_every_option_of_the_commands_exists() -> None:
    for stage, known in mlflow_options():
        words = shlex.split(command(stage).rpartition("exec ")[2])
        options = {option for parameter in known.params for option in parameter.opts}
        given = {word for word in words if word.startswith("--")}
        assert words[0] == "mlflow"
        assert given - options == set(), stage


@pytest.mark.parametrize("stage", ["scorer", "tracking"])
def test_every_variable_of_a_command_comes_from_image_or_compose_file(stage: str, tmp_path: Path) -> None:
    (service,) = [s for s in COMPOSE["services"].values() if s.get("build", {}).get("target") == stage]
    of_image = {word.partition("=")[0] for line in instructions(stage).get("ENV", []) for word in line.split()}
    used = set(re.findall(r"\$\{?(\w+)", command(stage)))
    assert used <= of_image | service["environment"].keys()
    without = subprocess.run(
        ["bash", "-c", command(stage)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, cwd=tmp_path
    )
    assert without.returncode != 0
    assert "is needed" in without.stderr
