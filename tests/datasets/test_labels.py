"""SCP statements: read, turned into superclasses, and held against the published table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.releases import GROUPS, STATEMENT_TABLE
from leadwise.datasets.synthetic.tree import statements_table
from leadwise.datasets.tables import diagnostic_classes, label_counts, parse_scp_codes, superclass_labels

CLASSES = {"NORM": "NORM", "IMI": "MI", "NDT": "STTC", "LAFB": "CD", "LVH": "HYP"}


@given(st.dictionaries(st.text(max_size=8), st.floats(0, 100), max_size=6))
def test_what_ptbxl_writes_is_read_back(codes):
    assert parse_scp_codes(repr(codes), 7) == codes


@given(st.text())
def test_any_text_gives_codes_or_an_error_that_names_the_record(text):
    message = "4711"
    codes: dict[str, float] = {}
    try:
        codes = parse_scp_codes(text, 4711)
    except LeadwiseError as error:
        message = str(error)
    assert "4711" in message
    assert all(isinstance(code, str) and 0 <= likelihood <= 100 for code, likelihood in codes.items())


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "['NORM']",
        "{'NORM': 'sure'}",
        "{1: 2}",
        "{'NORM': 101}",
        "{'NORM': True}",
        "{'NORM': 1",
        "(" * 5_000,
        "{" + " " * 20_000 + "}",
        "",
        float("nan"),
    ],
)
def test_anything_else_is_refused_and_named(text):
    with pytest.raises(LeadwiseError, match="ecg_id 12: scp_codes: received"):
        parse_scp_codes(text, 12)


def test_any_diagnostic_statement_counts_whatever_its_likelihood():
    codes = [{"NORM": 0.0, "SR": 100.0}, {"IMI": 15.0, "LVH": 0.0}, {"SR": 0.0}, {}]
    labels = superclass_labels(codes, CLASSES)
    expected = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(labels, expected)
    assert superclass_labels([], CLASSES).shape == (0, len(SUPERCLASSES))
    assert label_counts(labels) == {"NORM": 1, "MI": 1, "STTC": 0, "CD": 0, "HYP": 1, "unlabelled": 2}


def test_only_diagnostic_statements_have_a_class_and_one_that_nobody_knows_is_refused():
    columns = {"diagnostic": ["1.0", None, "1.0"], "diagnostic_class": ["MI", "STTC", "HYP"]}
    assert diagnostic_classes(pd.DataFrame(columns, index=["IMI", "NDT", "LVH"])) == {"IMI": "MI", "LVH": "HYP"}
    with pytest.raises(LeadwiseError, match=r"IMI.*'XYZ'"):
        diagnostic_classes(pd.DataFrame({"diagnostic": ["1"], "diagnostic_class": ["XYZ"]}, index=["IMI"]))


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
