"""An explanation out of an answer, for drawing."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from leadwise.evaluation.explanation import Explanation


def explanation_of(answer: Mapping[str, Any], superclass: str) -> Explanation | None:
    """The explanation of a class as ``leadwise.serving.explanations`` wrote it; ``None`` where there is none."""
    told = answer.get("explanations", {}).get(superclass)
    if told is None:
        return None
    coded = told["attribution"]
    values = np.frombuffer(base64.b64decode(coded["data"]), "<f4").reshape(coded["shape"])
    return Explanation(
        superclass, told["method"], answer["probabilities"][superclass], values, float(coded["fs_hz"]), told["effects"]
    )
