"""Keras as Leadwise uses it: what a user's ``keras.json`` says makes no other network.

Whatever builds, loads, trains or exports a network takes ``keras`` from here. The environment variable KERAS_BACKEND
chooses the backend; a program that imported Keras before has chosen it, too.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

from leadwise.contract import LeadwiseError
from leadwise.models.spec import keras_backend

SETTINGS: dict[str, Any] = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
"""Keras' own defaults, which the recipes and the exported networks rely on."""


class KerasSettingsError(LeadwiseError):
    """Keras refuses what its file of settings says."""


def _told(file: Path) -> dict[str, Any]:
    """What a file of settings says; empty where Keras would not read it either."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


_FILE = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
_OWN = SETTINGS if os.environ.get("KERAS_BACKEND") else SETTINGS | {"backend": keras_backend()}
_OTHERS = {name: value for name, value in _told(_FILE).items() if name in _OWN and value != _OWN[name]}
os.environ["KERAS_BACKEND"] = keras_backend()

try:
    import keras
except ValueError as error:
    raise KerasSettingsError(f"{_FILE}: {error}") from error

keras.config.set_floatx(SETTINGS["floatx"])
keras.config.set_image_data_format(SETTINGS["image_data_format"])
keras.config.set_epsilon(SETTINGS["epsilon"])
keras.config.set_dtype_policy("float32")
# Of the environment, for debugging: a training cut short would be taken for a whole one later.
keras.config.set_max_epochs(None)
keras.config.set_max_steps_per_epoch(None)

if _OTHERS:
    said = ", ".join(f"{name} {value}" for name, value in _OTHERS.items())
    taken = ", ".join(f"{name} {_OWN[name]}" for name in _OTHERS)
    logging.getLogger(__name__).warning(
        "%s: %s: not taken, but %s; KERAS_BACKEND chooses a backend", _FILE, said, taken
    )

__all__ = ["SETTINGS", "KerasSettingsError", "keras"]
