"""The data behind candidate and champion."""

import pytest

from leadwise.datasets.base import dataset_named
from leadwise.parameters import load_parameters
from leadwise.registry.gate.evidence import Champion, Limits, data_check

HERE, ELSEWHERE = "a" * 64, "b" * 64


def limits(*, simulated: bool = False, **given: str) -> Limits:
    asked = load_parameters({k.replace("_", "-"): v for k, v in given.items()}).gate
    return Limits.of(asked, dataset_named("synthetic" if simulated else "ptbxl"))


def test_the_first_champion_has_nobody_to_share_data_with() -> None:
    check = data_check(HERE, None, limits())
    assert (check.passed, check.measured) == (None, HERE[:12])


def test_the_same_digest_passes() -> None:
    assert data_check(HERE, Champion("3", HERE, simulated=False), limits()).passed is True


@pytest.mark.parametrize("digest", [ELSEWHERE, ""])
def test_other_or_unknown_data_are_refused_unless_a_parameter_allows_them(digest: str) -> None:
    champion = Champion("3", digest, simulated=False)
    check = data_check(HERE, champion, limits())
    assert check.passed is False
    assert "version 3 was trained on other data" in check.note
    assert "allow-other-data=true" in check.note
    assert data_check(HERE, champion, limits(allow_other_data="true")).passed is True


def test_simulated_data_may_change_but_never_replace_real_ones() -> None:
    loose = limits(simulated=True)
    assert data_check(HERE, Champion("3", ELSEWHERE, simulated=True), loose).passed is True
    assert data_check(HERE, Champion("3", ELSEWHERE, simulated=False), loose).passed is False
    assert data_check(HERE, Champion("3", ELSEWHERE, simulated=True), limits()).passed is False
