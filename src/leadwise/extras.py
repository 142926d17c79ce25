"""Which extra of Leadwise brings a package that is not installed: ``pip install leadwise`` has what scoring needs."""

import re
from importlib.metadata import PackageNotFoundError, requires

DISTRIBUTIONS = {"pil": "pillow", "sklearn": "scikit-learn", "alembic": "mlflow", "flask": "mlflow"}
"""Where a module has another name than what installs it."""


def missing_extra(error: ImportError) -> str:
    """``needs leadwise[app]: pip install 'leadwise[app]'``; empty where no extra brings what was not found."""
    module = (error.name or "").partition(".")[0].lower()
    name = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    try:
        asked = requires("leadwise") or []
    except PackageNotFoundError:
        return ""
    for requirement in asked:
        if re.match(rf"{re.escape(name)}\b(?!-)", requirement, re.IGNORECASE) and (
            extra := re.search(r"""extra == ['"]([a-z]+)""", requirement)
        ):
            return f"needs leadwise[{extra[1]}]: pip install 'leadwise[{extra[1]}]'"
    return ""
