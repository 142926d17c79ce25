"""Make again what the README shows: the results table and the picture.

python scripts/readme.py results --workspace workspace/ptbxl     writes the table between the README's marks
python scripts/readme.py picture --workspace workspace/ptbxl     writes docs/ecg.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from leadwise.config import PROJECT_ROOT
from leadwise.contract import FeatureSet, LeadwiseError

README = PROJECT_ROOT / "README.md"
PICTURE = PROJECT_ROOT / "docs" / "ecg.png"
BEGIN, END = "<!-- results: written by scripts/readme.py -->", "<!-- end of results -->"
FINDING, SEED = "AMI", 4
"""What the picture's simulated patient has: an anterior infarction."""


def write_results(workspace: Path) -> None:
    """Put the evaluation's table of both feature sets between the marks of the README."""
    from leadwise.atomic import write_atomically
    from leadwise.evaluation.results_table import results_markdown

    table = results_markdown({name: workspace / "evaluation" / name / "summary.json" for name in get_args(FeatureSet)})
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise LeadwiseError(f"{README}: the marks {BEGIN!r} and {END!r} are needed")
    write_atomically(README, f"{before}{BEGIN}\n\n{table}\n{END}{after}")


def draw_picture(workspace: Path) -> None:
    """Draw a simulated recording with what the packaged champion says of it."""
    from leadwise.data.simulator import simulate_record
    from leadwise.evaluation.ecg_figure import draw_ecg
    from leadwise.serving.scorer import Scorer

    record = simulate_record(FINDING, SEED)
    scorer = Scorer.load(workspace / "package")
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
    parser.add_argument("--workspace", type=Path, default=Path("workspace/ptbxl"), help="folder of the stages' output")
    options = parser.parse_args(arguments)
    try:
        actions[options.what](options.workspace)
    except LeadwiseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
