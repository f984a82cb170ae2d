"""Operations on pictures: encoding, cropping, captions."""

import unicodedata
from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

Size = tuple[int, int]
"""Width and height in pixels."""


def encode_picture(picture: Image.Image, suffix: str) -> bytes:
    """Return the picture as a JPEG file for `.jpg`, as WebP for `.webp`, otherwise as PNG."""
    buffer = BytesIO()
    if suffix == ".jpg":
        picture.save(buffer, "JPEG", quality=90)
    elif suffix == ".webp":
        picture.save(buffer, "WEBP", quality=90)
    else:
        picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def cover(picture: Image.Image, size: Size) -> Image.Image:
    """Scale and crop the picture to a size, around its centre."""
    return ImageOps.fit(picture, size, Image.Resampling.BICUBIC)


def take_first_words(text: str, longest: int = 44) -> str:
    """Return the first words of a text in ASCII, because the built-in font has no other characters."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    line = ""
    for word in "".join(char if " " <= char <= "~" else " " for char in plain).split():
        if len(line) + len(word) >= longest:
            return f"{line or word[:longest]} ..."
        line = f"{line} {word}".strip()
    return line


def add_caption(picture: Image.Image, caption: str, height: float = 0.8) -> Image.Image:
    """Return the picture with a caption at a share of its height; an empty caption changes nothing."""
    if not caption:
        return picture
    unit = sum(picture.size) / 48
    font = ImageFont.load_default(unit)
    scale = picture.width * 0.66 / font.getlength(caption)
    if scale < 1:
        font = ImageFont.load_default(unit * scale)
    centre = (picture.width / 2, picture.height * height)
    shadow = Image.new("L", picture.size)
    ImageDraw.Draw(shadow).text(centre, caption, fill=255, font=font, anchor="mm")
    soft = shadow.filter(ImageFilter.GaussianBlur(unit / 3)).point(
        [min(255, value * 3) for value in range(256)]
    )
    picture = Image.composite(Image.blend(picture, Image.new("RGB", picture.size), 0.55), picture, soft)
    ImageDraw.Draw(picture).text(centre, caption, fill="#fffaf0", font=font, anchor="mm")
    return picture
