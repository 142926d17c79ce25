"""Make again what docs/results.md and the README show: the tables of results and the picture.

python scripts/readme.py results     writes the tables between the marks of docs/results.md
python scripts/readme.py picture     writes docs/ecg.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from leadwise.config import PROJECT_ROOT
from leadwise.contract import FeatureSet, LeadwiseError

RESULTS_PAGE = PROJECT_ROOT / "docs" / "results.md"
PICTURE = PROJECT_ROOT / "docs" / "ecg.png"
RESULTS: dict[str, tuple[FeatureSet, ...]] = {"ptbxl": ("clinical",), "ptbxl-original": get_args(FeatureSet)}
"""Folder below the workspaces -> the feature sets whose results that page shows between the marks of that name."""
FINDING, SEED = "AMI", 4
"""What the picture's simulated patient has: an anterior infarction."""


def write_results(workspaces: Path) -> None:
    """Put the evaluations' tables between the marks of the page."""
    from leadwise.atomic import write_atomically
    from leadwise.reports.overview import results_markdown

    text = RESULTS_PAGE.read_text(encoding="utf-8")
    for name, feature_sets in RESULTS.items():
        evaluation = workspaces / name / "evaluation"
        table = results_markdown({chosen: evaluation / chosen / "summary.json" for chosen in feature_sets})
        text = _between(text, f"<!-- {name}: written by scripts/readme.py -->", f"<!-- end of {name} -->", table)
    write_atomically(RESULTS_PAGE, text)


def _between(text: str, begin: str, end: str, content: str) -> str:
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise LeadwiseError(f"{RESULTS_PAGE}: the marks {begin!r} and {end!r} are needed")
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def draw_picture(workspaces: Path) -> None:
    """Draw a simulated recording with what the packaged champion says of it."""
    from leadwise.datasets.synthetic import simulate_record
    from leadwise.reports.ecg_figure import draw_ecg
    from leadwise.serving.scorer import Scorer

    record = simulate_record(FINDING, SEED)
    scorer = Scorer.load(workspaces / "ptbxl" / "package")
    row = {
        "signal": record.signal_mv.tolist(),
        "fs_hz": record.fs_hz,
        **{name: value for name, value in record.patient.items() if value is not None},
    }
    (answer,) = scorer.score([row])
    figure = draw_ecg(
        record,
        title="Simulated recording: anterior infarction",
        probabilities=answer["probabilities"],
        thresholds=answer["thresholds"],
    )
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = {"results": write_results, "picture": draw_picture}
    parser.add_argument("what", choices=sorted(actions))
    parser.add_argument("--workspaces", type=Path, default=Path("workspace"), help="folder of the workspaces")
    options = parser.parse_args(arguments)
    try:
        actions[options.what](options.workspaces)
    except LeadwiseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
