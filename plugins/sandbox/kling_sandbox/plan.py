"""What to render for a job, told from its schema and parameters alone: no model is known by name."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kling_sandbox.accounts import IMAGE_PRICE, VIDEO_SECOND_PRICE

_DEFAULT_SECONDS: Final = 5.0
_END_WORDS: Final = frozenset({"end", "tail", "last", "final"})


@dataclass(frozen=True)
class Plan:
    """One output: what kind, of which shape, from which pictures."""

    returns: str
    prompt: str
    seconds: float
    aspect: tuple[int, int] | None
    """Width and height as asked for; None when the first picture decides."""
    audio: bool
    suffix: str
    pictures: tuple[str, ...]
    """URLs: the first frame of a video, or the references of an image."""

    @property
    def price(self) -> float:
        """The cost of the job, in made-up credits."""
        return IMAGE_PRICE if self.returns == "image" else round(self.seconds * VIDEO_SECOND_PRICE, 6)


def plan(schema: Mapping[str, Any], params: Mapping[str, Any]) -> Plan:
    """Return the plan for valid `params` in which the documented defaults are filled in."""
    returns = schema["x-kling"]["returns"]
    urls = list(_urls(schema, params))
    if returns == "video":
        # The first picture parameter is the first frame, unless its name says that it comes last.
        urls = [
            (name, url) for name, url in urls if _END_WORDS.isdisjoint(re.split("[^a-z]+", name.lower()))
        ][:1]
    return Plan(
        returns=returns,
        prompt=str(params.get("prompt") or schema["title"]),
        seconds=_seconds(params.get("duration")),
        aspect=_aspect(params.get("aspect_ratio")),
        audio=params.get("generate_audio") is True,
        suffix=".mp4" if returns == "video" else _image_suffix(params.get("output_format")),
        pictures=tuple(url for _, url in urls),
    )


def _urls(schema: Mapping[str, Any], value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every URL in `value` with the name of its parameter, in the order of the schema."""
    if value is None:
        return
    if schema.get("format") == "uri":
        yield name, value
    for key, part in schema.get("properties", {}).items():
        yield from _urls(part, value.get(key), key)
    if "items" in schema:
        for item in value:
            yield from _urls(schema["items"], item, name)


def _seconds(duration: Any) -> float:
    try:
        seconds = float(duration)
    except (TypeError, ValueError):
        return _DEFAULT_SECONDS
    return seconds if 0 < seconds <= 60 else _DEFAULT_SECONDS


def _aspect(text: Any) -> tuple[int, int] | None:
    match = re.fullmatch("([0-9]{1,3}):([0-9]{1,3})", text) if isinstance(text, str) else None
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not width or not height or not 1 / 4 <= width / height <= 4:
        return None
    divisor = math.gcd(width, height)
    return width // divisor, height // divisor


def _image_suffix(output_format: Any) -> str:
    return ".jpg" if output_format in ("jpg", "jpeg") else ".png"
