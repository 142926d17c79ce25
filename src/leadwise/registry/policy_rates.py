"""How often each policy's decisions were right on fold 10: what a package tells of it."""

import json
from pathlib import Path
from typing import Any

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.files import POLICIES_FILE

MEASURES: tuple[str, ...] = ("sensitivity", "specificity")


def read_policy_rates(evaluation: Path) -> dict[str, Any]:
    """policy -> measure -> class -> value and its 95 % bounds; nothing where the evaluation does not tell.

    Args:
        evaluation: folder of the evaluate stage of one model.
    """
    file = evaluation / POLICIES_FILE
    if not file.is_file():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    metrics, intervals = content["metrics"], content["intervals"]
    return {
        policy: {
            measure: {
                name: [metrics.get(key), *intervals.get(key, [None, None])]
                for name in SUPERCLASSES
                for key in (f"test/decision/{policy}/{measure}/{name}",)
            }
            for measure in MEASURES
        }
        for policy in content["rules"]
    }
