"""A parameter that is not allowed ends `mlflow run` at once, with its name in the message."""

from typing import TYPE_CHECKING

from mlflow import MlflowClient

if TYPE_CHECKING:
    from conftest import Checkout


def test_a_bad_parameter_is_named_before_anything_runs(checkout: "Checkout") -> None:
    name, value = "learnin-rate", "0.01"
    status, output = checkout.mlflow_run("main", **{name: value})
    assert status != 0
    message = output.splitlines()[-1]
    assert message.startswith(f"leadwise main: error: unrecognized arguments: --{name} {value}; allowed: ")
    assert "Traceback" not in output
    client = MlflowClient(checkout.tracking_uri)
    experiment = client.get_experiment_by_name("leadwise")
    assert experiment is not None
    (latest, *_) = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert latest.info.status == "FAILED"
    assert latest.data.tags["failure"] in message
    assert not (checkout.folder / "workspace").exists()
    assert not (checkout.folder / "data").exists()
