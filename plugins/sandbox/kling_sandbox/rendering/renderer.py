"""Files from plans, and the folder that keeps them."""

import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from PIL import Image, ImageOps

from kling_sandbox.rendering.collage import draw_collage
from kling_sandbox.rendering.pictures import Size, encode_picture, take_first_words
from kling_sandbox.rendering.plan import Plan
from kling_sandbox.rendering.scenes import draw_scene
from kling_sandbox.rendering.video import write_video

Fetch = Callable[[str], bytes | None]
"""Returns the file at a URL, or None if it is not available."""

CONTENT_TYPES: Final = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}

_IMAGE_SIDE: Final = 1024
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats that are decoded. Decoders of some others start programs."""
_MAX_PIXELS: Final = 40_000_000
"""More than an 8K frame has. A file of a few kilobytes can contain a hundred times as many."""
_MAX_PICTURES: Final = 16
_MAX_SIDE: Final = 2048
_CAPACITY: Final = 2 * 1024**3
"""Bytes of all rendered files together."""
_decoder_lock = threading.Lock()
"""One picture is decoded at a time, to limit memory."""


class Renderer:
    """Renders plans into a folder, and the same content only once. Thread-safe.

    The name of a file is the digest of its content's sources. The least recently used files are removed when the
    folder exceeds its capacity.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = [threading.Lock() for _ in range(256)]
        self._removal_lock = threading.Lock()

    def render(self, plan: Plan, fetch: Fetch) -> Path:
        """Return the finished file. A picture that `fetch` does not return is drawn."""
        sources: list[tuple[str, Image.Image | None]] = []
        digest = hashlib.sha256(repr(plan).encode("utf-8", "surrogatepass"))
        for url in plan.pictures[:_MAX_PICTURES]:
            body = fetch(url) or b""
            digest.update(hashlib.sha256(body).digest())
            sources.append((url, _decode(body) if body else None))
        path = self._folder / (digest.hexdigest() + plan.suffix)
        with self._locks[digest.digest()[0]]:
            if path.exists():
                # The modification time is part of the ETag.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            else:
                pictures = [
                    picture or _draw_substitute(url, plan.aspect or (16, 9)) for url, picture in sources
                ]
                part = path.with_name(f"part-{path.name}")
                _write(plan, pictures, part)
                part.replace(path)
                self._remove_oldest(path)
        return path

    def _remove_oldest(self, newest: Path) -> None:
        with self._removal_lock:
            # A part belongs to another thread, which may rename it at any moment.
            files = [
                (path, path.stat())
                for path in self._folder.iterdir()
                if path.suffix in CONTENT_TYPES and not path.name.startswith("part-")
            ]
            size = sum(status.st_size for _, status in files)
            for path, status in sorted(files, key=lambda file: file[1].st_atime_ns):
                if size <= _CAPACITY:
                    break
                if path != newest:
                    path.unlink(missing_ok=True)
                    size -= status.st_size


def _decode(body: bytes) -> Image.Image | None:
    """Return the picture in a file, at most 2048 pixels wide and high; None for other content or too many pixels."""
    try:
        with _decoder_lock:
            picture: Image.Image = Image.open(BytesIO(body), formats=_FORMATS)
            picture.draft("RGB", (_MAX_SIDE, _MAX_SIDE))
            # The size is available before anything is decoded.
            if picture.width * picture.height > _MAX_PIXELS:
                return None
            picture = ImageOps.exif_transpose(picture).convert("RGB")
            picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
            return picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _draw_substitute(url: str, aspect: tuple[int, int]) -> Image.Image:
    """Draw a picture for a URL, with the name of its file as caption."""
    name = unquote(re.split("[?#]", url)[0].rpartition("/")[2])
    return draw_scene(url, _image_size(aspect), take_first_words(name) or "picture")


def _write(plan: Plan, pictures: list[Image.Image], path: Path) -> None:
    aspect = _choose_aspect(plan, pictures)
    if plan.returns == "video":
        write_video(plan, aspect, pictures[:1], path)
    else:
        picture = draw_collage(pictures, plan.prompt, _image_size(aspect, plan.side))
        path.write_bytes(encode_picture(picture, plan.suffix))


def _choose_aspect(plan: Plan, pictures: list[Image.Image]) -> tuple[int, int]:
    """Return the aspect ratio of the plan, otherwise the documented one closest to the first picture."""
    if plan.aspect:
        return plan.aspect
    if not pictures:
        return 16, 9
    shape = math.log(pictures[0].width / pictures[0].height)
    return min(((16, 9), (9, 16), (1, 1)), key=lambda aspect: abs(math.log(aspect[0] / aspect[1]) - shape))


def _image_size(aspect: tuple[int, int], side: int = _IMAGE_SIDE) -> Size:
    scale = side / max(aspect)
    return round(aspect[0] * scale), round(aspect[1] * scale)
