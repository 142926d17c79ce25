"""On networks whose reasons are known, an explanation finds them: the lead, the wave, the sign, the size."""

from collections.abc import Mapping

import numpy as np
import pytest
from deletion import Deletion, deletion_curve, probabilities, random_attribution

from leadwise.contract import LEADS, LeadwiseError
from leadwise.ecg.preprocessing import SignalPreprocessing
from leadwise.ecg.waves import BETWEEN, WAVES, cut_into_pieces, taken_out
from leadwise.explain import Explainable, Explanation, explain_together

FS_HZ = 100.0
WINDOWS = SignalPreprocessing(0.0, 1.0, window_samples=250, stride_samples=125)
V2, III, AVL = LEADS.index("V2"), LEADS.index("III"), LEADS.index("aVL")
WEIGHTS = {V2: 40.0, III: -25.0}
"""What the planted network looks at: energy in V2 speaks for MI, energy in III against it; nothing else counts."""


def heart(seconds: float = 10.0, rate: float = 75.0) -> np.ndarray:
    """Beats with a QRS complex in every lead and a T wave in V2 and aVL, ``(time, 12)`` mV."""
    time = np.arange(round(seconds * FS_HZ)) / FS_HZ
    signal = np.zeros((len(time), len(LEADS)), dtype=np.float32)
    for beat in np.arange(0.5, seconds, 60 / rate):
        signal += np.exp(-(((time - beat) / 0.02) ** 2))[:, None] * np.linspace(0.6, 1.2, len(LEADS))
        signal[:, [V2, AVL]] += 0.5 * np.exp(-(((time - beat - 0.3) / 0.05) ** 2))[:, None]
    return signal.astype(np.float32)


def planted(patient_weight: float = 0.0) -> Explainable:
    """Two classes: ``MI`` by ``WEIGHTS``, and ``NORM``, its opposite."""
    weights = np.zeros(len(LEADS))
    weights[list(WEIGHTS)] = list(WEIGHTS.values())

    def log_odds(windows: np.ndarray, patient: Mapping[str, float | None]) -> np.ndarray:
        age = patient.get("age") or 0.0
        return (np.square(windows.astype(np.float64)).mean(axis=1) * weights).sum(axis=1) + patient_weight * age - 1

    def answers(windows: np.ndarray, patient: Mapping[str, float | None]) -> np.ndarray:
        assert windows.shape[1:] == (250, 12)
        p = 1 / (1 + np.exp(-log_odds(windows, patient)))
        return np.stack([1 - p, p], axis=1)

    return Explainable(answers, WINDOWS, classes=("NORM", "MI"))


def explain(
    model: Explainable, signal: np.ndarray, patient: Mapping[str, float | None], superclass: str, **more: int
) -> Explanation:
    return explain_together(model, signal, patient, [superclass], **more)[0]


def share(attribution: np.ndarray, *leads: int) -> float:
    return float(np.abs(attribution[:, leads]).sum() / np.abs(attribution).sum())


def test_the_planted_leads_are_found_with_their_signs() -> None:
    found = explain(planted(), heart(), {}, "MI")
    assert found.attribution.shape == (1000, 12)
    assert share(found.attribution, V2, III) > 0.999
    assert found.attribution[:, V2].sum() > 0 > found.attribution[:, III].sum()
    assert (found.attribution[:, V2] >= -1e-4).all()
    assert (found.attribution[:, III] <= 1e-4).all()
    quiet = np.abs(heart()[:, V2]) < 0.01
    assert np.abs(found.attribution[quiet, V2]).sum() < 0.02 * np.abs(found.attribution[:, V2]).sum()
    assert found.strongest(1)[0][:2] == ("QRS complex", "V2")
    assert found.strongest(2)[1][:2] == ("T wave", "V2")
    assert found.strongest(1, against=True)[0][:2] == ("QRS complex", "III")


def test_what_was_attributed_adds_up() -> None:
    """Here the network is additive, so the waves together are what separates the recording from one at rest."""
    signal = heart()
    found = explain(planted(), signal, {}, "MI")
    resting = np.broadcast_to(np.median(signal, axis=0), signal.shape)
    logits = [np.log(p / (1 - p)) for p in probabilities(planted(), np.stack([signal, resting]), {}, "MI")]
    assert found.attribution.sum() / FS_HZ == pytest.approx(logits[0] - logits[1], rel=0.05)
    assert sum(sum(leads.values()) for leads in found.effects.values()) == pytest.approx(
        logits[0] - logits[1], rel=0.05
    )


@pytest.mark.parametrize("samples", [250, 251, 375, 600, 1000, 1333])
def test_recordings_of_any_length_are_covered(samples: int) -> None:
    signal = heart(samples / FS_HZ)
    found = explain(planted(), signal, {}, "MI")
    assert found.attribution.shape == signal.shape
    high = signal[:, V2] > 0.5
    assert (found.attribution[high, V2] > 0).all()


