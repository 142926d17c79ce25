"""What Streamlit runs: the page, and before it a door that is shut to other people's pages."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from urllib.parse import urlsplit

import streamlit as st
from PIL import Image
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from streamlit.starlette import App

from leadwise.app.settings import check, from_environment
from leadwise.app.validation import DATASET
from leadwise.datasets.base import cohort_named

HERE = frozenset({"localhost", "127.0.0.1", "0.0.0.0"})
NEEDED = (
    "defusedxml.ElementTree",
    "h5py",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "multiprocessing.synchronize",
    "onnxruntime",
    "pandas",
    "pandas.core.arrays.arrow.extension_types",
    "pandas.core.methods.to_dict",
    "pandas.io.formats.csvs",
    "pyarrow.parquet",
    "pydicom.filereader",
    "wfdb",
    "leadwise.datasets.synthetic",
    "leadwise.datasets.releases",
    "leadwise.reports.cohort_page",
    "leadwise.serving.client",
)
"""Imported where they are used, as not every command needs them."""


class OwnPageOnly:
    """Refuses a WebSocket that a page of another origin opens.

    Streamlit would refuse it too, but first ask a public service what the address of this machine is, to compare.
    Allowed is what Streamlit allows: the origin that was asked, this machine, and ``browser.serverAddress``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _is_foreign(Headers(scope=scope)):
            await WebSocketClose()(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        told = urlsplit(origin)
        return told.netloc != headers.get("host") and told.hostname not in HERE | {
            st.get_option("browser.serverAddress")
        }
    except ValueError:
        return True


class FramedByNamedOnly:
    """Tells browsers whose pages may show this one in a frame: its own, and those of the origins that were named."""

    def __init__(self, app: ASGIApp, origins: str = "") -> None:
        self.app = app
        self.policy = " ".join(["frame-ancestors 'self'", *origins.split()]).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", self.policy)]
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)


def import_what_visitors_need() -> None:
    """Before the first one comes: each has a thread, and two that import for the first time at once may break."""
    folder = Path(__file__).parent
    names = {module.name for module in iter_modules([str(folder)])} - {"page", "entrance"}
    for name in (*(f"leadwise.app.{name}" for name in sorted(names)), *NEEDED):
        import_module(name)
    # Imports every dataset, to know their names.
    cohort_named(DATASET)
    Image.preinit()


def doors() -> list[Middleware]:
    """What stands before the page.

    Raises:
        LeadwiseError: the environment names an origin that is none.
    """
    settings = from_environment()
    check(settings)
    return [Middleware(OwnPageOnly), Middleware(FramedByNamedOnly, settings.embed_from)]


PAGE = Path(__file__).with_name("page.py")
import_what_visitors_need()
app = App(PAGE, middleware=doors())
