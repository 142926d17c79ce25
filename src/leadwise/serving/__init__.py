"""The scorer that answers REST requests, the checks of what it is sent, a client of it, and scoring in batches."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leadwise.serving.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    # The scorer lives in this package too, and needs no HTTP client.
    if name == "Client":
        from leadwise.serving.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
