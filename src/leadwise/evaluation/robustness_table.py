"""Robustness of one or more models as a Markdown table."""

from collections.abc import Mapping

from leadwise.evaluation.metrics import Estimate
from leadwise.evaluation.robustness import MACRO, Robustness, check_same_trials


def robustness_table(models: Mapping[str, Robustness]) -> str:
    """Macro AUROC at every level, what was lost of the undisturbed one, and how far the models are apart, as Markdown.

    The last column is the second model minus the first, with the 95 % interval of the paired bootstrap; it is there
    if there are two models.

    Args:
        models: name -> what was measured, on the same records with the same seed.

    Raises:
        RobustnessError: there is no model, or they were not tried with the same disturbances of the same records.
    """
    check_same_trials(models)
    first = next(iter(models.values()))
    names = list(models)
    heads = ["disturbance", "strength", *(f"{name}: macro AUROC (lost)" for name in names)]
    if len(models) == 2:
        heads.append(f"{names[1]} - {names[0]}")
    estimates = [one.undisturbed[MACRO] for one in models.values()]
    rows = [["none", "", *(f"{one.value:.3f}" for one in estimates), *_difference(estimates)]]
    for curve in first.curves:
        for place, level in enumerate(curve.labels):
            title = f"{curve.title} ({curve.unit})" if place == 0 else ""
            points = [one.points[curve.name].get(level) for one in models.values()]
            cells = [
                _cell(one, curve.name, level) if point else "refused"
                for one, point in zip(models.values(), points, strict=True)
            ]
            rows.append([title, level, *cells, *_difference([point[MACRO] for point in points if point], len(models))])
    means = [one.mean() for one in models.values()]
    lost = [one.undisturbed[MACRO] - mean for one, mean in zip(models.values(), means, strict=True)]
    cells = [f"**{mean.value:.3f}** ({_lost(drop)})" for mean, drop in zip(means, lost, strict=True)]
    # Means over different levels cannot be compared.
    alike = all(one.refused == first.refused for one in models.values())
    rows.append(["**mean over disturbances**", "", *cells, *_difference(means if alike else [], len(models))])
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(one: Robustness, curve: str, level: str) -> str:
    return f"{one.points[curve][level][MACRO].value:.3f} ({_lost(one.drop(curve, level))})"


def _lost(drop: Estimate) -> str:
    return _signed(-drop.value)


def _difference(estimates: list[Estimate], models: int | None = None) -> list[str]:
    """One cell if there are two models, else none."""
    if (models or len(estimates)) != 2:
        return []
    if len(estimates) != 2:
        return [""]
    difference = estimates[1] - estimates[0]
    bounds = difference.interval
    if not bounds.replicates:
        return [_signed(difference.value)]
    return [f"{_signed(difference.value)} [{_signed(bounds.low)}, {_signed(bounds.high)}]"]


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text
