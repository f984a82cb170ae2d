"""Uploaded media: kept in memory for as long as the sandbox runs, and served under its own address."""

import base64
import binascii
import re
from typing import Any, Final
from uuid import uuid4

from starlette.responses import Response

_LARGEST: Final = 100 * 1024**2
_DATA_URL: Final = re.compile(r"data:([a-z0-9.+-]+/[a-z0-9.+-]+);base64,", re.ASCII)


class Uploads:
    """The files of one sandbox; `count` tells how many there are."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}

    @property
    def count(self) -> int:
        """How many files were uploaded, the same one twice if it came twice."""
        return len(self._files)

    def take(self, data_urls: Any) -> list[str]:
        """Keep files and return their names. Raises ValueError, and keeps none, if one cannot be read."""
        if not isinstance(data_urls, list) or not data_urls:
            raise ValueError("data_urls must be a list of data: URLs")
        items: list[Any] = data_urls
        files = {uuid4().hex: _read(url) for url in items}
        self._files |= files
        return list(files)

    def serve(self, name: str) -> Response | None:
        """Return a file, or None if there is none of this name."""
        content_type, content = self._files.get(name, ("", None))
        return None if content is None else Response(content, media_type=content_type)


def _read(url: Any) -> tuple[str, bytes]:
    head = _DATA_URL.match(url) if isinstance(url, str) else None
    if head is None:
        raise ValueError("a data: URL must name its type and be base64")
    try:
        content = base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"the base64 of a data: URL is damaged: {error}") from None
    if not 0 < len(content) <= _LARGEST:
        raise ValueError(f"a file of {len(content)} bytes is not taken")
    return head[1], content
