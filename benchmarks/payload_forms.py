"""One simulated record in every form in which a scoring server takes it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from leadwise.datasets.synthetic import simulate_record
from leadwise.serving.client import request_row

JSON = "application/json"

Body = tuple[bytes, str]
"""What is sent, and its content type."""


def payloads() -> Mapping[str, dict[str, Any]]:
    """Form -> one record of 10 s at 100 Hz."""
    signal_mv = np.round(simulate_record("MI", 2).signal_mv.astype(float), 3)
    row = {"id": "a", "fs_hz": 100, "age": 63, "sex": "female", "height_cm": 170, "weight_kg": 70}
    counts = np.round(signal_mv * 1000).astype(np.int16)
    return {
        "nested lists": row | {"signal": signal_mv.tolist()},
        "base64 float32": request_row(row | {"signal": signal_mv}),
        "base64 int16": request_row(row | {"signal": counts, "units": "uV"}),
    }


def as_json(rows: list[dict[str, Any]]) -> Body:
    """A request with these records."""
    return json.dumps({"inputs": rows}).encode(), JSON


def one_record() -> Body:
    """The smallest form of one record."""
    return as_json([payloads()["base64 int16"]])


def mixed() -> list[Body]:
    """What a server is sent in the course of a day: small and large, every form, and what it refuses."""
    forms = payloads()
    small, lists = forms["base64 int16"], forms["nested lists"]
    counts = np.tile(np.round(np.asarray(lists["signal"]) * 1000).astype(np.int16), (60, 1))
    ten_minutes = request_row(lists | {"signal": counts, "units": "uV"})
    explained = json.dumps({"inputs": [small], "params": {"explain": ["MI"]}}).encode(), JSON
    return [
        *(as_json([row]) for row in forms.values()),
        *(as_json([small]) for _ in range(4)),
        as_json([small] * 16),
        as_json([small] * 64),
        as_json([lists] * 32),
        as_json([ten_minutes]),
        as_json([{"age": 50}] * 200),
        explained,
        as_json([small | {"age": 300}]),
        (json.dumps({"inputs": [lists] * 8}).encode()[:-9], JSON),
    ]
