"""The data behind candidate and champion."""

import pytest

from leadwise.datasets.base import dataset_named
from leadwise.parameters import load_parameters
from leadwise.registry.gate_checks import Limits, data_check

HERE, ELSEWHERE = "a" * 64, "b" * 64


def passed(theirs: str, *, champion_simulated: bool, simulated: bool = False, allowed: str = "false") -> bool | None:
    asked = load_parameters({"allow-other-data": allowed}).gate
    tags = {"data.digest": theirs, "data.simulated": str(champion_simulated).lower()}
    limits = Limits.of(asked, dataset_named("synthetic" if simulated else "ptbxl"))
    check = data_check(HERE, "3", tags, limits)
    assert check.passed or "real" in check.note or "allow-other-data=true" in check.note
    return check.passed


@pytest.mark.parametrize("digest", [ELSEWHERE, ""])
def test_other_or_unknown_data_are_refused_unless_a_parameter_allows_them(digest: str) -> None:
    assert passed(HERE, champion_simulated=False) is True
    assert passed(digest, champion_simulated=False) is False
    assert passed(digest, champion_simulated=False, allowed="true") is True


def test_simulated_data_may_change_but_never_replace_real_ones() -> None:
    assert passed(ELSEWHERE, champion_simulated=True, simulated=True) is True
    assert passed(ELSEWHERE, champion_simulated=False, simulated=True) is False
    assert passed(ELSEWHERE, champion_simulated=True) is False
