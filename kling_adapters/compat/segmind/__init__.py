"""The names of the official client `segmind` 1.3, with the promises of this one.

Change the import, and the calls stay as they are:

    from kling_adapters.compat import segmind

    result = segmind.run("kling-2", prompt="a lighthouse in a storm")

docs/segmind.md lists every name and every difference. The package `segmind` is not needed. Its classes are not those
here, so that a program must import errors and client from the same place.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx

from kling_adapters._version import __version__ as __version__
from kling_adapters.compat.segmind.client import SegmindClient
from kling_adapters.compat.segmind.exceptions import (
    ConnectionFailed,
    InferenceFailed,
    InferenceTimeout,
    SegmindError,
    SubmitUncertain,
)
from kling_adapters.compat.segmind.other_products import OtherProduct
from kling_adapters.compat.segmind.v2 import DEFAULT_POLL_INTERVAL_S, DEFAULT_POLL_TIMEOUT_S, AsyncJob

__all__ = [
    "DEFAULT_POLL_INTERVAL_S",
    "DEFAULT_POLL_TIMEOUT_S",
    "AsyncChatJob",
    "AsyncJob",
    "ChatResponse",
    "ConnectionFailed",
    "InferenceFailed",
    "InferenceTimeout",
    "SegmindClient",
    "SegmindError",
    "SubmitUncertain",
    "chat",
    "chat_sync",
    "files",
    "generations",
    "image_url",
    "models",
    "pixelflows",
    "run",
    "run_sync",
    "submit_async",
    "submit_chat",
    "webhooks",
]


@cache
def _get_client() -> SegmindClient:
    """Return the client of the functions of this module."""
    return SegmindClient()


class _Part:
    """A part of the default client, which is made when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_get_client(), self._name), name)


files = _Part("files")
generations = _Part("generations")

AsyncChatJob = OtherProduct("AsyncChatJob", "chat")
ChatResponse = OtherProduct("ChatResponse", "chat")
chat = OtherProduct("chat")
chat_sync = OtherProduct("chat_sync", "chat")
image_url = OtherProduct("image_url", "chat")
models = OtherProduct("models")
pixelflows = OtherProduct("pixelflows")
submit_chat = OtherProduct("submit_chat", "chat")
webhooks = OtherProduct("webhooks")


def run(slug: str, **params: Any) -> dict[str, Any]:
    """Submit a job and wait for its end. See `SegmindClient.run`."""
    return _get_client().run(slug, **params)


def run_sync(slug: str, **params: Any) -> httpx.Response:
    """Run a job and return its file. See `SegmindClient.run_sync`."""
    return _get_client().run_sync(slug, **params)


def submit_async(slug: str, **params: Any) -> AsyncJob:
    """Submit a job and return it. See `SegmindClient.submit_async`."""
    return _get_client().submit_async(slug, **params)