def test_redundant_leads_share_what_one_of_them_would_be_enough_for() -> None:
    """Taking out V2 alone changes nothing, as aVL shows the same: both speak for the class nevertheless."""

    def answers(windows: np.ndarray, _: Mapping[str, float | None]) -> np.ndarray:
        high = windows[:, :, [V2, AVL]].max(axis=(1, 2)) > 0.4
        return np.where(high, 0.95, 0.05)[:, np.newaxis]

    found = explain(Explainable(answers, WINDOWS, classes=("MI",)), heart(), {}, "MI", orders=20)
    assert share(found.attribution, V2, AVL) > 0.999
    by_lead = found.attribution.sum(axis=0) / FS_HZ
    assert by_lead.sum() == pytest.approx(2 * np.log(19), rel=1e-6)
    assert by_lead[V2] == pytest.approx(np.log(19), rel=0.6)


def test_the_same_seed_gives_the_same_explanation() -> None:
    def answers(windows: np.ndarray, _: Mapping[str, float | None]) -> np.ndarray:
        return 1 / (1 + np.exp(-np.prod(windows[:, :, [V2, AVL]].max(axis=1), axis=1, keepdims=True)))

    model = Explainable(answers, WINDOWS, classes=("MI",))
    first, again, other = (explain(model, heart(), {}, "MI", orders=1, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.attribution, again.attribution)
    assert (first.attribution != other.attribution).any()


def test_a_flat_recording_speaks_for_nothing() -> None:
    assert not explain(planted(), np.zeros((1000, 12)), {}, "MI").attribution.any()


def test_what_cannot_be_explained_is_named() -> None:
    model, signal = planted(), heart()
    broken = signal.copy()
    broken[3, 4] = np.nan
    for arguments, named in (
        ((model, signal[:, :3], {}, "MI"), r"shape \(1000, 3\); allowed: \(time, 12\) of 250 samples or more"),
        ((model, signal[:200], {}, "MI"), r"shape \(200, 12\)"),
        ((model, broken, {}, "MI"), "NaN or infinity; allowed: finite mV"),
        ((model, signal, {}, "AFIB"), "superclass: received 'AFIB'; allowed: NORM, MI"),
    ):
        with pytest.raises(LeadwiseError, match=named):
            explain(*arguments)
    with pytest.raises(LeadwiseError, match="orders: received 0; allowed: 1 or more"):
        explain(model, signal, {}, "MI", orders=0)


def test_every_sample_belongs_to_one_piece() -> None:
    for signal in (heart(), heart(rate=180), heart(3.0), np.zeros((1000, 12), np.float32)):
        pieces = cut_into_pieces(signal, FS_HZ)
        np.testing.assert_array_equal(pieces.members.sum(axis=0), 1)
        assert len(pieces.names) == len(pieces.members) == len(set(pieces.names))
    assert cut_into_pieces(heart(), FS_HZ).names == (*WAVES, BETWEEN)
    assert cut_into_pieces(np.zeros((1000, 12), np.float32), FS_HZ).names[2] == "2 to 3 s"


def test_waves_are_where_they_are() -> None:
    signal = heart()
    pieces = cut_into_pieces(signal, FS_HZ)
    members = dict(zip(pieces.names, pieces.members, strict=True))
    assert members["QRS complex"][signal[:, III] > 0.3].all()
    t_wave = (signal[:, V2] > 0.3) & (signal[:, III] < 0.01)
    assert members["T wave"][t_wave].all()


def test_a_line_takes_the_place_of_what_is_taken_out() -> None:
    ramp = np.outer(np.arange(100), np.ones(12)).astype(np.float32)
    spoilt = ramp.copy()
    spoilt[40:60] += 5
    gone = np.zeros(100, dtype=bool)
    gone[40:60] = True
    np.testing.assert_allclose(taken_out(spoilt, gone), ramp)
    gone[:60] = True
    np.testing.assert_allclose(taken_out(ramp, gone)[:60], 60)
    np.testing.assert_allclose(taken_out(ramp, np.ones(100, dtype=bool)), 49.5)


@pytest.mark.parametrize("removal", ["line", "median"])
def test_removing_what_is_marked_lowers_the_probability_faster_than_at_random(removal: str) -> None:
    generator = np.random.default_rng(0)
    model, marked, random, spared = planted(), [], [], []
    for rate in (60, 75, 90, 110):
        signal = heart(rate=rate)
        attribution = explain(model, signal, {}, "MI").attribution
        tried = attribution, random_attribution(signal, FS_HZ, generator), -attribution
        curve = (deletion_curve(model, signal, {}, "MI", marks, removal=removal) for marks in tried)
        for found, values in zip((marked, random, spared), curve, strict=True):
            found.append(values)
    test = Deletion(np.array(marked), np.array(random))
    gain, interval = test.advantage()
    assert gain > interval.low > 0.1
    assert Deletion(np.array(spared), np.array(random)).advantage()[1].high < 0
    assert np.array(marked)[:, 0] == pytest.approx(np.array(random)[:, 0])
