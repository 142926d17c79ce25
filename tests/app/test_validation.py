"""Many recordings with labels: the page gives the report of the command, refuses what is hostile, and keeps nothing."""

import io
import json
import stat
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_sources import write_table

from leadwise.app.validation import OwnReport, validate_uploads
from leadwise.config import Validate
from leadwise.contract import LEADS, LeadwiseError
from leadwise.registry.external_validation import ANSWERS_FILE, validate_model
from leadwise.registry.load import LoadedPackage

testing = pytest.importorskip("streamlit.testing.v1")
Open = Callable[..., "testing.AppTest"]
MB = 2**20
TABLE = "file,NORM\na.npz,1\n"

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture(scope="module")
def package(package_folder: Path) -> LoadedPackage:
    return LoadedPackage.found(str(package_folder))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings: four that are answered, one of noise, and one that is no ECG file."""
    rows = [
        {"file": f"{n}.npz", "patient_id": f"p{n}", "age": 50 + n, "sex": "male", "NORM": n % 2, "MI": ""}
        for n in range(6)
    ]
    source = write_table(tmp_path_factory.mktemp("own") / "recordings", rows)
    np.savez(
        source / "4.npz",
        signal=np.random.default_rng(0).normal(size=(5000, 12)),
        fs_hz=500,
        units="mV",
        leads=np.array(LEADS),
    )
    (source / "5.npz").write_bytes(b"nothing of an ECG")
    return source


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(files: Mapping[str, str | bytes], top: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return stream.getvalue()


def zipped_folder(folder: Path) -> bytes:
    return zipped({file.name: file.read_bytes() for file in folder.iterdir()}, top="recordings/")


def validated(files: list[tuple[str, bytes]], package: LoadedPackage, options: str = "") -> OwnReport:
    return validate_uploads(files, package, policy="youden", options=options, progress=lambda *told: None)


def test_the_report_is_that_of_the_command_and_nothing_is_left(
    own: Path, package: LoadedPackage, temporary: Path, tmp_path: Path
) -> None:
    found = validated([("own.zip", zipped_folder(own))], package)
    assert list(temporary.iterdir()) == []
    asked = Validate(source=own, policy="youden", max_unreadable_share=1, model=package.name)
    validate_model(asked, tmp_path / "command", command="", suites=False)
    expected = pd.read_parquet(tmp_path / "command" / ANSWERS_FILE)
    with zipfile.ZipFile(io.BytesIO(found.archive)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content[ANSWERS_FILE])), expected)
    assert json.loads(content["metrics.json"])["dataset"]["source"] == "records.csv"
    assert "6 recordings: 4 answered" in found.found[0] and "1 refused" in found.found[0]
    assert "1 could not be read. The report says why" in found.found[0]
    assert "NORM (2 with, 2 without)" in found.found[1]
    assert f"leadwise validate records.csv --dataset table --model {package.name} --policy youden" in found.html
    assert "Great Expectations" in found.unchecked[0] and found.unchecked[0] in found.html
    assert "temporary" not in found.html and "own-recordings" not in found.html


def test_nothing_is_left_where_the_visitor_leaves(own: Path, package: LoadedPackage, temporary: Path) -> None:
    class Left(BaseException):
        pass

    seen: list[tuple[int, str]] = []

    def leave(stage: str, done: int, of: int) -> None:
        (folder,) = temporary.iterdir()
        seen.append((stat.S_IMODE(folder.stat().st_mode), f"{stage} {done} {of}"))
        if done == 2:
            raise Left

    with pytest.raises(Left):
        validate_uploads([("own.zip", zipped_folder(own))], package, policy="best_f1", options="", progress=leave)
    assert seen[-1] == (0o700, "scored 2 6"), "for nobody else"
    assert list(temporary.iterdir()) == []


def link() -> bytes:
    """An archive with a symbolic link in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("records.csv", TABLE)
        entry = zipfile.ZipInfo("a.npz")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def rows(count: int, label: object = 1) -> str:
    return "file,NORM\n" + "".join(f"{n}.npz,{label}\n" for n in range(count))


def parquet(count: int) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"file": ["a.npz"] * count, "NORM": 1}).to_parquet(stream)
    return stream.getvalue()


