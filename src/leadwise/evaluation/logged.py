"""Which metrics of an evaluation are worth a chart in the tracking UI: its files hold several times as many."""

import re
from collections.abc import Iterable

from leadwise.contract import SUPERCLASSES

_CLASS = "|".join(SUPERCLASSES)
_RATES = "sensitivity|specificity|ppv|npv"
_LEFT_OUT = tuple(
    re.compile(pattern)
    for pattern in (
        # Rates at 0.5, and shares of alarms: what is used are the chosen thresholds.
        rf"(val|test|test/labelled)/(macro_)?({_RATES}|alarms)(/.*)?",
        r"test/(labelled/)?chosen/(macro_)?alarms(/.*)?",
        rf"test/labelled/chosen/({_RATES})/.*",
        rf".*(binary_accuracy|raw/brier|raw/ece)/({_CLASS})",
        rf"(val|test/labelled)/(brier|ece)/({_CLASS})",
        # Every policy is in policies.json; charts get what the target costs, and one number for "uncertain".
        rf"test/decision/(?!target_sensitivity/({_RATES})/)(?!\w+/aurc/record).*",
        r"test/subgroup/.*/records",
        r"val/statements/.*",
        r"test/statements/(entering|auprc)/.*",
    )
)


def logged(names: Iterable[str]) -> list[str]:
    """Those of the names that go to the tracking UI."""
    return [name for name in names if not any(pattern.fullmatch(name) for pattern in _LEFT_OUT)]
