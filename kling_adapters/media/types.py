"""Media types: what the first bytes of a file show, and the extension that belongs to it. The one table of both."""

from __future__ import annotations

import re

HEAD_BYTES = 512

EXTENSIONS = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
}

_MAGIC = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("audio/flac", b"fLaC"),
    ("audio/ogg", b"OggS"),
    ("audio/mpeg", b"ID3"),
    ("audio/mpeg", b"\xff\xfb"),
    ("audio/mpeg", b"\xff\xfa"),
    ("audio/mpeg", b"\xff\xf3"),
    ("audio/mpeg", b"\xff\xf2"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# The major brand of an ISO base media file; a brand that is not listed is some kind of MP4.
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heif",
    b"mif2": "image/heif",
    b"msf1": "image/heif",
    b"miaf": "image/heif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
    b"crx ": "",  # a raw photograph of a camera
}
# QuickTime is older than the brand: such a file starts with one of its atoms.
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip")
# Containers that may hold sound or moving pictures whatever their type is called.
_MOVING_IMAGES = ("image/gif", "image/webp", "image/avif")


def sniff(head: bytes) -> str:
    """Return the content type that the first bytes of a file show, or "" if it is not a known type of media."""
    if head[4:8] == b"ftyp":
        return _read_brands(head)
    if head[4:8] in _QUICKTIME_ATOMS and not re.fullmatch(rb"[ -~]{4}", head[:4]):
        return "video/quicktime"
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "")
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/x-matroska" if b"matroska" in head[:64] else "video/webm"
    return next((content_type for content_type, magic in _MAGIC if head.startswith(magic)), "")


def _read_brands(head: bytes) -> str:
    major = head[8:12]
    if major.startswith((b"3gp", b"3g2")):
        return "video/3gpp2" if major.startswith(b"3g2") else "video/3gpp"
    content_type = _BRANDS.get(major, "video/mp4")
    if content_type != "image/heif":
        return content_type
    # The general brand of still images; a compatible brand says how they are coded.
    end = min(int.from_bytes(head[:4], "big"), len(head))
    compatible = [_BRANDS.get(head[start : start + 4], "") for start in range(16, end - 3, 4)]
    return next((name for name in compatible if name in ("image/avif", "image/heic")), content_type)


def fits_kind(content_type: str, kind: str) -> bool:
    """Return whether media of a known type can be an output of a kind: a video may be a container of sound or a GIF."""
    if kind in ("video", "audio"):
        return content_type.startswith(("video/", "audio/")) or content_type in _MOVING_IMAGES
    return kind != "image" or content_type.startswith("image/")


def is_error_page(head: bytes, announced: str) -> bool:
    """Return whether bytes that are not media are positively a page of text, such as HTML, XML or JSON.

    Args:
        head: The first bytes of the file.
        announced: The content type that the server announced, or "".

    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'<(!|\?xml|[a-zA-Z])|[\[{]\s*("|[\[{\]}]|$)', text):
        return True
    return announced.startswith("text/") and re.search(rb"[\0-\x08\x0e-\x1f]", head) is None
