"""Images of jobs: the reference pictures as prints."""

import math
from typing import Final

from PIL import Image, ImageFilter, ImageOps

from kling_sandbox.rendering.pictures import Size, add_caption, cover, take_first_words
from kling_sandbox.rendering.scenes import draw_scene, make_random

_MAT: Final = "#f6f3ec"
_MARGIN: Final = 24


def draw_collage(references: list[Image.Image], prompt: str, size: Size) -> Image.Image:
    """Lay the references as framed prints over a soft copy of the first; without any, draw a scene."""
    if not references:
        return draw_scene(prompt, size, take_first_words(prompt))
    width, height = size
    ground = cover(references[0], size).filter(ImageFilter.GaussianBlur(min(size) / 22))
    picture = Image.blend(ground, Image.new("RGB", size, "#10131c"), 0.35)
    columns = min(math.ceil(math.sqrt(len(references) * width / height)), len(references))
    rows = math.ceil(len(references) / columns)
    cell = width * 0.9 / columns, height * 0.8 / rows
    for index, reference in enumerate(references):
        row, column = divmod(index, columns)
        in_row = min(columns, len(references) - row * columns)
        framed = _frame(reference, cell, max(4, min(size) // 64))
        x = width / 2 + (column - (in_row - 1) / 2) * cell[0] - framed.width / 2
        y = height * 0.46 + (row - (rows - 1) / 2) * cell[1] - framed.height / 2
        tilt = make_random(f"{prompt}{index}").uniform(-4, 4) if len(references) > 1 else 0.0
        _paste(picture, framed, (round(x), round(y)), tilt)
    return add_caption(picture, take_first_words(prompt), height=0.93)


def _frame(reference: Image.Image, cell: tuple[float, float], mat: int) -> Image.Image:
    scale = min(cell[0] * 0.86 / reference.width, cell[1] * 0.86 / reference.height)
    size = (max(1, round(reference.width * scale)), max(1, round(reference.height * scale)))
    return ImageOps.expand(reference.resize(size, Image.Resampling.LANCZOS), mat, _MAT)


def _paste(picture: Image.Image, framed: Image.Image, corner: tuple[int, int], tilt: float) -> None:
    # The transparent border smooths the rotated edges.
    mask = ImageOps.expand(Image.new("L", framed.size, 255), 2).rotate(
        tilt, Image.Resampling.BICUBIC, expand=True
    )
    rotated = ImageOps.expand(framed, 2, _MAT).rotate(
        tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=_MAT
    )
    shadow = (
        ImageOps.expand(mask, _MARGIN)
        .filter(ImageFilter.GaussianBlur(9))
        .point([value // 2 for value in range(256)])
    )
    picture.paste("#000000", (corner[0] - _MARGIN, corner[1] - _MARGIN + 8), shadow)
    picture.paste(rotated, corner, mask)
