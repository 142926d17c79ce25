"""What every feature owes to the house, and that features of somebody's own need no change of it."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_package import weights_of, write_package

import leadwise.app
from leadwise.cli import build_parser, main
from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.datasets.store import open_store, record_columns
from leadwise.ecg.formats import read_ecg
from leadwise.ecg.record import RecordingError
from leadwise.features import FEATURES, NO_YES, YES_NO_WORDS, Feature, feature_names, register_feature
from leadwise.parameters import load_parameters
from leadwise.serving.batch_source import entries
from leadwise.serving.request import parse_row

pytestmark = [pytest.mark.xdist_group("page"), pytest.mark.slow]

Patient = dict[str, float | None]


def pressure_of(patient: Patient, superclasses: Sequence[str], rng: np.random.Generator) -> float | None:
    """Higher where the heart is thick; of some nobody measured it, and of some it was entered wrongly."""
    measured = float(np.round(rng.normal(165 if "HYP" in superclasses else 125, 12)))
    return None if rng.random() < 0.2 else 1250.0 if rng.random() < 0.05 else measured


OWN = (
    Feature(
        "systolic_mmhg", "Systolic blood pressure", "mmHg", 50, 300, units={"mmhg": 1.0, "kpa": 7.50062},
        form_units=("mmhg", "kpa"), understood="a number in mmHg or kPa", simulate=pressure_of,
    ),
    Feature(
        "smoker", "Smoker", choices=NO_YES, words=YES_NO_WORDS,
        simulate=lambda patient, superclasses, rng: float(rng.random() < 0.3),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def own_features() -> Iterator[None]:
    """Both registered as long as the tests of this module need them."""
    for one in OWN:
        register_feature(one)
    yield
    for one in OWN:
        del FEATURES[one.name]


@pytest.mark.parametrize("name", [*FEATURES, *(one.name for one in OWN)])
def test_a_feature_keeps_its_promises(name: str, own_features: None) -> None:
    one = FEATURES[name]
    assert one.name == name
    assert one.label
    assert (name in feature_names("clinical")) == (not one.leaks)
    assert (name in record_columns()) == (one.derive is None)
    if not one.is_asked:
        with pytest.raises(RecordingError, match=f"{name}: unknown field"):
            parse_row({name: 1})
        return
    values = (0.0, 1.0) if one.choices else (one.low, one.high)
    for value in values:
        assert one.holds(value)
        assert parse_row({name: value}).patient == {name: value}
        assert one.parse(one.text(value)) == value or (value < 3 and one.bare(value) != value)
        assert one.parse(f"{value:g} {one.unit}" if one.unit else one.text(value)) == pytest.approx(value)
    for wrong in (values[0] - 1, values[1] + 1, "an odd word", [1]):
        with pytest.raises(RecordingError, match=f"{name}: received") as refused:
            parse_row({name: wrong})
        assert one.allowed in str(refused.value) or "a number is needed" in str(refused.value)
    for unit in one.form_units:
        assert one.units[unit] > 0
    assert one.units.get(one.unit.casefold(), 1.0) == 1.0
    given = [one.option] if one.choices == NO_YES else [one.option, one.text(values[1])]
    assert getattr(build_parser().parse_args(["predict", "x", *given]), name) is not None
    if one not in OWN:
        assert all(f"`{name}`" in (PROJECT_ROOT / "docs" / page).read_text() for page in ("serving.md", "batch.md"))


def test_a_feature_is_registered_once_and_described_in_whole() -> None:
    for wrong, message in (
        (Feature("age", "Age"), "second 'age'"),
        (Feature("rate", "Rate", low=3, high=2), "rate: received 3 to 2"),
        (Feature("index", "Index", derived_from=("shoe",), derive=float), "index: derived from 'shoe'"),
    ):
        with pytest.raises(ValueError, match=message):
            register_feature(wrong)


class Trained:
    """What came of a simulated tree with both features: its store, a metadata network of one epoch, and a package."""

    def __init__(self, folder: Path) -> None:
        from leadwise.datasets.ingest import ingest
        from leadwise.datasets.synthetic import write_simulated_tree
        from leadwise.registry.candidates import export_onnx
        from leadwise.training.config import training_config
        from leadwise.training.fit import fit_model
        from leadwise.training.prediction import load_trained

        tree = write_simulated_tree(folder / "tree", patients=200, seed=20)
        self.manifest = ingest(tree, folder / "store", max_unreadable_share=0.0).manifest
        self.validation = json.loads((folder / "store" / "validation" / "validation.json").read_text())
        self.store = open_store(folder / "store")
        config = training_config("metadata", load_parameters({"epochs-metadata": 1, "monitor": "val/binary_accuracy"}))
        fit_model(config, self.store, folder / "model", report=lambda epoch, metrics: None)
        trained = load_trained(folder / "model")
        self.transformer = trained.metadata
        self.package = folder / "package"
        self.package.mkdir()
        export_onnx(trained.network, self.package / "metadata.onnx")
        weights = weights_of(self.transformer)
        del weights["to_statements"]
        write_package(self.package, self.transformer, weights)


@pytest.fixture(scope="module")
def trained(own_features: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("own-features"))


def test_the_simulator_gives_it_and_ingestion_keeps_and_checks_it(trained: Trained) -> None:
    pressure, smoker = trained.store.records["systolic_mmhg"], trained.store.records["smoker"]
    assert pressure.dropna().between(50, 300).all()
    assert set(smoker) == {0, 1}
    thick = trained.store.records["HYP"]
    assert pressure[thick].mean() > pressure[~thick].mean() + 20
    wrong = trained.manifest["repairs"]["systolic_mmhg_impossible_to_missing"]
    assert 0 < wrong < 0.1 * len(pressure)
    assert pressure.isna().sum() > wrong
    (told,) = [one for one in trained.validation["outcomes"] if one["check"] == "fact_range"]
    assert (told["success"], told["unexpected"]) == (False, wrong)
    assert "systolic_mmhg: 1250, not 50 to 300 mmHg" in told["examples"][0]


def test_a_network_sees_it(trained: Trained) -> None:
    names = trained.transformer.column_names
    assert names[7:9] == ("systolic_mmhg", "smoker")
    assert names[16:] == ("systolic_mmhg_unknown", "smoker_unknown")
    low, high, unknown = trained.transformer.transform_many([{"systolic_mmhg": 100}, {"systolic_mmhg": 180}, {}])
    assert high[7] - low[7] == pytest.approx(80 / trained.transformer.sd[7], rel=1e-5)
    np.testing.assert_array_equal(unknown[16:], [1, 1])


def test_the_packaged_model_takes_it_over_rest(trained: Trained) -> None:
    from leadwise.registry.package import served_signature
    from leadwise.serving.api import respond
    from leadwise.serving.scorer import Scorer

    assert {"systolic_mmhg", "smoker"} <= set(served_signature().inputs.input_names())
    rows = [{"age": 60, "systolic_mmhg": value, "smoker": True} for value in (100, 220, 2000)]
    body = json.dumps({"inputs": [*rows, {"age": 60, "smoker": "perhaps"}, {"age": 60}]}).encode()
    status, answer = respond(Scorer.load(trained.package), body, "application/json")
    assert status == 200
    low, high, impossible, odd, bare = answer["predictions"]
    assert low["probabilities"] != high["probabilities"]
    assert impossible["error"]["message"] == "row 2: systolic_mmhg: received 2000; 50 to 300 mmHg is allowed"
    assert odd["error"]["field"] == "smoker"
    assert "systolic_mmhg, smoker" in " ".join(bare["warnings"])


@pytest.fixture
def recording(trained: Trained) -> tuple[Any, bytes]:
    """A simulated recording, and the same as a file that tells the pressure in words."""
    from leadwise.datasets.synthetic import simulate_record

    record, stream = simulate_record("HYP", 4), io.BytesIO()
    told = {"systolic_mmhg": "19 kPa", "smoker": "yes"}
    np.savez(stream, signal=record.signal_mv, fs_hz=record.fs_hz, units="mV", leads=np.array(LEADS), **told)
    return record, stream.getvalue()


def test_files_tables_and_the_command_line_take_it(
    trained: Trained, recording: tuple[Any, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = read_ecg(recording[1])
    assert read.patient == {"systolic_mmhg": pytest.approx(142.51), "smoker": 1}
    (tmp_path / "one.csv").write_text("file,systolic_mmhg,smoker\n,140,0\n")
    assert list(entries(tmp_path / "one.csv")) == [{"systolic_mmhg": 140.0, "smoker": 0.0}]
    file = tmp_path / "one.npz"
    file.write_bytes(recording[1])
    asked = ["predict", str(file), "--model", str(trained.package), "--json"]
    answers = []
    for given in ([], ["--systolic-mmhg", "220"]):
        assert main([*asked, *given]) == 0
        answers.append(json.loads(capsys.readouterr().out)[0])
    assert answers[0]["answer"]["probabilities"] != answers[1]["answer"]["probabilities"]
    assert "The file says systolic_mmhg 142.51; 220 was taken" in " ".join(answers[1]["understood"]["notes"])
    assert main([*asked, "--systolic-mmhg", "2000"]) == 1
    assert "systolic_mmhg: received 2000; 50 to 300 mmHg is allowed" in capsys.readouterr().err


def test_the_form_asks_for_it(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    for name, value in (("url", ""), ("model", str(trained.package)), ("tree", "")):
        monkeypatch.setenv(f"LEADWISE_APP_{name.upper()}", value)
    page = testing.AppTest.from_file(str(Path(leadwise.app.__file__).parent / "page.py"), default_timeout=120).run()
    page.segmented_control(key="source").set_value("No recording").run()
    page.selectbox(key="smoker-none").set_value("yes").run()
    page.number_input(key="systolic_mmhg-mmhg-none").set_value(180.0).run()
    assert not page.exception
    assert '"smoker": 1' in page.code[0].value
    assert '"systolic_mmhg": 180' in page.code[0].value
    shown = "\n".join(str(element.proto.body) for element in page.get("html"))
    assert "lw-NORM" in shown
    page.segmented_control(key="unit-systolic_mmhg").set_value("kpa").run()
    assert page.number_input(key="systolic_mmhg-kpa-none").value == pytest.approx(24.0)


def test_a_model_of_before_goes_on_and_one_with_an_unknown_feature_is_refused_by_name(trained: Trained) -> None:
    from leadwise.datasets.metadata import MetadataError
    from leadwise.registry.load import load_scorer

    bundled = load_scorer("pretrained")
    (answer,) = bundled.score([{"age": 60, "systolic_mmhg": 180}])
    (before,) = bundled.score([{"age": 60}])
    assert answer["probabilities"] == before["probabilities"]
    content = trained.transformer.to_dict()
    content["features"] = [*content["features"][:-1], "shoe_size"]
    with pytest.raises(MetadataError, match=r"features: .*shoe_size"):
        MetadataTransformer.from_dict(content)
