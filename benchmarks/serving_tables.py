"""What benchmarks/serving.py has measured, compared and as tables in Markdown."""

from collections.abc import Mapping
from typing import Any


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of docs/serving.md."""
    ours, stock = result["leadwise"], result["stock"]
    names = ("server", "p50 ms", "p95 ms", "p99 ms", "four clients, records/s", "ready s", "memory MiB")
    lines = [f"| {' | '.join((*names, 'of it `mlflow models serve`'))} |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    servers = {f"Leadwise, {name}": found for name, found in ours.items() if "one record" in found}
    for name, found in (servers | {"MLflow's Keras flavour": stock}).items():
        one = found["one record"]
        cells = [one["p50_ms"], one["p95_ms"], one["p99_ms"], found["four clients, records/s"]]
        cells += [found["ready_s"], found["memory_mib"], found["command_mib"]]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    lines += ["", "| | ratio or difference |", "|---|--:|"]
    lines += [f"| {name} | {value} |" for name, value in result["compared"].items()]
    lines += ["", "| payload, one record | bytes | p50 ms | p99 ms |", "|---|--:|--:|--:|"]
    for name, found in ours["payloads"].items():
        lines.append(f"| {name} | {found['bytes']:,} | {found['p50_ms']} | {found['p99_ms']} |")
    lines += ["", "| records in a request | ms | records/s |", "|--:|--:|--:|"]
    lines += [f"| {size} | {found['p50_ms']} | {found['records/s']} |" for size, found in ours["batches"].items()]
    return "\n".join(lines)


def compared(ours: Mapping[str, Any], stock: Mapping[str, Any]) -> dict[str, float]:
    """Ratios to the Keras flavour, and milliseconds over the bare session."""
    one = ours["workers 1"]
    return {
        "ms of the bare session on the same windows, p50": ours["bare session"]["p50_ms"],
        "p50 of one record, Keras flavour / Leadwise": round(
            stock["one record"]["p50_ms"] / one["one record"]["p50_ms"], 2
        ),
        "throughput of four clients, Leadwise / Keras flavour": round(
            one["four clients, records/s"] / stock["four clients, records/s"], 2
        ),
        "ms over the bare session, p50, base64": round(one["one record"]["p50_ms"] - ours["bare session"]["p50_ms"], 3),
    }
