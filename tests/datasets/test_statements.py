"""The statements, against the published table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.statements import GROUPS, STATEMENT_TABLE
from leadwise.datasets.synthetic.tree import statements_table


def test_groups_are_those_of_the_published_tasks() -> None:
    assert len({statement.name for statement in STATEMENT_TABLE}) == 71
    members = {group: sum(group in statement.groups for statement in STATEMENT_TABLE) for group in GROUPS}
    assert members == {"diagnostic": 44, "form": 19, "rhythm": 12}
    assert {s.superclass for s in STATEMENT_TABLE if s.group == "diagnostic"} == set(SUPERCLASSES)


@pytest.mark.real
def test_groups_and_classes_are_those_of_the_real_table(ptbxl_tables: Callable[[str], Path]) -> None:
    table = pd.read_csv(ptbxl_tables("1.0.3") / "scp_statements.csv", index_col=0)
    assert list(statements_table().columns) == list(table.columns)
    for statement in STATEMENT_TABLE:
        row = table.loc[statement.code].fillna("")
        assert set(statement.groups) == {group for group in GROUPS if row[group] == 1}, statement.code
        found = (row["diagnostic_class"], row["diagnostic_subclass"])
        assert found == (statement.superclass, statement.subclass), statement.code
