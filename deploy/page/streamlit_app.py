"""What a host of Streamlit pages runs: this file, with the packages of ``requirements.txt`` and the settings beside it.

The secret or variable ``LEADWISE_APP_EMBED_FROM`` names the site that may show the page in a frame.
"""

import sys
from pathlib import Path

from streamlit.starlette import App

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from leadwise.app.entrance import PAGE, doors

# Streamlit looks for these very words in the file, before it runs it.
app = App(PAGE, middleware=doors())
