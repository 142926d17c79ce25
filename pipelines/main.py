"""The whole pipeline: ingest, tune (if asked for), train, evaluate and register, as nested project runs."""

from leadwise.config import Parameters
from leadwise.pipeline import closing_report, run_pipeline
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Run the stages and say what came out."""
    seconds = run_pipeline(parameters)
    print(closing_report(parameters, seconds), flush=True)


if __name__ == "__main__":
    run_stage("main", work)
