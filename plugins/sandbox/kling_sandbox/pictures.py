"""Pictures drawn from a word: the same word gives the same picture."""

import math
import random
import unicodedata
from functools import lru_cache
from io import BytesIO
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

Size = tuple[int, int]
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
"""The sizes of a sample: two sides, each from 16 to 2048, as a regular expression."""

_OVERSAMPLING: Final = 2
_MAT: Final = "#f6f3ec"
_HILLS: Final = 5
_SKY_STEEPNESS: Final = 1.75


def scene(word: str, size: Size, caption: str = "") -> Image.Image:
    """Draw hills under a low sun, in colours and shapes that follow from `word`, with a line of text."""
    chance = random_from(word)
    top, horizon, light, near = (_rgb(colour) for colour in chance.choice(_PALETTES))
    width, height = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
    unit = min(width, height)

    ramp = (
        Image.linear_gradient("L")
        .resize((width, height))
        .point([min(255, round(value * _SKY_STEEPNESS)) for value in range(256)])
    )
    picture = ImageOps.colorize(ramp, black=top, white=horizon, mid=_mix(top, horizon, 0.45), midpoint=110)
    draw = ImageDraw.Draw(picture)
    for _ in range(70):
        x, y = chance.uniform(0, width), chance.betavariate(1, 3) * height * 0.35
        glow, radius = chance.uniform(0.3, 0.8), unit * chance.uniform(0.0008, 0.0022)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_mix(top, light, glow))

    sun_x, sun_y = chance.uniform(0.28, 0.72) * width, chance.uniform(0.3, 0.48) * height
    radius = unit * chance.uniform(0.07, 0.12)
    _glow(picture, (sun_x, sun_y), radius * 5, light)
    draw.ellipse((sun_x - radius, sun_y - radius, sun_x + radius, sun_y + radius), fill=light)

    for layer in range(_HILLS):
        depth = layer / (_HILLS - 1)
        base = height * (0.56 + 0.36 * depth)
        swing = height * (0.07 + 0.03 * depth)
        waves = [(chance.uniform(0.6, 1.6) * 2**octave, chance.uniform(0, math.tau)) for octave in range(4)]
        ridge = [
            (
                x,
                base
                - swing
                * sum(math.sin(math.tau * f * x / unit / 2 + p) / 1.9**i for i, (f, p) in enumerate(waves)),
            )
            for x in range(0, width + 8, 8)
        ]
        draw.polygon(
            [(0, height), *ridge, (width, height)], fill=_mix(_mix(horizon, near, 0.25), near, depth**0.8)
        )

    picture = picture.resize(size, Image.Resampling.BOX)
    return _captioned(picture, caption)


@lru_cache(maxsize=64)
def sample(name: str, size: Size) -> bytes:
    """Return the sandbox's own sample picture of that name, as PNG."""
    return encode(scene(name, size), ".png")


def encode(picture: Image.Image, suffix: str) -> bytes:
    """Return the picture as a png or jpg file."""
    buffer = BytesIO()
    if suffix == ".jpg":
        picture.save(buffer, "JPEG", quality=90)
    else:
        picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def random_from(word: str) -> random.Random:
    """Return choices that look random and follow from `word`."""
    return random.Random(word)  # noqa: S311  nothing secret


def cover(picture: Image.Image, size: Size) -> Image.Image:
    """Return the largest middle part of the picture of the shape of `size`, at that size."""
    return ImageOps.fit(picture, size, Image.Resampling.BICUBIC)


def collage(references: list[Image.Image], word: str, size: Size) -> Image.Image:
    """Lay the references as framed prints over a soft copy of the first; draw a scene if there is none."""
    if not references:
        return scene(word, size, words(word))
    width, height = size
    unit = min(size)
    ground = cover(references[0], size).filter(ImageFilter.GaussianBlur(unit / 22))
    picture = Image.blend(ground, Image.new("RGB", size, "#10131c"), 0.35)
    columns = math.ceil(math.sqrt(len(references) * width / height))
    columns = min(columns, len(references))
    rows = math.ceil(len(references) / columns)
    cell_width, cell_height = width * 0.9 / columns, height * 0.8 / rows
    for index, reference in enumerate(references):
        row, column = divmod(index, columns)
        in_row = min(columns, len(references) - row * columns)
        scale = min(cell_width * 0.86 / reference.width, cell_height * 0.86 / reference.height)
        size_inside = (max(1, round(reference.width * scale)), max(1, round(reference.height * scale)))
        mat = max(4, unit // 64)
        print_ = ImageOps.expand(reference.resize(size_inside, Image.Resampling.LANCZOS), mat, _MAT)
        x = width / 2 + (column - (in_row - 1) / 2) * cell_width - print_.width / 2
        y = height * 0.46 + (row - (rows - 1) / 2) * cell_height - print_.height / 2
        tilt = random_from(f"{word}{index}").uniform(-4, 4) if len(references) > 1 else 0.0
        _paste_print(picture, print_, (round(x), round(y)), tilt)
    return _captioned(picture, words(word), place=0.93)


def words(text: str, longest: int = 44) -> str:
    """Return the first few words of a text in letters that the built-in font has: those of ASCII."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    kept = ""
    for word in "".join(char if " " <= char <= "~" else " " for char in plain).split():
        if len(kept) + len(word) >= longest:
            return f"{kept or word[:longest]} ..."
        kept = f"{kept} {word}".strip()
    return kept


def _captioned(picture: Image.Image, caption: str, place: float = 0.8) -> Image.Image:
    """Return the picture with a line of text, if there is any, at that share of its height."""
    if not caption:
        return picture
    unit = sum(picture.size) / 48
    font = ImageFont.load_default(unit)
    fitting = picture.width * 0.66 / font.getlength(caption)
    if fitting < 1:
        font = ImageFont.load_default(unit * fitting)
    centre = (picture.width / 2, picture.height * place)
    shadow = Image.new("L", picture.size)
    ImageDraw.Draw(shadow).text(centre, caption, fill=255, font=font, anchor="mm")
    soft = shadow.filter(ImageFilter.GaussianBlur(unit / 3)).point(
        [min(255, value * 3) for value in range(256)]
    )
    picture = Image.composite(Image.blend(picture, Image.new("RGB", picture.size), 0.55), picture, soft)
    ImageDraw.Draw(picture).text(centre, caption, fill="#fffaf0", font=font, anchor="mm")
    return picture


def _paste_print(picture: Image.Image, print_: Image.Image, place: tuple[int, int], tilt: float) -> None:
    # The clear border is what makes the turned edges smooth.
    mask = ImageOps.expand(Image.new("L", print_.size, 255), 2).rotate(
        tilt, Image.Resampling.BICUBIC, expand=True
    )
    turned = ImageOps.expand(print_, 2, _MAT).rotate(
        tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=_MAT
    )
    margin = 24
    shadow = (
        ImageOps.expand(mask, margin)
        .filter(ImageFilter.GaussianBlur(9))
        .point([value // 2 for value in range(256)])
    )
    picture.paste("#000000", (place[0] - margin, place[1] - margin + 8), shadow)
    picture.paste(turned, place, mask)


def _glow(picture: Image.Image, centre: tuple[float, float], radius: float, colour: _Colour) -> None:
    side = round(radius * 2)
    halo = ImageChops.invert(Image.radial_gradient("L")).resize((side, side))
    halo = halo.point([round(max(0, value - 74) ** 2 / 181**2 * 170) for value in range(256)])
    picture.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), halo)


def _rgb(text: str) -> _Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _mix(first: _Colour, second: _Colour, share: float) -> _Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