def bomb() -> bytes:
    """Some kilobytes that unpack to 300 MB."""
    return zipped({"records.csv": TABLE} | dict.fromkeys((f"{n}.npz" for n in range(5)), bytes(60 * MB)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (bomb, "received 300.0 MiB unpacked; 256.0 MiB at most"),
        (lambda: bytes(65 * MB), "received 65.0 MiB in all; 64.0 MiB at most"),
        (
            lambda: zipped({"records.csv": TABLE} | {f"{n}.x": "" for n in range(10_000)}),
            "10,001 files; 10,000 at most",
        ),
        (lambda: zipped({"records.csv": TABLE, "../../a.npz": "x"}), r"'../../a.npz' leaves the folder"),
        (lambda: zipped({"records.csv": TABLE, "/a.npz": "x"}), "'/a.npz' is absolute"),
        (link, "'a.npz' is a link or a device; files are needed"),
        (lambda: zipped({"records.csv": rows(501)}), "received 501 recordings; 500 at most"),
        (lambda: zipped({"records.parquet": parquet(501)}), "received 501 recordings; 500 at most"),
        (lambda: zipped({"records.csv": b"x" * 3 * MB}), "received 3.0 MiB; a table has 2.0 MiB at most"),
        (lambda: zipped({"a.npz": "x"}), "received no table; one table of labels, records.csv"),
        (lambda: zipped({"a.csv": "x", "b.csv": "x"}), "received 2 tables, 'a.csv', 'b.csv'; one table"),
        (lambda: zipped({"records.csv": "file,NORM\n../../../etc/passwd,1\n"}), "row 1: file: received '../../../etc"),
        (
            lambda: zipped({"records.csv": "file,NORM\n/etc/passwd,1\n"}),
            "row 1: file: received '/etc/passwd', which is",
        ),
        (lambda: zipped({"records.csv": rows(2, "perhaps")}), "records.csv, row 1: NORM: received 'perhaps'"),
        (lambda: zipped({"records.csv": f"{TABLE}a.npz,0\n"}), "row 2: file: received 'a.npz', which row 1 has"),
        (lambda: zipped({"records.csv": TABLE}), "none of 1 recordings can be read"),
        (lambda: link()[:-40], "is no whole zip archive"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(
    package: LoadedPackage, temporary: Path, make: Callable[[], bytes], says: str
) -> None:
    sent = make()
    with pytest.raises(LeadwiseError) as refused:
        validated([("own.zip", sent)], package)
    assert says in str(refused.value)
    assert str(temporary) not in str(refused.value)
    assert list(temporary.iterdir()) == []


def validating(page: "testing.AppTest") -> "testing.AppTest":
    page.segmented_control(key="source").set_value("Validate").run()
    assert not page.exception
    return page


def text_of(page: "testing.AppTest") -> str:
    return "\n".join(str(element.proto.body) for element in page.get("html"))


def press(page: "testing.AppTest", label: str) -> None:
    (button,) = (one for one in page.button if one.label == label)
    button.click().run()
    assert not page.exception


def test_the_page_shows_the_report_until_it_is_forgotten(own: Path, opened: Open) -> None:
    page = validating(opened())
    assert "For research only" in text_of(page)
    upload = page.file_uploader(key="own-recordings")
    upload.set_value([("bad.zip", zipped({"a.npz": "x"}), "application/zip")]).run()
    press(page, "Validate")
    assert "This cannot be validated. received no table" in text_of(page)
    files = [(file.name, file.read_bytes(), "application/octet-stream") for file in sorted(own.iterdir())]
    page.file_uploader(key="own-recordings").set_value(files).run()
    press(page, "Validate")
    assert "6 recordings: 4 answered" in text_of(page)
    assert len(page.get("iframe")) == 1
    press(page, "Forget this report")
    assert "6 recordings" not in text_of(page)


def test_two_visitors_at_once_get_each_their_own_report(own: Path, temporary: Path, opened: Open) -> None:
    pages = [validating(opened()) for _ in range(2)]
    table = pd.read_csv(own / "records.csv")
    for page, rows in zip(pages, (table, table[:3]), strict=True):
        files = [(str(name), (own / name).read_bytes(), "application/octet-stream") for name in rows["file"]]
        sent = [*files, ("records.csv", rows.to_csv(index=False).encode(), "text/csv")]
        page.file_uploader(key="own-recordings").set_value(sent).run()
    with ThreadPoolExecutor(2) as at_once:
        list(at_once.map(lambda page: press(page, "Validate"), pages))
    for page, found in zip(pages, ("6 recordings: 4 answered", "3 recordings: 3 answered"), strict=True):
        assert found in text_of(page)
    assert not list(temporary.iterdir())


def test_a_server_answers_single_recordings_only(opened: Open) -> None:
    page = validating(opened(url="http://127.0.0.1:9", model=""))
    assert "Validation needs a model in the page" in text_of(page)
    assert len(page.get("file_uploader")) == 0
