"""How well a registered model does on another hospital's recordings: scored as served, in one report."""

from leadwise.config import Parameters
from leadwise.stage import run_stage


def work(parameters: Parameters) -> None:
    """Score, measure and report; a registered version remembers it."""
    from leadwise.registry.external_validation import log_validation, remember, validate_model

    validated = validate_model(parameters.validation)
    log_validation(validated)
    remember(validated)
    print(validated.text())
    print(f"Report: {validated.report.resolve()}")


if __name__ == "__main__":
    run_stage("validate", work)
