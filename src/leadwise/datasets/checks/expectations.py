"""What PTB-XL must look like: suites of expectations, read from ``suites/*.yaml`` and turned into Great Expectations.

A critical one that fails stops the pipeline; a warning is counted and listed. Every check says in one sentence what it
asks for, and why. The suites look at the frames of ``leadwise.datasets.checks.frames``; ``docs/validation.md`` is
written from them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadwise.contract import LeadwiseError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Severity = Literal["critical", "warning"]
CRITICAL: Severity = "critical"
WARNING: Severity = "warning"
SUITES: tuple[str, ...] = ("files", "schema", "table", "labels", "folds", "signals", "cohort", "cohort_signals")

CheckName = Literal[
    "values_to_be_null",
    "values_to_not_be_null",
    "values_to_be_unique",
    "values_to_be_in_set",
    "values_to_be_between",
    "distinct_values_to_contain_set",
    "sum_to_be_between",
    "mean_to_be_between",
    "median_to_be_between",
]
"""Expectations about a column, as Great Expectations names them without ``expect_column_``."""


class SuiteError(LeadwiseError):
    """A suite is not written as it must be; the message names the file and the check."""


class Check(BaseModel):
    """One check of a suite.

    Attributes:
        says: what is expected, as a sentence.
        why: what would go wrong otherwise.
        severity: ``critical`` stops the pipeline, ``warning`` is counted and listed.
        column: the column of the frame that is looked at.
        check: what is asked of it.
        arguments: ``with`` in the file: the limits, as Great Expectations names them.
        each: the check is made once with each of these in place of ``{each}``.
        when: the check is made only if this value of the ingestion is true.
        unless: the check is made only if it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    says: str
    why: str
    severity: Severity
    column: str
    check: CheckName
    arguments: dict[str, Any] = Field(default={}, alias="with")
    each: tuple[str, ...] = ()
    when: str = ""
    unless: str = ""

    def expectation(self, name: str) -> "Expectation":
        """The same as an object of Great Expectations, which carries the check's short name."""
        import great_expectations.expectations as gxe

        kind = getattr(gxe, "ExpectColumn" + self.check.title().replace("_", ""))
        about = {"description": f"{self.says}.", "meta": {"check": name}}
        return kind(column=self.column, severity=self.severity, **about, **self.arguments)


@dataclass(frozen=True)
class Suite:
    """A suite for one ingestion: its checks by their short names, in order."""

    name: str
    title: str
    about: str
    checks: Mapping[str, Check]


def read_suite(name: str, values: Mapping[str, Any]) -> Suite:
    """Read ``suites/<name>.yaml`` and put the values of an ingestion where it has their names in braces.

    Args:
        name: one of ``SUITES``.
        values: see ``suite_values``.

    Raises:
        SuiteError: the file is not written as it must be.
    """
    text = (files("leadwise.datasets.checks") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_suite(name, text, values)


def parse_suite(name: str, text: str, values: Mapping[str, Any]) -> Suite:
    """The same from the text of the file."""
    try:
        content = yaml.safe_load(text)
        templates = {key: Check.model_validate(check) for key, check in content["checks"].items()}
        checks = {key: check for template in templates.items() for key, check in _made(*template, values)}
        return Suite(name, content["title"], content["about"], checks)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise SuiteError(f"{name}.yaml: a {error.title} with {where}: {problem['msg']}") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SuiteError(f"{name}.yaml: {type(error).__name__}: {error}") from error


def suite_values(
    release: str, counts: Mapping[str, int], max_unreadable_share: float, *, is_listed: bool = True
) -> dict[str, Any]:
    """What the suites may name in braces: the release, its counts if they are known, the share that may be missing.

    ``is_listed`` says whether the tree has a list of checksums.
    """
    return {
        "release": release,
        "release_is_known": bool(counts),
        "counts": dict(counts),
        "is_listed": is_listed,
        "max_unreadable_share": max_unreadable_share,
        "least_readable_share": 1 - max_unreadable_share,
    }


def _made(key: str, template: Check, values: Mapping[str, Any]) -> Iterator[tuple[str, Check]]:
    if (template.when and not values[template.when]) or (template.unless and values[template.unless]):
        return
    for each in template.each or ("",):
        content = _filled(template.model_dump(exclude={"each", "when", "unless"}), each, values)
        yield key.replace("{each}", each), Check.model_validate(content)


def _filled(value: Any, each: str, values: Mapping[str, Any]) -> Any:
    """Text with what its braces name; text that is nothing but braces becomes the value itself."""
    if isinstance(value, dict):
        return {key: _filled(item, each, values) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    filled = value.replace("{each}", each)
    text = filled.format_map(values)
    is_value = filled.startswith("{") and filled.endswith("}") and filled.count("{") == 1
    return yaml.safe_load(text) if is_value else text
