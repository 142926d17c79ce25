"""What tests of a recording share: the networks that ship, and the two recordings that come along."""

from pathlib import Path

import numpy as np
import pytest

from leadwise.ecg.formats import read_ecg
from leadwise.registry.load import BUNDLED
from leadwise.serving.scorer import Scorer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """The networks that ship."""
    return Scorer.load(BUNDLED)


@pytest.fixture(params=["normal", "infarction"])
def ecg_mv(request: pytest.FixtureRequest) -> np.ndarray:
    """``(1000, 12)``: a simulated recording, 10 s at 100 Hz."""
    return read_ecg(EXAMPLES / f"{request.param}.hea").recording().record.signal_mv.copy()
