"""Nothing in a registered package is unpickled when it is loaded: pickles are planted, and loading is watched."""

import json
import pickle  # noqa: TID251
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from live_server import SmallModel
from pickles import pickles_in

pytestmark = pytest.mark.xdist_group("small server")

LOAD = """
import json, sys
seen = []
sys.addaudithook(lambda event, told: seen.append([event, *map(str, told)]) if event.startswith("pickle.") else None)
import mlflow
del seen[:]
failed = []
for folder in sys.argv[1:]:
    try:
        mlflow.pyfunc.load_model(folder)
    except Exception as error:
        failed.append(folder)
print(json.dumps([seen, failed]))
"""


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.file), "w"))


def test_the_search_for_pickles_finds_them_under_any_name(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / f"{protocol}.json").write_bytes(pickle.dumps(Bomb(tmp_path / "x"), protocol=protocol))
    with zipfile.ZipFile(tmp_path / "weights.onnx", "w") as archive:
        archive.write(tmp_path / "4.json", "data")
    (tmp_path / "innocent.txt").write_text("c0. A sentence.\n", encoding="utf-8")
    assert pickles_in(tmp_path) == [*(f"{protocol}.json" for protocol in range(6)), "weights.onnx"]


def test_planted_pickles_are_not_opened_on_load(small_model: SmallModel, tmp_path: Path) -> None:
    assert pickles_in(small_model.files) == []
    exploded = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(exploded))
    beside = [
        "python_model.pkl",
        "artifacts/fusion.pkl",
        "code/scorer.pickle",
        "registered_model_meta",
    ]
    instead = ["artifacts/fusion.onnx", "artifacts/metadata.onnx", "artifacts/model.json"]
    folders = []
    for number, names in enumerate([[], beside, *([name] for name in instead)]):
        folder = tmp_path / str(number)
        shutil.copytree(small_model.files, folder)
        for name in names:
            (folder / name).write_bytes(bomb)
        assert pickles_in(folder) == sorted(names)
        folders.append(str(folder))
    finished = subprocess.run(
        [sys.executable, "-c", LOAD, *folders],
        env=small_model.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seen, failed = json.loads(finished.stdout.splitlines()[-1])
    assert seen == []
    assert failed == folders[2:]
    assert not exploded.exists()
    pickle.loads(bomb).close()
    assert exploded.exists()
