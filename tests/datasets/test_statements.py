from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from leadwise.contract import STATEMENTS
from leadwise.datasets.statements import DIAGNOSES, FORMS, GROUPS, RHYTHMS, STATEMENT_TABLE
from leadwise.datasets.synthetic.population import STATEMENTS as SIMULATED


def test_every_statement_stands_once_in_the_order_of_the_contract_with_a_name_of_its_own() -> None:
    assert tuple(statement.code for statement in STATEMENT_TABLE) == STATEMENTS
    assert len({statement.name for statement in STATEMENT_TABLE}) == len(STATEMENTS)
    assert sorted([*DIAGNOSES, *FORMS, *RHYTHMS]) == sorted(STATEMENTS)
    assert all(statement.name == statement.name.strip() and statement.name for statement in STATEMENT_TABLE)


def test_groups_are_those_of_the_published_tasks() -> None:
    members = {group: sum(group in statement.groups for statement in STATEMENT_TABLE) for group in GROUPS}
    assert members == {"diagnostic": 44, "form": 19, "rhythm": 12}
    for statement in STATEMENT_TABLE:
        simulated = SIMULATED[statement.code]
        flags = {"diagnostic": simulated.diagnostic, "form": simulated.form, "rhythm": simulated.rhythm}
        assert set(statement.groups) == {group for group, flag in flags.items() if flag}, statement.code


@pytest.mark.real
def test_groups_are_those_of_the_real_table(ptbxl_tables: Callable[[str], Path]) -> None:
    table = pd.read_csv(ptbxl_tables("1.0.3") / "scp_statements.csv", index_col=0)
    for statement in STATEMENT_TABLE:
        flags = {group for group in GROUPS if table.loc[statement.code, group] == 1}
        assert set(statement.groups) == flags, statement.code
