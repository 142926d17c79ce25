"""Text of somebody else's in Streamlit's labels, which are Markdown."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+.!|$~:-])")


def plain(text: str) -> str:
    """Text that Markdown shows as it is: a file's name may hold a link, or a picture to be fetched."""
    return _SPECIAL.sub(r"\\\1", text)
