"""The gate: every check of one registered version against the champion of the moment, and its report."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException

from leadwise.atomic import temporary_folder
from leadwise.config import Gate as GateParameters
from leadwise.registry import smoke_test
from leadwise.registry.gate_checks import (
    COMPARISON,
    REPLICATES,
    Check,
    InstallationError,
    Limits,
    clean_environment,
    comparison_checks,
    data_check,
    floor_checks,
    leak_check,
    parity_checks,
)
from leadwise.registry.load import ModelError, require_package
from leadwise.registry.package import Package

NO_DATA = "source=pretrained: there is no store, so no row to score"
NO_ANSWER = "the version does not answer"
FILES = "files of the version"
CLEAN_ENVIRONMENT = "answer in a clean environment"
FEWEST_ANSWERED = 0.99
"""Share of the recordings of fold 10."""
JSON_FILE, MARKDOWN_FILE = "gate.json", "gate.md"
ROUND_TRIP = "answer in a fresh process"
LONGEST_NOTE = 160
"""In a table; ``gate.json`` has all of it."""


@dataclass(frozen=True)
class GateReport:
    """What the gate found out about one version: the verdict first, then a line per check.

    Attributes:
        name: the registered model.
        version: the version that was judged.
        model: the fusion model inside.
        champion: the version that it was compared with; ``None``: there was none.
        simulated: whether the weights come from simulated data.
        compared_on: what the figures are of, in words.
        checks: in the order in which they are told.
        site: whose version it is; empty: for everybody.
    """

    name: str
    version: str
    model: str
    champion: str | None
    simulated: bool
    compared_on: str
    checks: Sequence[Check]
    site: str = ""

    @property
    def passed(self) -> bool:
        """Whether no check failed. One that was not run stops nobody; where it should, it failed."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if check.passed is False]

    @property
    def answers(self) -> bool:
        """Whether the version was loaded and gave its package's answer; else nothing may point at it."""
        return not any(check.name == ROUND_TRIP for check in self.failed)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        candidate = f"{self.name} version {self.version} {f'for site {self.site}' if self.site else f'({self.model})'}"
        if self.champion:
            candidate += f", compared with version {self.champion}"
        elif self.site:
            candidate += ", compared with the package that it was made from"
        else:
            candidate += ", there was no champion before it"
        if self.failed:
            return f"Gate FAILED: {candidate}: {'; '.join(map(_in_words, self.failed))}."
        done = sum(check.passed is True for check in self.checks)
        # Of a site's version those that decide nothing are told only.
        left = 0 if self.site else len(self.checks) - done
        return f"Gate passed: {candidate}: {done} checks passed" + (f", {left} not run." if left else ".")

    def to_dict(self) -> dict[str, Any]:
        """The content of ``gate.json``."""
        named = ("name", "version", "model", "champion", "simulated", "compared_on")
        content = {"verdict": self.verdict, "passed": self.passed} | {name: getattr(self, name) for name in named}
        return content | {"checks": [check.to_dict() for check in self.checks]}

    def to_markdown(self, *, notes: bool = True) -> str:
        """The content of ``gate.md``, and with or without notes the head of a version's description."""
        rows = [_cells(check, notes=notes) for check in self.checks]
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
        head = ["| check | measured | allowed | outcome |", "|---|---|---|---|"]
        return "\n".join([self.verdict, "", *head, *lines, "", self.compared_on])

    def to_text(self) -> str:
        """For a terminal: of the checks those that failed."""
        if self.passed:
            return self.verdict
        rows = [_cells(check) for check in self.failed]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:3]
        lines = [
            "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]
        return "\n".join([self.verdict, *lines, self.compared_on])

    def metrics(self) -> dict[str, float]:
        """What the run gets: every figure that a check measured, as ``gate/<check>`` in letters that MLflow takes."""
        return {
            f"gate/{re.sub(r'[^A-Za-z0-9]+', '_', check.name)}": check.value
            for check in self.checks
            if check.value is not None
        }


def _in_words(check: Check) -> str:
    """A check that failed."""
    measured = f" {check.measured}" if check.measured else ""
    allowed = f", allowed: {check.allowed}" if check.allowed else ""
    return f"{check.name}{measured}{allowed}" + (f" ({_short(check.note)})" if check.note else "")


def _cells(check: Check, *, notes: bool = True) -> tuple[str, str, str, str]:
    note = f": {_short(check.note)}" if check.note and notes else ""
    return check.name, check.measured, check.allowed, check.outcome + note


def _short(note: str) -> str:
    line = " ".join(note.split())
    return line if len(line) <= LONGEST_NOTE else line[: LONGEST_NOTE - 1] + "…"


@dataclass(frozen=True)
class JudgedVersion:
    """The version that is judged.

    Attributes:
        name: the registered model.
        version: as MLflow counts.
        package: what was registered.
        expected: the package's answer to its example, in this process.
    """

    name: str
    version: str
    package: Package
    expected: Mapping[str, Any]

    @property
    def uri(self) -> str:
        """What MLflow loads."""
        return f"models:/{self.name}/{self.version}"


class Gate:
    """Judges one version; what does not depend on the champion is measured once."""

    def __init__(
        self, candidate: JudgedVersion, rows: smoke_test.HeldOutRows | None, asked: GateParameters, seed: int
    ) -> None:
        """Prepare; nothing is measured yet.

        Args:
            candidate: the version.
            rows: fold 10 of the data that it was trained on; ``None``: only what needs no data is checked.
            asked: the parameters.
            seed: of the bootstrap.
        """
        self.candidate, self.rows, self.asked, self.seed = candidate, rows, asked, seed
        self.limits = Limits.of(asked, candidate.package.dataset)
        self._champions: dict[str, smoke_test.Served | str] = {}

    def judge(self, champion: str | None) -> GateReport:
        """Check everything, with the version that has the alias champion at this moment; ``None``: none has."""
        return GateReport(
            name=self.candidate.name,
            version=self.candidate.version,
            model=self.candidate.package.model,
            champion=champion,
            simulated=self.limits.simulated,
            compared_on=self._compared_on(),
            checks=[*self._own_checks, *self._checks_against(champion)],
        )

    def _compared_on(self) -> str:
        if self.rows is None:
            return NO_DATA + "."
        of = self.candidate.package.dataset.title
        of += ", which says nothing about patients" if self.limits.simulated else ""
        return (
            f"Figures: the {len(self.rows.facts):,} records of {len(np.unique(self.rows.patients)):,} patients of fold "
            f"10 of {of}, data {self.rows.digest[:12]}, answered by the registered versions. Differences: "
            f"{REPLICATES:,} paired bootstrap replicates by patient, seed {self.seed}."
        )

    @cached_property
    def _own_checks(self) -> list[Check]:
        return [*self._checks_of_files(), *self._checks_of_serving(), *self._checks_of_floors()]

    def _checks_of_files(self) -> Iterator[Check]:
        with temporary_folder("gate") as place:
            try:
                folder = download(self.candidate.uri, place)
            except smoke_test.RoundTripError as error:
                yield Check(FILES, "cannot be read", "as they were logged", False, str(error))
                return
            yield leak_check(folder / "artifacts")
            yield from parity_checks(self.candidate.package.parity)
            yield self._in_clean_environment(folder / "requirements.txt")

    def _in_clean_environment(self, requirements: Path) -> Check:
        if not self.asked.clean_environment:
            return Check.not_run(CLEAN_ENVIRONMENT, "not asked for: clean-environment=false")
        try:
            with clean_environment(requirements) as python:
                served = serve(self.candidate, python=python, repeats=1)
        except InstallationError as error:
            served = str(error)
        return answer_check(CLEAN_ENVIRONMENT, self.candidate, served)

    @cached_property
    def _served(self) -> smoke_test.Served | str:
        """What the candidate does in a fresh process, or why it does nothing."""
        return serve(self.candidate, rows=self.rows)

    def _checks_of_serving(self) -> Iterator[Check]:
        served = self._served
        yield answer_check(ROUND_TRIP, self.candidate, served)
        latency, memory = "95th percentile of latency", "peak memory"
        if isinstance(served, str):
            yield from (Check.not_run(name, NO_ANSWER) for name in (latency, memory))
            return
        timed = f"{len(served.milliseconds)} recordings, one at a time"
        yield Check.at_most(latency, served.p95_ms, self.asked.p95_latency_ms, shown="{:.1f} ms", note=timed)
        yield Check.at_most(memory, served.peak_mib, self.asked.memory_mib, shown="{:.0f} MiB")

    def _checks_of_floors(self) -> list[Check]:
        answered = "recordings answered"
        served = self._served
        if self.rows is None or isinstance(served, str):
            why = NO_DATA if self.rows is None else NO_ANSWER
            return [
                Check.not_run(answered, why, f"at least {FEWEST_ANSWERED:g}"),
                Check.not_run("figures on fold 10", why + self._recorded()),
            ]
        kept = np.asarray(np.isfinite(served.with_recording).all(axis=1))
        share = float(kept.mean()) if len(kept) else 0.0
        return [
            Check.at_least(answered, share, FEWEST_ANSWERED, "; ".join(served.refusals)),
            *floor_checks(self.rows.labels[kept], served.with_recording[kept], self.limits),
        ]

    def _recorded(self) -> str:
        """What the package says of itself, where nothing can be measured."""
        test = self.candidate.package.description["networks"]["fusion"].get("test", {})
        said = [
            f"{name} {test[key]:.4f}" for name, key in (("macro AUROC", "macro_auroc"), ("ECE", "ece")) if key in test
        ]
        return f"; its package says {', '.join(said)}" if said else ""

    def _checks_against(self, version: str | None) -> list[Check]:
        digest = str(self.candidate.package.description["data"]["digest"])
        if version is None:
            none = Check.not_run(COMPARISON, "there is no champion yet")
            return [data_check(digest, None, {}, self.limits), none]
        tags = mlflow.MlflowClient().get_model_version(self.candidate.name, version).tags
        return [
            data_check(digest, version, tags, self.limits),
            *self._compared(replace(self.candidate, version=version)),
        ]

    def _compared(self, champion: JudgedVersion) -> list[Check]:
        if isinstance(self._served, str):
            return [Check.not_run(COMPARISON, NO_ANSWER)]
        version = champion.version
        if self.rows is None:
            try:
                same = same_files(self.candidate.uri, champion.uri)
            except smoke_test.RoundTripError as error:
                return [self._uncompared(version, str(error))]
            if same:
                return [Check(COMPARISON, "the same networks", "", True, f"version {version} holds the same files")]
            return [self._uncompared(version, NO_DATA)]
        if version not in self._champions:
            self._champions[version] = serve(champion, rows=self.rows)
        served = self._champions[version]
        if isinstance(served, str):
            return [self._uncompared(version, served)]
        return comparison_checks(self._served, served, self.rows, self.limits, self.seed)

    def _uncompared(self, version: str, why: str) -> Check:
        said = f"version {version} is the champion and cannot be compared: {why}"
        if self.asked.allow_uncompared:
            return Check.not_run(COMPARISON, f"{said}; allow-uncompared=true lets it be replaced")
        return Check(COMPARISON, "not compared", "", False, f"allow-uncompared=true lets it be replaced; {said}")


def serve(version: JudgedVersion, **how: Any) -> smoke_test.Served | str:
    """What a version does in a fresh process, or the message of its failure; ``how`` is ``serving_smoke_test``'s."""
    try:
        return smoke_test.serving_smoke_test(version.uri, version.package.example, **how)
    except smoke_test.RoundTripError as error:
        return str(error)


def answer_check(name: str, version: JudgedVersion, served: smoke_test.Served | str) -> Check:
    """Whether a version gave its package's answer to the example."""
    allowed = f"the package's answer, within {smoke_test.LARGEST_DIFFERENCE:g}"
    if isinstance(served, str):
        return Check(name, "no answer", allowed, False, served)
    try:
        off = smoke_test.compare_answers(version.expected, served.example, model_uri=version.uri)
    except smoke_test.RoundTripError as error:
        return Check(name, "another answer", allowed, False, str(error))
    return Check(name, f"{off:.2g} off", allowed, True, f"ready after {served.load_s:.1f} s", off)


def download(uri: str, folder: Path) -> Path:
    """The files of a registered version.

    Raises:
        RoundTripError: they are not where the registry says.
    """
    try:
        fetched = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
        # Where there is nothing at all MLflow leaves an empty folder.
        require_package(fetched / "artifacts", uri)
    except (MlflowException, ModelError, OSError) as error:
        place = mlflow.MlflowClient().get_model_version_download_uri(*uri.removeprefix("models:/").split("/"))
        raise smoke_test.RoundTripError(
            f"{uri}: its files in {place} cannot be read: {str(error).partition(chr(10))[0]}"
        ) from None
    return fetched


def same_files(one: str, other: str) -> bool:
    """Whether two versions hold the same networks and descriptions, byte by byte.

    Raises:
        RoundTripError: the files of one are not where the registry says.
    """
    contents = []
    for uri in (one, other):
        with temporary_folder("gate") as place:
            artifacts = download(uri, place) / "artifacts"
            contents.append({file.name: file.read_bytes() for file in artifacts.rglob("*") if file.is_file()})
    return contents[0] == contents[1]
