"""Plans of outputs, from the schema and parameters of a job alone: no model is recognised by its name."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

VIDEO_SECOND_PRICE: Final = 0.1
IMAGE_PRICE: Final = 0.04
"""Fictional credits."""

_DEFAULT_SECONDS: Final = 5.0
_SOUND: Final = ("generate_audio", "keep_audio", "keep_original_sound")
_SIDES: Final = {"1K": 1024, "2K": 2048}
"""Pixels of the longer side of an image by its size class."""
_SUFFIXES: Final = {"jpg": ".jpg", "jpeg": ".jpg", "webp": ".webp"}
_END_WORDS: Final = frozenset({"end", "tail", "last", "final"})


@dataclass(frozen=True)
class Plan:
    """An output: its kind, shape and pictures."""

    returns: str
    prompt: str
    seconds: float
    aspect: tuple[int, int] | None
    """Width and height; None if the first picture decides."""
    audio: bool
    suffix: str
    side: int
    """Pixels of the longer side of an image."""
    pictures: tuple[str, ...]
    """URLs of the first frame of a video, or of the references of an image."""

    @property
    def price(self) -> float:
        """The price of the job, in fictional credits."""
        return IMAGE_PRICE if self.returns == "image" else round(self.seconds * VIDEO_SECOND_PRICE, 6)


def make_plan(schema: Mapping[str, Any], params: Mapping[str, Any]) -> Plan:
    """Return the plan for valid parameters that include the documented defaults."""
    returns = schema["x-kling"]["returns"]
    urls = [(name, url) for name, url, media in _iter_urls(schema, params) if media != "audio"]
    if returns == "video":
        # The first picture parameter is the first frame, unless its name means the last frame.
        urls = [
            (name, url) for name, url in urls if _END_WORDS.isdisjoint(re.split("[^a-z]+", name.lower()))
        ][:1]
    return Plan(
        returns=returns,
        prompt=str(params.get("prompt") or schema["title"]),
        seconds=_read_seconds(params.get("duration")),
        aspect=_read_aspect(params.get("aspect_ratio")),
        audio=_has_sound(schema, params),
        suffix=".mp4" if returns == "video" else _SUFFIXES.get(params.get("output_format", ""), ".png"),
        side=_SIDES.get(params.get("resolution", ""), _SIDES["1K"]),
        pictures=tuple(url for _, url in urls),
    )


def _has_sound(schema: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Return whether the video has sound: made for it, kept from a video, or that of an avatar."""
    speaks = any(media == "audio" for _, _, media in _iter_urls(schema, params))
    return speaks or any(params.get(name) is True for name in _SOUND)


def _iter_urls(schema: Mapping[str, Any], value: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the URLs in `value` with the names and the media of their parameters, in the order of the schema."""
    if value is None:
        return
    if schema.get("format") == "uri":
        yield name, value, schema.get("x-kling", {}).get("media", "image")
    for key, part in schema.get("properties", {}).items():
        yield from _iter_urls(part, value.get(key), key)
    if "items" in schema and isinstance(value, list):
        for item in value:
            yield from _iter_urls(schema["items"], item, name)


def _read_seconds(duration: Any) -> float:
    try:
        seconds = float(duration)
    except (TypeError, ValueError):
        return _DEFAULT_SECONDS
    return seconds if 0 < seconds <= 60 else _DEFAULT_SECONDS


def _read_aspect(text: Any) -> tuple[int, int] | None:
    match = re.fullmatch("([0-9]{1,3}):([0-9]{1,3})", text) if isinstance(text, str) else None
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not width or not height or not 1 / 4 <= width / height <= 4:
        return None
    divisor = math.gcd(width, height)
    return width // divisor, height // divisor
