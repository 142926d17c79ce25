"""The environment of a registered model: a few exact pins out of the lock file."""

from pathlib import Path

from leadwise.config import PROJECT_ROOT
from leadwise.contract import LeadwiseError

LOCK_FILE = PROJECT_ROOT / "requirements.lock"

SERVED_PACKAGES: tuple[str, ...] = (
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "onnxruntime",
    "orjson",
    # Without these two the scoring server answers an order of magnitude slower when it has several workers.
    "uvloop",
    "httptools",
    # What leadwise.serving.invocations and leadwise.serving.connections reach into.
    "starlette",
    "uvicorn",
)
"""What scoring imports, and what makes the scoring server fast; no TensorFlow."""


class RequirementsError(LeadwiseError):
    """The lock file does not pin a package that a served model needs."""


def served_requirements(lock: Path = LOCK_FILE) -> list[str]:
    """``name==version`` of ``SERVED_PACKAGES`` as the lock pins them for the running Python.

    Raises:
        RequirementsError: a package is not pinned there.
    """
    from packaging.requirements import Requirement

    pins = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                pins[requirement.name] = f"{requirement.name}{requirement.specifier}"
    if missing := [name for name in SERVED_PACKAGES if name not in pins]:
        raise RequirementsError(f"{lock}: no pin for {', '.join(missing)}")
    return [pins[name] for name in SERVED_PACKAGES]
