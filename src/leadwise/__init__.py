"""Leadwise: calibrated probabilities of five diagnostic superclasses from a 12-lead ECG.

Nothing leaves the machine: what keeps the libraries in use from calling home is set before any of them is imported.
Whatever was set by hand stays. The file imports nothing of ours: ``leadwise_mlflow`` runs it on its own.
"""

import os

__version__ = "0.1.0"

SETTINGS = {
    # Privacy.md of ONNX Runtime: only this, and only before its import; disable_telemetry_events() comes too late.
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "DVC_NO_ANALYTICS": "true",
    # Asked by MLflow and others.
    "DO_NOT_TRACK": "true",
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
