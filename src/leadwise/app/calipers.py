"""Cursor read-out and calipers over the ECG of the page: Streamlit's own way to run a script, without a frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

_HTML = """
<div class="lw-tools"><button type="button" class="lw-toggle" aria-pressed="false">Calipers</button>
<span class="lw-told" role="status" aria-live="polite"></span><span class="lw-hint lw-faint"></span></div>
"""
_mount = st.components.v2.component(
    "leadwise_calipers",
    html=_HTML,
    js=Path(__file__).with_name("calipers.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def show_calipers(shown: str, picture: str, places: Mapping[str, Any]) -> None:
    """Draw their button and what they tell; nothing that is measured leaves the browser.

    Args:
        shown: which part of which recording is shown, and how; what was measured goes when it changes.
        picture: marks the figure that ``places`` are of: until it is there, nothing is told of another one.
        places: of the figure, as ``ecg_paper.Layout.from_upper_left`` has them.
    """
    _mount(key="calipers", data={"shown": shown, "picture": picture, **places})
