"""The process of the page imports what visitors need before the first one comes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from leadwise.config import PROJECT_ROOT
from leadwise.datasets.synthetic import simulate_record

pytest.importorskip("streamlit")

VISIT = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
import leadwise.app.entrance

page = Path(leadwise.app.entrance.__file__).with_name("page.py")
before = set(sys.modules)
visit = AppTest.from_file(str(page), default_timeout=120).run()
visit.button(key="explain-HYP").click().run()
visit.segmented_control(key="source").set_value("My own file").run()
for name in sys.argv[1:]:
    visit.file_uploader(key="upload").set_value((Path(name).name, Path(name).read_bytes(), "text/plain")).run()
    assert not visit.exception, visit.exception
    assert any("lw-class lw-" in str(part.proto.body) for part in visit.get("html")), name
visit.segmented_control(key="source").set_value("Validate").run()
own = [(Path(name).name, Path(name).read_bytes(), "text/plain") for name in sys.argv[1:]]
table = "file,NORM\\n" + "".join(f"{name},{n % 2}\\n" for n, (name, *_) in enumerate(own))
visit.file_uploader(key="own-recordings").set_value([*own, ("records.csv", table.encode(), "text/csv")]).run()
next(one for one in visit.button if one.label == "Validate").click().run()
assert visit.get("iframe"), [part.proto.body for part in visit.get("html") if "alert" in part.proto.body]
print(json.dumps(sorted(set(sys.modules) - before)))
"""
ENDINGS = {"hl7": "xml", "muse": "xml", "dicom": "dcm"}
OTHERS = ("streamlit", "packaging", "encodings")
"""Streamlit's own, which imports some of itself in the thread of a visitor."""


def test_a_visitor_of_the_page_has_nothing_imported(
    package_folder: Path, ecg_files: ModuleType, tmp_path: Path
) -> None:
    """Each visitor has a thread: two that import for the first time at once may break each other."""
    one = ecg_files.Ecg(np.round(simulate_record("CD", 5).signal_mv.astype(float) * 1000), 100)
    content = {kind: ecg_files.WRITERS[kind](one) for kind in ("csv", "npz", "edf", "dicom", "hl7", "muse", "parquet")}
    content["zip"] = ecg_files.WRITERS["zip"](ecg_files.wfdb_files(one, tmp_path / "record"))
    files = []
    for kind, written in content.items():
        files.append(tmp_path / f"{kind}.{ENDINGS.get(kind, kind)}")
        files[-1].write_bytes(written)
    environment = {"PYTHONPATH": str(PROJECT_ROOT / "src"), "LEADWISE_APP_MODEL": str(package_folder)}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VISIT, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | environment,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    imported = json.loads(told.stdout.splitlines()[-1])
    assert [name for name in imported if name.partition(".")[0] not in OTHERS] == []
