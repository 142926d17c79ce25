"""The first answer of many fresh processes at mixed sampling rates, several at a time beside a busy loop.

    python benchmarks/first_request.py                            # leadwise predict, 200 processes
    python benchmarks/first_request.py scorer --processes 50      # a thread pool's first request; also: model, page

``model`` loads a package as MLflow and a worker of Spark do; ``page`` draws the page twice at once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record

RATES_HZ = (100, 125, 200, 250, 257, 400, 500, 1000)

ASKING = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np

fs_hz, file = float(sys.argv[1]), sys.argv[2]
row = {"signal": np.load(file).tolist(), "fs_hz": fs_hz}
rows = [row, row | {"signal": row["signal"][: int(6 * fs_hz)]}, {"age": 60.0}]


def ask(answers):
    with ThreadPoolExecutor(3) as threads:
        assert all("probabilities" in one for one in threads.map(answers, rows))
"""

PROGRAMS = {
    "scorer": f"""{ASKING}
from leadwise.registry.load import load_scorer
scorer = load_scorer("pretrained")
ask(lambda row: scorer.score([row], explain=["MI"])[0])
""",
    "model": f"""{ASKING}
import mlflow
import pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[3])
ask(lambda row: model.predict(pd.DataFrame([row]))[0])
""",
    "page": """
import threading
from pathlib import Path
from streamlit.testing.v1 import AppTest
import leadwise.app.entrance
page = str(Path(leadwise.app.entrance.__file__).with_name("page.py"))
visits = [AppTest.from_file(page, default_timeout=120) for _ in range(2)]
threads = [threading.Thread(target=visit.run) for visit in visits]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all("lw-NORM" in str([part.proto.body for part in visit.get("html")]) for visit in visits)
""",
}


def command(kind: str, fs_hz: int, file: Path, model: Path | None) -> list[str]:
    """What one process runs."""
    if kind == "predict":
        hints = ["--fs-hz", str(fs_hz), "--units", "mV", "--leads", ",".join(LEADS), "--model", "pretrained"]
        return [sys.executable, "-m", "leadwise.cli", "predict", str(file), *hints]
    return [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        PROGRAMS[kind],
        str(fs_hz),
        str(file),
        *([str(model)] if model else []),
    ]


def main() -> None:
    """Run them and print what failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("predict", *PROGRAMS), default="predict")
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--model", type=Path, help="of kind model: the folder of a logged model")
    options = parser.parse_args()
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "src"), "LEADWISE_APP_MODEL": "pretrained"}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for fs_hz in RATES_HZ:
            signal_mv = simulate_record("MI", 2).signal_mv
            samples = np.linspace(0, len(signal_mv) - 1, 10 * fs_hz).round().astype(int)
            files[fs_hz] = Path(folder) / f"{fs_hz}.npy"
            np.save(files[fs_hz], signal_mv[samples])

        def run(number: int) -> str:
            fs_hz = RATES_HZ[number % len(RATES_HZ)]
            line = command(options.kind, fs_hz, files[fs_hz], options.model)
            ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
            return "" if ended.returncode == 0 else f"{fs_hz} Hz: {ended.stderr.strip().splitlines()[-1:]}"

        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        began = time.monotonic()
        try:
            with ThreadPoolExecutor(options.at_once) as several:
                failed = [said for said in several.map(run, range(options.processes)) if said]
        finally:
            busy.kill()
            busy.wait()
    for said in sorted(set(failed)):
        print(said)
    seconds = time.monotonic() - began
    print(f"{options.kind}: {len(failed)} of {options.processes} processes failed, {seconds:.0f} s")


if __name__ == "__main__":
    main()
