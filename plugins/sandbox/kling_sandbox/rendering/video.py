"""Videos from plans: an mp4 in which a window moves over a picture."""

import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final

import av
from PIL import Image

from kling_sandbox.rendering.pictures import Size, cover, take_first_words
from kling_sandbox.rendering.plan import Plan
from kling_sandbox.rendering.scenes import draw_scene, make_random

_RATE: Final = 24
_SAMPLE_RATE: Final = 48000
_SAMPLE_BYTES: Final = 2
_ROOTS: Final = (132, 148, 166, 176, 198)
_AREA: Final = 640 * 360
_PAN: Final = 0.14
_OVERSAMPLING: Final = 2
# Chroma has half the resolution, so a cropped picture moves in steps of two pixels. For smooth movement there are
# eight copies, each shifted by a quarter of a pixel.
_STEP: Final = 2
_PHASES: Final = 8

_Planes = list[tuple[bytes, int]]
"""The planes of a frame: their bytes, and the bytes of a line."""


def write_video(plan: Plan, aspect: tuple[int, int], pictures: list[Image.Image], path: Path) -> None:
    """Encode the video of a plan; `pictures` may contain its first frame."""
    across, down = aspect
    scale = 2 * round(math.sqrt(_AREA / (across * down)) / 2)
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
        chord = _make_chord(make_random(plan.prompt).choice(_ROOTS)) if audio else b""
        for index, frame in enumerate(_make_frames(plan, pictures, size, count)):
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            container.mux(video.encode(frame))
            if audio:
                container.mux(audio.encode(_slice_sound(chord, index)))
        container.mux(video.encode())
        if audio:
            container.mux(audio.encode())


def _make_frames(plan: Plan, pictures: list[Image.Image], size: Size, count: int) -> Iterator[av.VideoFrame]:
    """Move a window of `size` along the longer side of a larger picture, in `count` frames."""
    axis = 0 if size[0] >= size[1] else 1
    distance = _STEP * round(size[axis] * _PAN / _STEP)
    large = (size[0] + distance * (1 - axis), size[1] + distance * axis)
    phases = [_to_planes(picture) for picture in _shift(plan, pictures, large, axis)]
    is_backwards = make_random(plan.prompt).random() < 0.5
    for index in range(count):
        progress = (1 - math.cos(math.pi * index / max(1, count - 1))) / 2
        position = int((1 - progress if is_backwards else progress) * distance * _PHASES / _STEP)
        steps, phase = divmod(position, _PHASES)
        yield _crop(phases[phase], size, (steps * (1 - axis), steps * axis))


def _shift(plan: Plan, pictures: list[Image.Image], large: Size, axis: int) -> Iterator[Image.Image]:
    """Yield the picture at size `large` for each phase, shifted along the axis."""
    margin = (large[0] + _STEP * (1 - axis), large[1] + _STEP * axis)
    size = (margin[0] * _OVERSAMPLING, margin[1] * _OVERSAMPLING)
    picture = (
        cover(pictures[0], size) if pictures else draw_scene(plan.prompt, size, take_first_words(plan.prompt))
    )
    for phase in range(_PHASES):
        shift = _OVERSAMPLING * _STEP * phase / _PHASES
        x, y = shift * (1 - axis), shift * axis
        box = (x, y, x + large[0] * _OVERSAMPLING, y + large[1] * _OVERSAMPLING)
        yield picture.resize(large, Image.Resampling.BILINEAR, box=box)


def _to_planes(picture: Image.Image) -> _Planes:
    frame = av.VideoFrame.from_image(picture).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
    return [(bytes(plane), plane.line_size) for plane in frame.planes]


def _crop(planes: _Planes, size: Size, steps: tuple[int, int]) -> av.VideoFrame:
    """Return the frame at a position, in steps of the chroma planes."""
    frame = av.VideoFrame(size[0], size[1], "yuv420p")
    for plane, (data, line), pixels in zip(frame.planes, planes, (_STEP, 1, 1), strict=True):
        x, y = steps[0] * pixels, steps[1] * pixels
        padding = bytes(plane.line_size - plane.width)
        rows = (
            data[start + x : start + x + plane.width]
            for start in range(y * line, (y + plane.height) * line, line)
        )
        plane.update(b"".join(row + padding for row in rows))
    return frame


def _slice_sound(second: bytes, index: int) -> av.AudioFrame:
    """Return the sound of a video frame, which lasts a whole number of samples."""
    samples = _SAMPLE_RATE // _RATE
    frame = av.AudioFrame("s16", "mono", samples)
    frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, index * samples, Fraction(1, _SAMPLE_RATE)
    start = index % _RATE * samples * _SAMPLE_BYTES
    frame.planes[0].update(second[start : start + samples * _SAMPLE_BYTES])
    return frame


@lru_cache(maxsize=8)
def _make_chord(root: int) -> bytes:
    """Return a second of a chord on `root` Hz; it starts and ends silent, so that it repeats without a click."""
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
