"""Landscapes drawn from a text: the same text gives the same picture."""

import math
import random
from functools import lru_cache
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageOps

from kling_sandbox.rendering.pictures import Size, add_caption, encode_picture

_Colour = tuple[int, int, int]

# Top of the sky, horizon, sun, nearest hill.
_PALETTES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("#1b2a4e", "#f4a259", "#ffe8b6", "#1d1e33"),
    ("#2d3a6b", "#e8a0a8", "#fff1e0", "#2a1f3d"),
    ("#4a90b8", "#f7e1b5", "#fffbe8", "#1f4740"),
    ("#0f1c3f", "#5b7db1", "#f0f4ff", "#0a1022"),
    ("#7d3c6e", "#ffb385", "#fff3c9", "#2b1433"),
    ("#3b7a78", "#f2d398", "#fff6d8", "#12322f"),
)
SAMPLE_SIZE: Final = "^{0}x{0}$".format("(1[6-9]|[2-9][0-9]|[1-9][0-9]{2}|1[0-9]{3}|20[0-3][0-9]|204[0-8])")
"""Sizes of a sample as a regular expression: width and height, each from 16 to 2048."""

_OVERSAMPLING: Final = 2
_STARS: Final = 70
_HILLS: Final = 5
_SKY_STEEPNESS: Final = 1.75


def make_random(text: str) -> random.Random:
    """Return a random generator with the text as its seed."""
    return random.Random(text)  # noqa: S311  not a secret


def draw_scene(text: str, size: Size, caption: str = "") -> Image.Image:
    """Draw hills under a low sun, with colours and shapes from `text`, and a caption.

    Pictures stay the same only as long as the random values are drawn in the same order.
    """
    chance = make_random(text)
    top, horizon, light, near = (_parse_colour(colour) for colour in chance.choice(_PALETTES))
    picture = _draw_sky((size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), top, horizon)
    _draw_stars(picture, chance, top, light)
    _draw_sun(picture, chance, light)
    _draw_hills(picture, chance, horizon, near)
    return add_caption(picture.resize(size, Image.Resampling.BOX), caption)


@lru_cache(maxsize=64)
def draw_sample(name: str, size: Size) -> bytes:
    """Return the sample picture of a name, as PNG."""
    return encode_picture(draw_scene(name, size), ".png")


def _draw_sky(size: Size, top: _Colour, horizon: _Colour) -> Image.Image:
    ramp = (
        Image.linear_gradient("L")
        .resize(size)
        .point([min(255, round(value * _SKY_STEEPNESS)) for value in range(256)])
    )
    return ImageOps.colorize(ramp, black=top, white=horizon, mid=_mix(top, horizon, 0.45), midpoint=110)


def _draw_stars(picture: Image.Image, chance: random.Random, sky: _Colour, light: _Colour) -> None:
    draw = ImageDraw.Draw(picture)
    for _ in range(_STARS):
        x, y = chance.uniform(0, picture.width), chance.betavariate(1, 3) * picture.height * 0.35
        glow, radius = chance.uniform(0.3, 0.8), min(picture.size) * chance.uniform(0.0008, 0.0022)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_mix(sky, light, glow))


def _draw_sun(picture: Image.Image, chance: random.Random, light: _Colour) -> None:
    x, y = chance.uniform(0.28, 0.72) * picture.width, chance.uniform(0.3, 0.48) * picture.height
    radius = min(picture.size) * chance.uniform(0.07, 0.12)
    _draw_glow(picture, (x, y), radius * 5, light)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)


def _draw_hills(picture: Image.Image, chance: random.Random, horizon: _Colour, near: _Colour) -> None:
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    for layer in range(_HILLS):
        depth = layer / (_HILLS - 1)
        base, swing = height * (0.56 + 0.36 * depth), height * (0.07 + 0.03 * depth)
        waves = [(chance.uniform(0.6, 1.6) * 2**octave, chance.uniform(0, math.tau)) for octave in range(4)]
        ridge = [(x, base - swing * _sum_waves(waves, x, min(picture.size))) for x in range(0, width + 8, 8)]
        colour = _mix(_mix(horizon, near, 0.25), near, depth**0.8)
        draw.polygon([(0, height), *ridge, (width, height)], fill=colour)


def _sum_waves(waves: list[tuple[float, float]], x: int, unit: int) -> float:
    """Return the height of a ridge at `x`. Each wave is a frequency and a phase, and lower than the one before."""
    return sum(
        math.sin(math.tau * frequency * x / unit / 2 + phase) / 1.9**octave
        for octave, (frequency, phase) in enumerate(waves)
    )


def _draw_glow(picture: Image.Image, centre: tuple[float, float], radius: float, colour: _Colour) -> None:
    side = round(radius * 2)
    halo = ImageChops.invert(Image.radial_gradient("L")).resize((side, side))
    halo = halo.point([round(max(0, value - 74) ** 2 / 181**2 * 170) for value in range(256)])
    picture.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), halo)


def _parse_colour(text: str) -> _Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _mix(first: _Colour, second: _Colour, share: float) -> _Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
