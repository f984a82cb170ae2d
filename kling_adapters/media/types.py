"""The table of media types, and the functions that read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kling_adapters.result import ArtifactKind

HEAD_BYTES = 512
"""Bytes of a file that are enough to recognize its type."""


class MediaType(NamedTuple):
    """A row of the table.

    Attributes:
        name: The content type.
        extensions: The extensions of file names; new files get the first one.
        kind: The kind of artifact.
        magic: Starts of such files.
        riff: Form types of RIFF files, at offset 8.
        brands: Major brands of ISO base media files, at offset 8.

    """

    name: str
    extensions: tuple[str, ...]
    kind: ArtifactKind
    magic: tuple[bytes, ...] = ()
    riff: tuple[bytes, ...] = ()
    brands: tuple[bytes, ...] = ()


# The first row of a kind has the extension of files whose type is unknown.
TYPES = (
    MediaType("video/mp4", ("mp4",), "video"),
    MediaType("video/webm", ("webm",), "video"),
    MediaType("video/quicktime", ("mov",), "video", brands=(b"qt  ",)),
    MediaType("video/x-matroska", ("mkv",), "video"),
    MediaType("video/x-msvideo", ("avi",), "video", riff=(b"AVI ",)),
    MediaType("video/3gpp", ("3gp",), "video"),
    MediaType("video/3gpp2", ("3g2",), "video"),
    MediaType("image/png", ("png",), "image", magic=(b"\x89PNG\r\n\x1a\n",)),
    MediaType("image/jpeg", ("jpg", "jpeg"), "image", magic=(b"\xff\xd8\xff",)),
    MediaType("image/webp", ("webp",), "image", riff=(b"WEBP",)),
    MediaType("image/gif", ("gif",), "image", magic=(b"GIF8",)),
    MediaType("image/avif", ("avif",), "image", brands=(b"avif", b"avis")),
    MediaType(
        "image/heic", ("heic",), "image", brands=(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
    ),
    MediaType("image/heif", ("heif",), "image", brands=(b"mif1", b"mif2", b"msf1", b"miaf")),
    MediaType(
        "audio/mpeg",
        ("mp3",),
        "audio",
        magic=(b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"),
    ),
    MediaType("audio/wav", ("wav",), "audio", riff=(b"WAVE",)),
    MediaType("audio/mp4", ("m4a",), "audio", brands=(b"M4A ", b"M4B ", b"M4P ", b"F4A ")),
    MediaType("audio/flac", ("flac",), "audio", magic=(b"fLaC",)),
    MediaType("audio/ogg", ("ogg",), "audio", magic=(b"OggS",)),
    MediaType("text/plain", ("txt",), "text"),
    MediaType("application/json", ("json",), "text"),
)

_EXTENSIONS = {row.name: row.extensions[0] for row in TYPES}
_KINDS: dict[str, ArtifactKind] = {extension: row.kind for row in TYPES for extension in row.extensions}
_KIND_EXTENSIONS = {row.kind: row.extensions[0] for row in reversed(TYPES)}
_MAGIC = {start: row.name for row in TYPES for start in row.magic}
_RIFF = {form: row.name for row in TYPES for form in row.riff}
# A raw photo of a camera; any other unlisted brand is a kind of MP4.
_BRANDS = {b"crx ": ""} | {brand: row.name for row in TYPES for brand in row.brands}
# QuickTime is older than brands: such a file starts with one of these atoms.
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip")
# Image types of which files may be animated.
_MOVING_IMAGES = ("image/gif", "image/webp", "image/avif")


def sniff(head: bytes) -> str:
    """Return the content type that the first bytes of a file show, or "" for an unknown type."""
    if head[4:8] == b"ftyp":
        return _read_brands(head)
    if head[4:8] in _QUICKTIME_ATOMS and not re.fullmatch(rb"[ -~]{4}", head[:4]):
        return "video/quicktime"
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "")
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/x-matroska" if b"matroska" in head[:64] else "video/webm"
    return next((content_type for start, content_type in _MAGIC.items() if head.startswith(start)), "")


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
    """Return whether a content type fits a kind: a video may be a GIF, or in a container of sound."""
    if kind in ("video", "audio"):
        return content_type.startswith(("video/", "audio/")) or content_type in _MOVING_IMAGES
    return kind != "image" or content_type.startswith("image/")


def fits_parameter(content_type: str, kind: ArtifactKind) -> bool:
    """Return whether a file can be the media of a parameter: sound may be in a container of videos, not the reverse."""
    is_sound = kind == "video" and content_type.startswith("audio/")
    return fits_kind(content_type, kind) and not is_sound


def is_error_page(head: bytes, announced: str) -> bool:
    """Return whether bytes that are not media are certainly a page of text, such as HTML, XML or JSON.

    Args:
        head: The first bytes of the file.
        announced: The content type that the server announced, or "".

    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'<(!|\?xml|[a-zA-Z])|[\[{]\s*("|[\[{\]}]|$)', text):
        return True
    return announced.startswith("text/") and re.search(rb"[\0-\x08\x0e-\x1f]", head) is None


def find_extension(content_type: str, kind: ArtifactKind) -> str:
    """Return the extension of a new file: by its content type, else by its kind, else "bin"."""
    return _EXTENSIONS.get(content_type) or _KIND_EXTENSIONS.get(kind, "bin")


def guess_kind(url: str) -> ArtifactKind:
    """Return the kind of artifact that the extension in a URL stands for, or "file"."""
    path = re.split("[?#]", url)[0]
    return _KINDS.get(path.rpartition(".")[2].lower(), "file")


def is_file_name(name: str) -> bool:
    """Return whether a name ends in the extension of an output file, such as `film.mp4`.

    Storages use it to distinguish the name of a file from that of a folder.

    Args:
        name: The last part of a path or URL, without a query.

    Returns:
        Whether the extension is that of a known media type, or "bin".

    """
    _, dot, extension = name.rpartition(".")
    return bool(dot) and extension.lower() in (*_KINDS, "bin")
