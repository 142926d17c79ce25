"""What a package tells of its policies is what the evaluation measured on fold 10."""

import json

import pytest

from leadwise.config import Parameters
from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.files import POLICIES_FILE
from leadwise.registry.candidates import MEASURES, read_policy_rates


@pytest.mark.parametrize("model", ["metadata", "fusion_augmented"])
def test_rates_are_those_of_the_evaluation(trained: Parameters, model: str) -> None:
    folder = trained.shared.workspace / "evaluation" / "clinical" / model
    measured = json.loads((folder / POLICIES_FILE).read_text(encoding="utf-8"))
    rates = read_policy_rates(folder)
    assert rates.keys() == measured["rules"].keys()
    for policy, by_measure in rates.items():
        assert tuple(by_measure) == MEASURES
        for measure, by_class in by_measure.items():
            assert tuple(by_class) == SUPERCLASSES
            for name, (value, low, high) in by_class.items():
                assert value == measured["metrics"].get(f"test/decision/{policy}/{measure}/{name}")
                if None not in (value, low, high):
                    assert 0 <= low <= value <= high <= 1
    known = [value for one in rates.values() for by_class in one.values() for value, *_ in by_class.values()]
    assert any(value is not None for value in known)
