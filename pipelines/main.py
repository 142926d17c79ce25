"""The whole pipeline: ingest, tune (if asked for), train, evaluate and register, as nested project runs."""

from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.pipeline import closing_report, closing_summary, gate_failed, run_pipeline
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Run the stages and say what came out; a version that did not pass the gate is an error at the very end."""
    seconds = run_pipeline(parameters)
    closing_summary(parameters, seconds).log()
    print(closing_report(parameters, seconds), flush=True)
    if "register" in seconds and gate_failed(parameters.shared.workspace):
        raise LeadwiseError("the registered version did not pass the promotion gate; the verdict stands above")


if __name__ == "__main__":
    run_stage("main", work)
