"""Small media beside `MP4` and `PNG` of `kling_adapters.testing`; nothing decodes them."""

from __future__ import annotations

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))


def make_png(content: bytes = b"") -> bytes:
    """Return a file that starts like a PNG, with its own content."""
    return b"\x89PNG\r\n\x1a\n" + content
