"""The same answer without the page: its JSON, the request, and the command that sends it."""

import json
from collections.abc import Mapping
from typing import Any

REQUEST_FILE = "leadwise-request.json"


def request_body(row: Mapping[str, Any], policy: str | None, explain: list[str]) -> dict[str, Any]:
    """A request for the REST server that gets the page's answer."""
    params: dict[str, Any] = {"policy": policy} if policy else {}
    if explain:
        params["explain"] = explain
    return {"inputs": [dict(row)]} | ({"params": params} if params else {})


def curl_command(body: Mapping[str, Any], url: str) -> str:
    """What sends it: all of it where there is no recording, else with the file that the page hands out beside."""
    send = f"curl -s {url}/invocations -H 'Content-Type: application/json' -d "
    if "signal" in body["inputs"][0]:
        return f"{send}@{REQUEST_FILE}"
    return f"{send}'{json.dumps(body)}'"


def as_json(content: Mapping[str, Any]) -> str:
    """Text for a download."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
