"""What the gate looks at: limits and margins of the metrics, the environment, ONNX against Keras, the data, the inputs.

Not worse than the champion: both are scored now, by their own code, on the same rows of fold 10, and the 95 % interval
of the paired difference, patients resampled, must lie above minus the margin (non-inferiority). As only its lower end
counts, a candidate that is worse by the margin passes with a probability of 2.5 %.
"""

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.atomic import temporary_folder
from leadwise.config import Gate
from leadwise.contract import SERVED_FEATURE_SET, SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import Dataset, GateLimits
from leadwise.datasets.metadata import MetadataError, MetadataTransformer
from leadwise.evaluation.bootstrap import Estimate, estimates, patient_weights
from leadwise.evaluation.metrics import METRICS, Metric, all_metrics
from leadwise.features import feature_names
from leadwise.registry.package import Parity
from leadwise.registry.smoke_test import HeldOutRows, Served
from leadwise.serving.network import open_session
from leadwise.serving.scorer import read_description

COMPARISON = "not worse than the champion"
AGAINST = " against the champion's"
WITHOUT = ", without a recording"
REPLICATES = 1000
"""Of the paired bootstrap over patients."""


@dataclass(frozen=True)
class Check:
    """One line of the gate's report.

    Attributes:
        name: what is checked.
        measured: what was found, as text; empty where nothing could be measured.
        allowed: what is enough, as text.
        passed: ``None``: not possible, or not asked for; ``note`` says why.
        note: what a reader should know beside it.
        value: what was measured, where it is one number; a metric of the run.
    """

    name: str
    measured: str
    allowed: str
    passed: bool | None
    note: str = ""
    value: float | None = None

    @classmethod
    def at_least(cls, name: str, value: float, limit: float, note: str = "") -> "Check":
        """A figure that must reach a limit, to four digits."""
        return cls(name, f"{value:.4f}", f"at least {limit:g}", value >= limit, note, value)

    @classmethod
    def at_most(cls, name: str, value: float, limit: float, *, shown: str = "{:.4f}", note: str = "") -> "Check":
        """A figure that must not exceed a limit; ``shown`` formats both."""
        allowed = f"at most {shown.format(limit)}"
        return cls(name, shown.format(value), allowed, math.isfinite(value) and value <= limit, note, value)

    @classmethod
    def not_run(cls, name: str, why: str, allowed: str = "") -> "Check":
        """A check that could not be run."""
        return cls(name, "", allowed, None, why)

    @property
    def outcome(self) -> str:
        """``passed``, ``FAILED`` or ``not run``."""
        return "not run" if self.passed is None else "passed" if self.passed else "FAILED"

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``gate.json``; what is undefined is ``null``."""
        value = None if self.value is None or not math.isfinite(self.value) else self.value
        return asdict(self) | {"value": value}


@dataclass(frozen=True)
class Limits:
    """What the gate asks of one version, by its weights: not by its name, nor by a configuration.

    Attributes:
        of_metrics: name of a metric -> what is asked: by the parameters, else by the dataset, else by the metric.
        simulated: whether the weights come from simulated data: a figure that so few records leave undefined then stops
            nobody.
        replaceable: whether a champion of other data may be replaced.
    """

    of_metrics: Mapping[str, GateLimits]
    simulated: bool
    replaceable: bool

    @classmethod
    def of(cls, asked: Gate, dataset: Dataset[Any]) -> "Limits":
        """Those of a model that was trained on a dataset.

        Raises:
            LeadwiseError: a parameter names no metric.
        """
        given = given_limits(asked)
        limits = {
            name: replace(dataset.gate.get(name, metric.gate), **given.get(name, {}))
            for name, metric in METRICS.items()
        }
        return cls(limits, not dataset.about_patients, asked.allow_other_data or dataset.replaceable)

    def asked(self, *, margins: bool = False) -> Iterator[tuple[Metric, str, float]]:
        """Metric, class (empty: the mean over them) and limit or margin of everything that has one."""
        for name, limits in self.of_metrics.items():
            metric = METRICS[name]
            mean, each = (limits.mean_margin, limits.each_margin) if margins else (limits.mean, limits.each)
            if mean is not None:
                yield metric, "", mean
            if each is not None and metric.per_class:
                yield from ((metric, label, each) for label in SUPERCLASSES)


def given_limits(asked: Gate) -> dict[str, dict[str, float]]:
    """Name of a metric -> the fields of ``GateLimits`` that the parameters set.

    Raises:
        LeadwiseError: there is no such metric.
    """
    places = {metric.name: (metric.name, "each") for metric in METRICS.values() if metric.per_class}
    places |= {metric.mean: (metric.name, "mean") for metric in METRICS.values()}
    found: dict[str, dict[str, float]] = {}
    for parameter, text, kind in (("limits", asked.limits, ""), ("margins", asked.margins, "_margin")):
        for name, _, value in (word.partition(":") for word in text.split(",") if word):
            if name not in places:
                raise LeadwiseError(f"{parameter}: received {name!r}; allowed: {', '.join(places)}")
            metric, which = places[name]
            found.setdefault(metric, {})[which + kind] = float(value)
    return found


def _title(metric: Metric, label: str) -> str:
    if label:
        return f"{metric.title} {label}"
    return f"macro {metric.title}" if metric.mean.startswith("macro_") else metric.title


def _metrics(asked: Sequence[tuple[Metric, str, float]]) -> list[Metric]:
    return list({metric.name: metric for metric, _, _ in asked}.values())


def floor_checks(labels: NDArray[np.float64], probabilities: NDArray[np.float64], limits: Limits) -> list[Check]:
    """Every figure that has a limit. One that is undefined, for want of positives, does not pass.

    Args:
        labels: ``(record, 5)`` of 0 and 1.
        probabilities: calibrated, same shape.
        limits: what is allowed.
    """
    asked = list(limits.asked())
    if not len(labels):
        return [Check(_title(metric, label), "", "", False, "no recording was answered") for metric, label, _ in asked]
    figures = all_metrics(labels, probabilities, metrics=_metrics(asked))
    positives = dict(zip(SUPERCLASSES, labels.sum(axis=0).astype(int), strict=True))
    found = []
    for metric, label, limit in asked:
        name = _title(metric, label)
        value, check = (
            float(figures[metric.key(label)]),
            Check.at_most if metric.higher_is_better is False else Check.at_least,
        )
        if math.isnan(value):
            classes = [label] if label else SUPERCLASSES if metric.per_class else []
            lacking = [one for one in classes if math.isnan(figures[metric.key(one)])]
            why = "; ".join(f"{one} has {metric.reason(positives[one], len(labels))}" for one in lacking)
            allowed = check(name, value, limit).allowed
            found.append(Check(name, "undefined", allowed, None if limits.simulated else False, why))
        else:
            found.append(check(name, value, limit))
    return found


def comparison_checks(
    candidate: Served, champion: Served, rows: HeldOutRows, limits: Limits, seed: int, replicates: int = REPLICATES
) -> list[Check]:
    """Every figure that has a margin; its mean over the classes also where no recording is sent.

    Args:
        candidate: answers to the rows.
        champion: answers to the same rows.
        rows: those that only one of the two answers are left out.
        limits: the margins.
        seed: of the bootstrap.
        replicates: of the bootstrap.
    """
    asked = list(limits.asked(margins=True))
    drawn = partial(_differences, rows=rows, metrics=_metrics(asked), replicates=replicates, seed=seed)
    differences = drawn(candidate.with_recording, champion.with_recording)
    if differences is None:
        return [Check(COMPARISON, "", "", False, "there is no recording that both have answered")]
    found = [_judge(one, differences, limits, AGAINST) for one in asked]
    alone = drawn(candidate.without_recording, champion.without_recording)
    for one in asked:
        if not one[1]:
            name = AGAINST + WITHOUT
            why = "no patient of fold 10 has any fact known"
            found.append(_judge(one, alone, limits, name) if alone else Check.not_run(_title(one[0], "") + name, why))
    return found


def _judge(asked: tuple[Metric, str, float], differences: Mapping[str, Estimate], limits: Limits, name: str) -> Check:
    metric, label, margin = asked
    difference = differences[metric.key(label)]
    value, low, high = difference.value, difference.interval.low, difference.interval.high
    lower = metric.higher_is_better is False
    allowed = f"interval below {margin:g}" if lower else f"interval above {-margin:g}"
    name = _title(metric, label) + name
    if not (math.isfinite(value) and math.isfinite(low)):
        passed = None if limits.simulated else False
        return Check(name, "undefined", allowed, passed, "a class has no positives, or nothing but positives")
    passed = high < margin if lower else low > -margin
    return Check(name, f"{value:+.4f} [{low:+.4f}, {high:+.4f}]", allowed, passed, value=value)


def _differences(
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    *,
    rows: HeldOutRows,
    metrics: Sequence[Metric],
    replicates: int,
    seed: int,
) -> dict[str, Estimate] | None:
    """Name of a metric -> candidate minus champion on the rows that both answer; ``None`` where there are none."""
    both = np.isfinite(np.concatenate([candidate, champion], axis=1)).all(axis=1)
    if not both.any():
        return None
    weights = patient_weights(rows.patients[both], replicates, seed)

    new, old = (
        estimates(partial(all_metrics, rows.labels[both], answers[both], metrics=metrics), weights)
        for answers in (candidate, champion)
    )
    return {name: new[name] - old[name] for name in new}


TIME_LIMIT_S = 900


class InstallationError(LeadwiseError):
    """The requirements of a version cannot be installed."""


@contextmanager
def clean_environment(requirements: Path) -> Iterator[str]:
    """Yield the interpreter of an environment that is removed afterwards.

    Args:
        requirements: the version's ``requirements.txt``.

    Raises:
        InstallationError: they cannot be installed.
    """
    from uv import find_uv_bin

    with temporary_folder("environment") as folder:
        python = str(folder / "bin" / "python")
        _uv(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, "--no-project", str(folder))
        _uv(find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--requirements", str(requirements))
        yield python


def _uv(*command: str) -> None:
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InstallationError(f"{' '.join(command[1:3])}: not done within {TIME_LIMIT_S} s") from None
    if finished.returncode != 0:
        raise InstallationError(f"{' '.join(command[1:3])} failed:\n{finished.stderr[-2000:]}")


LARGEST_DIFFERENCE = 1e-5


def parity_checks(parity: Mapping[str, Parity]) -> list[Check]:
    """One check per network.

    Args:
        parity: by network, measured while it was packaged; empty where there is no Keras network to compare with.
    """
    if not parity:
        why = "there is no Keras network beside a pretrained package; it was compared before it was bundled"
        return [Check.not_run("ONNX against Keras", why, f"at most {LARGEST_DIFFERENCE:g}")]
    return [
        Check.at_most(
            f"ONNX against Keras, {name}",
            found.difference,
            LARGEST_DIFFERENCE,
            shown="{:.2g}",
            note=f"{found.rows} rows of fold 9",
        )
        for name, found in parity.items()
    ]


SAME_DATA = "same data as the champion"


def data_check(digest: str, champion: str | None, tags: Mapping[str, str], limits: Limits) -> Check:
    """Compare the candidate's data with those that the champion was trained and evaluated on.

    Args:
        digest: of the candidate's data.
        champion: its version; ``None`` where there is none.
        tags: the champion's, of which ``data.digest`` and ``data.simulated`` tell of its data, if they are there.
        limits: whether a change of data is allowed. Real data never give way to simulated ones.
    """
    if champion is None:
        return Check(SAME_DATA, digest[:12], "any", None, "there is no champion yet")
    theirs = tags.get("data.digest", "")
    allowed = f"{theirs[:12] or 'unknown'}, that of version {champion}"
    if tags.get("data.simulated") == "false" and limits.simulated:
        why = "the champion's data are real, the candidate's are simulated"
        return Check(SAME_DATA, digest[:12], allowed, False, why)
    if digest == theirs:
        return Check(SAME_DATA, digest[:12], allowed, True)
    change = f"version {champion} was trained on other data; it is compared on the candidate's fold 10"
    if limits.replaceable:
        return Check(SAME_DATA, digest[:12], "any", True, f"{change}, as is allowed")
    return Check(SAME_DATA, digest[:12], allowed, False, f"{change}; allow-other-data=true allows the change")


NO_LEAK = "no leaking input"
NETWORK_INPUTS = frozenset({"signal", "metadata"})


def leak_check(folder: Path) -> Check:
    """Every input of the networks in a package, by ``model.json`` and the ONNX files that it names.

    Features of the metadata have their own names; a number that no name stands for, and a feature that is not served,
    fail.
    """
    description = read_description(folder)
    names: list[str] = []
    problems = []
    if description["feature_set"] != SERVED_FEATURE_SET:
        problems.append(f"feature set {description['feature_set']}, only {SERVED_FEATURE_SET} is served")
    for role, entry in description["networks"].items():
        metadata = entry["preprocessing"]["metadata"]
        widths = {value.name: value.shape[-1] for value in open_session(folder / entry["file"]).get_inputs()}
        names += [*sorted(widths.keys() - {"metadata"}), *metadata["features"]]
        served = {*NETWORK_INPUTS, *feature_names(SERVED_FEATURE_SET)}
        problems += [f"{role} sees {name}" for name in sorted({*widths, *metadata["features"]} - served)]
        try:
            width = MetadataTransformer.from_dict(metadata).width
        except MetadataError as error:
            problems.append(f"{role}: {error}")
            continue
        if (received := widths.get("metadata")) != width:
            problems.append(f"{role}: takes {received} numbers of metadata, {width} of them have names")
    seen, allowed = ", ".join(dict.fromkeys(names)), "the recording and clinical features"
    return Check(NO_LEAK, seen, allowed, not problems, "; ".join(problems))
