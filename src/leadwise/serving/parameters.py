"""The ``params`` of a request: which threshold policy, whether to explain, how many findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadwise.contract import SUPERCLASSES
from leadwise.serving.errors import RequestError
from leadwise.serving.values import described

PARAMETERS: tuple[str, ...] = ("policy", "explain", "all_findings")


@dataclass(frozen=True)
class Asked:
    """What a request asks beside its rows.

    Attributes:
        policy: one of the package's threshold policies; ``None``: the one that it prefers.
        explain: the superclasses whose probability is to be explained.
        all_findings: list every trusted statement, those below their threshold as well.
    """

    policy: str | None = None
    explain: tuple[str, ...] = ()
    all_findings: bool = False


def read_parameters(content: Any, policies: Sequence[str]) -> Asked:
    """Check ``params``; ``None`` means not given.

    Args:
        content: an object with any of ``PARAMETERS``, or ``None``.
        policies: the names that ``policy`` may have.

    Raises:
        RequestError: it is no object, or a parameter is unknown or not allowed.
    """
    if content is None:
        return Asked()
    allowed = f"allowed: {', '.join(PARAMETERS)}"
    if not isinstance(content, Mapping):
        raise RequestError(
            "unknown_parameter", "params", f"received {described(content)}; an object is needed; {allowed}"
        )
    if unknown := [name for name in content if name not in PARAMETERS]:
        raise RequestError("unknown_parameter", "params", f"received {described(unknown[0])}; {allowed}")
    return Asked(
        _policy(content.get("policy"), policies),
        _explain(content.get("explain")),
        _all_findings(content.get("all_findings")),
    )


def _policy(value: Any, policies: Sequence[str]) -> str | None:
    if value is None or (isinstance(value, str) and value in policies):
        return value
    raise RequestError("not_allowed", "params.policy", f"received {described(value)}; allowed: {', '.join(policies)}")


def _explain(value: Any) -> tuple[str, ...]:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if names is None or names is False:
        return ()
    if names is True:
        return SUPERCLASSES
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise RequestError(
            "wrong_type", "params.explain", f"received {described(value)}; true, false, a class or a list of classes"
        )
    if unknown := [name for name in listed if name not in SUPERCLASSES]:
        raise RequestError(
            "not_allowed", "params.explain", f"received {described(unknown[0])}; allowed: {', '.join(SUPERCLASSES)}"
        )
    return tuple(name for name in SUPERCLASSES if name in listed)


def _all_findings(value: Any) -> bool:
    if value is None or isinstance(value, bool | np.bool_):
        return bool(value)
    raise RequestError("wrong_type", "params.all_findings", f"received {described(value)}; true or false is needed")
