"""Score a folder or table of recordings to a Parquet table of answers; goes on where it was interrupted."""

import mlflow

from leadwise.config import Parameters
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Fetch the networks, score what is not scored yet, and say where the answers are."""
    from leadwise.registry.load import package_folder
    from leadwise.serving.batch import score_batch

    section = parameters.score
    hints = {
        "fs_hz": section.fs_hz or None,
        "units": None if section.units == "stated" else section.units,
        "leads": section.leads or None,
    }
    with package_folder(section.model) as package:
        done = score_batch(
            section.input,
            section.output,
            package,
            policy=section.policy or None,
            workers=section.workers,
            hints={name: value for name, value in hints.items() if value is not None},
        )
    mlflow.log_metrics({"score/records": done.records, "score/errors": done.errors, "score/scored_now": done.scored})
    print(f"{done.file.resolve()}: {done.records:,} records, {done.errors:,} of them with an error")
    print(f"scored now: {done.scored:,}; the others were whole from before")


if __name__ == "__main__":
    run_stage("score", work)
