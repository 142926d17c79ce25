"""What MLflow's application needs beside its routes: no address of its own making, no connection that hangs."""

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def application_being_made() -> "FastAPI | None":
    """The application that a calling function is about to give its routes; ``None`` where none does.

    MLflow makes it after the model is loaded, keeps it to itself until it is whole, and has no hook for it.
    """
    from fastapi import FastAPI

    frame = inspect.currentframe()
    try:
        while frame is not None:
            for value in frame.f_locals.values():
                if isinstance(value, FastAPI):
                    return value
            frame = frame.f_back
        return None
    finally:
        del frame


def complete(app: "FastAPI") -> None:
    """Let the application redirect nobody, and end what uvicorn cannot go on with."""
    # To an address that ends with a slash it would answer with a redirection to whatever host the client names.
    app.router.redirect_slashes = False
    app.add_middleware(EndUpgrades)


class EndUpgrades:
    """Close the connection after a request that asks for another protocol: uvicorn's parser reads nothing after it."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""

        async def send_and_close(message: "Message") -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        ends = scope["type"] == "http" and (
            scope["method"] == "CONNECT" or any(name == b"upgrade" for name, _ in scope["headers"])
        )
        await self._app(scope, receive, send_and_close if ends else send)
