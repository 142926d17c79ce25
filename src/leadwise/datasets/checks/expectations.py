"""What PTB-XL must look like: suites of expectations, read from ``suites/*.yaml`` and turned into Great Expectations.

A critical one that fails stops the pipeline; a warning is counted and listed. Every check says in one sentence what it
asks for, and why. The suites look at the frames of ``leadwise.datasets.checks.frames``; ``docs/validation.md`` is
written from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadwise.contract import SUPERCLASSES, LeadwiseError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Severity = Literal["critical", "warning"]
CRITICAL: Severity = "critical"
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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: str
    why: str
    severity: Severity
    column: str
    check: CheckName
    arguments: dict[str, Any] = Field(default={}, alias="with")

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


def read_suite(
    name: str, release: str, counts: Mapping[str, int], max_unreadable_share: float, *, is_listed: bool = True
) -> Suite:
    """Read ``suites/<name>.yaml``, a Jinja template that names the other arguments, and ``superclasses``.

    Args:
        name: one of ``SUITES``.
        release: of the dataset.
        counts: what must be counted in this release; empty where that is not known.
        max_unreadable_share: share of the records that may be missing.
        is_listed: whether the tree has a list of checksums.

    Raises:
        SuiteError: the file is not written as it must be.
    """
    text = (files("leadwise.datasets.checks") / "suites" / f"{name}.yaml").read_text(encoding="utf-8")
    values = {"release": release, "counts": counts, "max_unreadable_share": max_unreadable_share}
    return parse_suite(name, text, values | {"is_listed": is_listed, "superclasses": SUPERCLASSES})


def parse_suite(name: str, text: str, values: Mapping[str, Any]) -> Suite:
    """The same from the text of the file."""
    from jinja2 import Environment, StrictUndefined, TemplateError

    try:
        content = yaml.safe_load(Environment(undefined=StrictUndefined).from_string(text).render(values))
        checks = {key: Check.model_validate(check) for key, check in content["checks"].items()}
        return Suite(name, content["title"], content["about"], checks)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise SuiteError(f"{name}.yaml: a {error.title} with {where}: {problem['msg']}") from None
    except (TemplateError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SuiteError(f"{name}.yaml: {type(error).__name__}: {error}") from error
