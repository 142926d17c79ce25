"""The model that ships: what it says of textbook recordings and, where they are, of real ones."""

import re

import numpy as np
import pytest
from bundle_script import script

from leadwise.contract import DISCLAIMER, SUPERCLASSES
from leadwise.datasets.synthetic import simulate_record
from leadwise.registry.load import BUNDLED, card_text
from leadwise.registry.package import Package, unpack_bundled
from leadwise.serving.scorer import Scorer

MEBIBYTE = 2**20
TEXTBOOK = {"NORM": "NORM", "AMI": "MI", "IMI": "MI", "CLBBB": "CD", "CRBBB": "CD", "LVH": "HYP", "ISC_": "STTC"}
"""Statement that a recording is simulated with -> the superclass that must come out of it."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return unpack_bundled(tmp_path_factory.mktemp("pretrained") / "package")


@pytest.fixture(scope="module")
def scorer(package: Package) -> Scorer:
    return Scorer.load(package.folder)


def test_it_is_small_comes_from_real_data_and_says_what_it_is(package: Package) -> None:
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) < 20 * MEBIBYTE
    assert not package.simulated
    assert package.description["feature_set"] == "clinical"
    card = (BUNDLED / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert DISCLAIMER in card
    assert package.description["data"]["digest"] in card
    assert re.search(r"\| made by \| `make run DATA=\S+", card)
    (told,) = re.findall(r"^\| macro AUROC \| (\d\.\d{3}) \[", card, flags=re.MULTILINE)
    published = package.description["networks"]["fusion"]["test"]["macro_auroc"]
    assert float(told) == pytest.approx(published, abs=0.0005)
    assert card.startswith(script.card_head(package.description))
    assert card_text(BUNDLED).startswith("# Model card: ")


@pytest.mark.parametrize(("statement", "superclass"), TEXTBOOK.items())
def test_textbook_recordings_are_recognised(scorer: Scorer, statement: str, superclass: str) -> None:
    """Simulated: nobody's ECG, yet drawn as textbooks draw the diagnosis. It has never seen one of them."""
    answers = scorer.score([_row(statement, seed) for seed in range(8)])
    mean = {name: np.mean([answer["probabilities"][name] for answer in answers]) for name in SUPERCLASSES}
    assert mean[superclass] > answers[0]["thresholds"][superclass]
    assert mean[superclass] > 0.6
    if superclass != "NORM":
        assert mean["NORM"] < 0.15


@pytest.mark.parametrize("code", ["CLBBB", "AFIB"])
def test_bundle_branch_block_and_atrial_fibrillation_are_found_where_they_are(scorer: Scorer, code: str) -> None:
    """In most recordings drawn with it, and in none that is drawn as normal."""
    assert _share_told(scorer, code, drawn=code) > 0.5
    assert _share_told(scorer, code, drawn="NORM") == 0


def _share_told(scorer: Scorer, code: str, *, drawn: str) -> float:
    answers = scorer.score([_row(drawn, seed) for seed in range(16)])
    return float(np.mean([code in {finding["code"] for finding in answer["findings"]} for answer in answers]))


def _row(statement: str, seed: int) -> dict[str, object]:
    record = simulate_record(statement, seed)
    known = {name: value for name, value in record.patient.items() if value is not None}
    return {"signal": record.signal_mv.tolist(), "fs_hz": record.fs_hz, **known}
