"""Names of the official client for other products of Segmind. A call says what to use instead, and sends nothing."""

from __future__ import annotations

from typing import Final, NoReturn

_OFFICIAL = "use the official package `segmind`, which can be installed beside this one"
_ADVICE: Final = {
    "accounts": "use `client.kling.credits()` for the balance, and the official package `segmind` for the rest",
    "chat": _OFFICIAL,
    "finetune": _OFFICIAL,
    "generations": "use `generations.history()`, which has the same requests with their costs",
    "models": "use `client.kling.catalog`, or `kling models` in a shell",
    "pixelflows": _OFFICIAL,
    "webhooks": "use the plugin kling-webhook for the ends of jobs, and the official package `segmind` for PixelFlows",
}


class OtherProduct:
    """A part of the official client that is not here.

    Args:
        name: Its name in the official client.
        topic: The key of its advice; by default the name.

    """

    def __init__(self, name: str, topic: str | None = None) -> None:
        self._name = name
        self._topic = topic or name

    def __repr__(self) -> str:
        return f"<{self._name} of the official client, which is not here>"

    def __getattr__(self, name: str) -> OtherProduct:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        return OtherProduct(f"{self._name}.{name}", self._topic)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Raise NotImplementedError, which is not a SegmindError, so that nothing catches it by accident."""
        raise NotImplementedError(
            f"{self._name} of the official client is not in kling_adapters.compat.segmind, which is for Kling "
            f"models: {_ADVICE[self._topic]}. Nothing was sent"
        )
