"""The gate: every check of one registered version against the champion of the moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.atomic import temporary_folder
from leadwise.config import Gate as RequestParams
from leadwise.registry.gate.evidence import (
    COMPARISON,
    REPLICATES,
    Champion,
    InstallationError,
    Limits,
    clean_environment,
    comparison_checks,
    data_check,
    floor_checks,
    leak_check,
    parity_checks,
)
from leadwise.registry.gate.report import ROUND_TRIP, Check, GateReport
from leadwise.registry.load import ModelError, require_package
from leadwise.registry.package import Package
from leadwise.registry.smoke_test import (
    LARGEST_DIFFERENCE,
    HeldOutRows,
    RoundTripError,
    Served,
    compare_answers,
    serving_smoke_test,
)

NO_DATA = "source=pretrained: there is no store, so no row to score"
FILES = "files of the version"
CLEAN_ENVIRONMENT = "answer in a clean environment"
FEWEST_ANSWERED = 0.99
"""Share of the recordings of fold 10."""


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

    def __init__(self, candidate: JudgedVersion, rows: HeldOutRows | None, asked: RequestParams, seed: int) -> None:
        """Prepare; nothing is measured yet.

        Args:
            candidate: the version.
            rows: fold 10 of the data that it was trained on; ``None``: only what needs no data is checked.
            asked: the parameters.
            seed: of the bootstrap.
        """
        self.candidate, self.rows, self.asked, self.seed = candidate, rows, asked, seed
        self.limits = Limits.of(asked, candidate.package.dataset)
        self._champions: dict[str, Served | str] = {}

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
            except RoundTripError as error:
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
                example = self.candidate.package.example
                served = serving_smoke_test(self.candidate.uri, example, python=python, repeats=1)
        except (InstallationError, RoundTripError) as error:
            return Check(CLEAN_ENVIRONMENT, "no answer", "the package's answer", False, str(error))
        return self._same_answer(CLEAN_ENVIRONMENT, served)

    def _same_answer(self, name: str, served: Served) -> Check:
        allowed = f"the package's answer, within {LARGEST_DIFFERENCE:g}"
        try:
            off = compare_answers(self.candidate.expected, served.example, model_uri=self.candidate.uri)
        except RoundTripError as error:
            return Check(name, "another answer", allowed, False, str(error))
        return Check(name, f"{off:.2g} off", allowed, True, f"ready after {served.load_s:.1f} s", off)

    @cached_property
    def _served(self) -> Served | str:
        """What the candidate does in a fresh process, or why it does nothing."""
        return serve(self.candidate.uri, self.candidate.package.example, self.rows)

    def _checks_of_serving(self) -> Iterator[Check]:
        served = self._served
        latency, memory = "95th percentile of latency", "peak memory"
        if isinstance(served, str):
            yield Check(ROUND_TRIP, "no answer", "the package's answer", False, served)
            yield from (Check.not_run(name, "the version does not answer") for name in (latency, memory))
            return
        yield self._same_answer(ROUND_TRIP, served)
        timed = f"{len(served.milliseconds)} recordings, one at a time"
        yield Check.at_most(latency, served.p95_ms, self.asked.p95_latency_ms, shown="{:.1f} ms", note=timed)
        yield Check.at_most(memory, served.peak_mib, self.asked.memory_mib, shown="{:.0f} MiB")

    def _checks_of_floors(self) -> list[Check]:
        answered = "recordings answered"
        served = self._served
        if self.rows is None or isinstance(served, str):
            why = NO_DATA if self.rows is None else "the version does not answer"
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
        if version is None:
            none = Check.not_run(COMPARISON, "there is no champion yet")
            return [data_check(self._digest, None, self.limits), none]
        champion = read_champion(self.candidate.name, version)
        return [data_check(self._digest, champion, self.limits), *self._compared(version)]

    @property
    def _digest(self) -> str:
        return str(self.candidate.package.description["data"]["digest"])

    def _compared(self, version: str) -> list[Check]:
        uri = f"models:/{self.candidate.name}/{version}"
        if isinstance(self._served, str):
            return [Check.not_run(COMPARISON, "the version does not answer")]
        if self.rows is None:
            try:
                same = same_files(self.candidate.uri, uri)
            except RoundTripError as error:
                return [self._uncompared(version, str(error))]
            if same:
                return [Check(COMPARISON, "the same networks", "", True, f"version {version} holds the same files")]
            return [self._uncompared(version, NO_DATA)]
        if version not in self._champions:
            self._champions[version] = serve(uri, self.candidate.package.example, self.rows)
        champion = self._champions[version]
        if isinstance(champion, str):
            return [self._uncompared(version, champion)]
        return comparison_checks(self._served, champion, self.rows, self.limits, self.seed)

    def _uncompared(self, version: str, why: str) -> Check:
        said = f"version {version} is the champion and cannot be compared: {why}"
        if self.asked.allow_uncompared:
            return Check.not_run(COMPARISON, f"{said}; allow-uncompared=true lets it be replaced")
        return Check(COMPARISON, "not compared", "", False, f"allow-uncompared=true lets it be replaced; {said}")


def serve(uri: str, example: Mapping[str, Any], rows: HeldOutRows | None) -> Served | str:
    """What a version does in a fresh process, or the message of its failure."""
    try:
        return serving_smoke_test(uri, example, rows)
    except RoundTripError as error:
        return str(error)


def read_champion(name: str, version: str) -> Champion:
    """What the tags of a version say of its data."""
    import mlflow

    tags = mlflow.MlflowClient().get_model_version(name, version).tags
    simulated = {"true": True, "false": False}.get(tags.get("data.simulated", ""))
    return Champion(version, tags.get("data.digest", ""), simulated)


def download(uri: str, folder: Path) -> Path:
    """The files of a registered version.

    Raises:
        RoundTripError: they are not where the registry says.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        fetched = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
        # Where there is nothing at all MLflow leaves an empty folder.
        require_package(fetched / "artifacts", uri)
    except (MlflowException, ModelError, OSError) as error:
        place = mlflow.MlflowClient().get_model_version_download_uri(*uri.removeprefix("models:/").split("/"))
        raise RoundTripError(
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
