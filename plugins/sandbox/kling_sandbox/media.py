"""Files from plans: an mp4 that moves over a picture, or an image made of pictures."""

import hashlib
import math
import os
import re
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import av
from PIL import Image, ImageOps

from kling_sandbox.pictures import Size, collage, cover, encode, random_from, scene, words
from kling_sandbox.plan import Plan

Fetch = Callable[[str], bytes | None]
"""Gives the file at a URL, or None if it cannot be had."""

CONTENT_TYPES: Final = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}

_RATE: Final = 24
_SAMPLE_RATE: Final = 48000
_SAMPLE_BYTES: Final = 2
_ROOTS: Final = (132, 148, 166, 176, 198)
_VIDEO_AREA: Final = 640 * 360
_IMAGE_SIDE: Final = 1024
_PAN: Final = 0.14
_OVERSAMPLING: Final = 2
# Chroma has half the resolution, so a sliced picture moves two pixels at a time; between them, eight
# copies shifted by a quarter of a pixel each make the movement smooth.
_STEP: Final = 2
_PHASES: Final = 8
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What pictures are decoded; some other formats start programs, or are nothing that a model takes."""
_MOST_PIXELS: Final = 40_000_000
"""More than an 8K frame has. A file of a few kilobytes can hold a hundred times as many."""
_MOST_PICTURES: Final = 16
_LONGEST_SIDE: Final = 2048
_CAPACITY: Final = 2 * 1024**3
"""Bytes of all rendered files together."""
_decoding = threading.Lock()
"""Held while a picture is decoded: one at a time is enough for the memory of this machine."""


class Renderer:
    """Renders plans into a folder; the same content is rendered once. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Files appear in `folder` under the digest of what they are made from.

        The files that were not asked for the longest are removed when all are too large together.
        """
        self._folder = folder
        self._locks = [threading.Lock() for _ in range(256)]
        self._removing = threading.Lock()

    def render(self, plan: Plan, fetch: Fetch) -> Path:
        """Return the finished file. Pictures that `fetch` gives are used, the others drawn."""
        sources: list[tuple[str, Image.Image | None]] = []
        digest = hashlib.sha256(repr(plan).encode("utf-8", "surrogatepass"))
        for url in plan.pictures[:_MOST_PICTURES]:
            body = fetch(url) or b""
            digest.update(hashlib.sha256(body).digest())
            sources.append((url, _decode(body) if body else None))
        path = self._folder / (digest.hexdigest() + plan.suffix)
        with self._locks[digest.digest()[0]]:
            if path.exists():
                # The time of the last change is part of the ETag.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            else:
                pictures = [picture or _stand_in(url, plan.aspect or (16, 9)) for url, picture in sources]
                part = path.with_name(f"part-{path.name}")
                (_video if plan.returns == "video" else _image)(plan, pictures, part)
                part.replace(path)
                self._remove_oldest(path)
        return path

    def _remove_oldest(self, newest: Path) -> None:
        """Remove the files that were not asked for the longest, until the rest is small enough."""
        with self._removing:
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
    """Return the picture in a file, made smaller if it is large; None if there is none, or one of too many pixels."""
    try:
        with _decoding:
            picture: Image.Image = Image.open(BytesIO(body), formats=_FORMATS)
            picture.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
            # The size is known before anything is decoded.
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            picture = ImageOps.exif_transpose(picture).convert("RGB")
            picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
            return picture
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _stand_in(url: str, aspect: tuple[int, int]) -> Image.Image:
    """Draw a picture of the given shape with the name of the file at that URL."""
    name = unquote(re.split("[?#]", url)[0].rpartition("/")[2])
    return scene(url, _size(aspect, _IMAGE_SIDE), words(name) or "picture")


def _size(aspect: tuple[int, int], long_side: int) -> Size:
    scale = long_side / max(aspect)
    return round(aspect[0] * scale), round(aspect[1] * scale)


def _aspect(plan: Plan, pictures: list[Image.Image]) -> tuple[int, int]:
    if plan.aspect:
        return plan.aspect
    if not pictures:
        return 16, 9
    shape = math.log(pictures[0].width / pictures[0].height)
    return min(((16, 9), (9, 16), (1, 1)), key=lambda aspect: abs(math.log(aspect[0] / aspect[1]) - shape))


def _image(plan: Plan, pictures: list[Image.Image], path: Path) -> None:
    picture = collage(pictures, plan.prompt, _size(_aspect(plan, pictures), _IMAGE_SIDE))
    path.write_bytes(encode(picture, plan.suffix))


def _video(plan: Plan, pictures: list[Image.Image], path: Path) -> None:
    across, down = _aspect(plan, pictures)
    scale = 2 * round(math.sqrt(_VIDEO_AREA / (across * down)) / 2)
    size = (across * scale, down * scale)
    count = round(plan.seconds * _RATE)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream(
            "libx264",
            rate=_RATE,
            options={"preset": "ultrafast", "tune": "animation", "crf": "21", "bf": "0"},
        )
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono") if plan.audio else None
        chord = _chord(random_from(plan.prompt).choice(_ROOTS)) if audio else b""
        for index, frame in enumerate(_frames(plan, pictures, size, count)):
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            container.mux(video.encode(frame))
            if audio:
                container.mux(audio.encode(_sound(chord, index)))
        container.mux(video.encode())
        if audio:
            container.mux(audio.encode())


def _frames(plan: Plan, pictures: list[Image.Image], size: Size, count: int) -> Iterator[av.VideoFrame]:
    """Move a window of `size` along the longer side of a somewhat larger picture, in `count` frames."""
    axis = 0 if size[0] >= size[1] else 1
    way = _STEP * round(size[axis] * _PAN / _STEP)
    large = (size[0] + way * (1 - axis), size[1] + way * axis)
    margin = (large[0] + _STEP * (1 - axis), large[1] + _STEP * axis)
    drawn = (margin[0] * _OVERSAMPLING, margin[1] * _OVERSAMPLING)
    picture = cover(pictures[0], drawn) if pictures else scene(plan.prompt, drawn, words(plan.prompt))
    phases: list[list[tuple[bytes, int]]] = []
    for phase in range(_PHASES):
        shift = _OVERSAMPLING * _STEP * phase / _PHASES
        left, top = shift * (1 - axis), shift * axis
        box = (left, top, left + large[0] * _OVERSAMPLING, top + large[1] * _OVERSAMPLING)
        shifted = picture.resize(large, Image.Resampling.BILINEAR, box=box)
        frame = av.VideoFrame.from_image(shifted).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
        phases.append([(bytes(plane), plane.line_size) for plane in frame.planes])
    backwards = random_from(plan.prompt).random() < 0.5
    for index in range(count):
        gone = (1 - math.cos(math.pi * index / max(1, count - 1))) / 2
        steps, phase = divmod(int((1 - gone if backwards else gone) * way * _PHASES / _STEP), _PHASES)
        frame = av.VideoFrame(size[0], size[1], "yuv420p")
        for plane, (data, line), pixels in zip(frame.planes, phases[phase], (_STEP, 1, 1), strict=True):
            x, y = steps * pixels * (1 - axis), steps * pixels * axis
            padding = bytes(plane.line_size - plane.width)
            rows = (
                data[start + x : start + x + plane.width]
                for start in range(y * line, (y + plane.height) * line, line)
            )
            plane.update(b"".join(row + padding for row in rows))
        yield frame


def _sound(second: bytes, index: int) -> av.AudioFrame:
    """Return the sound beside that frame; a frame lasts a whole number of samples."""
    samples = _SAMPLE_RATE // _RATE
    frame = av.AudioFrame("s16", "mono", samples)
    frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, index * samples, Fraction(1, _SAMPLE_RATE)
    start = index % _RATE * samples * _SAMPLE_BYTES
    frame.planes[0].update(second[start : start + samples * _SAMPLE_BYTES])
    return frame


@lru_cache(maxsize=8)
def _chord(root: int) -> bytes:
    """Return a second of a soft chord on `root` Hz; it swells and fades, so it repeats without a click."""
    parts = [
        (math.tau * root * ratio / _SAMPLE_RATE, level) for ratio, level in ((1, 1.0), (1.5, 0.6), (2, 0.35))
    ]
    swell = math.tau / _SAMPLE_RATE
    return array(
        "h",
        (
            round(1300 * (1 - math.cos(swell * i)) * sum(level * math.sin(step * i) for step, level in parts))
            for i in range(_SAMPLE_RATE)
        ),
    ).tobytes()
