"""URLs of media: http and https URLs, and data: URLs, in which local media is uploaded."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kling_adapters.media.inputs import read_content_type
from kling_adapters.media.reader import CHUNK_BYTES, LocalMedia, MediaError, open_media
from kling_adapters.media.types import HEAD_BYTES

# The pattern of the packaged schemas, without lone surrogates, which UTF-8 cannot encode.
HTTP_URL = r"https?://[^\s\x00-\x1f\x85\ufeff\ud800-\udfff/?#][^\s\x00-\x1f\x85\ufeff\ud800-\udfff]*"


def is_http_url(value: object) -> bool:
    """Return whether a value is a complete http or https URL, without spaces and control characters."""
    return isinstance(value, str) and compile_http_url().fullmatch(value) is not None


@functools.cache
def compile_http_url() -> re.Pattern[str]:
    """Return the pattern of an http or https URL; compiling it takes longer than most programs need."""
    return re.compile(HTTP_URL)


def decode_data_url(url: str) -> bytes:
    """Return the content of a data: URL. Raises MediaError if it is not base64."""
    head, comma, text = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise MediaError("not a complete data: URL: expected data:TYPE;base64,CONTENT")
    try:
        return base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("a data: URL whose base64 is damaged") from None


@dataclass(frozen=True)
class DataUrl:
    """A data: URL of local media, encoded while it is sent, so that it is never in memory as a whole.

    Attributes:
        media: The local media.
        sha256: The hex digest of the checked bytes.
        prefix: The text before the base64.
        size: The length of the URL in bytes.

    """

    media: LocalMedia
    sha256: str
    prefix: bytes
    size: int

    def __iter__(self) -> Iterator[bytes]:
        """Yield the URL in chunks. Raises MediaError, before the last one, unless the bytes have the digest.

        The digest is also compared before the first chunk, on the same open file: a file that has replaced
        the checked one is not sent at all.
        """
        with open_media(self.media) as file:
            if file.digest() != self.sha256:
                raise MediaError("being changed")
            yield self.prefix
            file.rewind()
            sent = hashlib.sha256()
            while chunk := file.read(CHUNK_BYTES):
                sent.update(chunk)
                yield base64.b64encode(chunk)
            if sent.hexdigest() != self.sha256:
                raise MediaError("being changed")


def make_data_url(media: LocalMedia, sha256: str) -> DataUrl:
    """Return local media with this digest as a data: URL. Raises MediaError if its bytes have another one."""
    with open_media(media) as file:
        if file.digest() != sha256:
            raise MediaError("being changed")
        file.rewind()
        prefix = f"data:{read_content_type(file.read(HEAD_BYTES))};base64,".encode()
        return DataUrl(media, sha256, prefix, len(prefix) + (file.size + 2) // 3 * 4)
