"""Uploaded media: kept in memory while there is room, and served under the address of the sandbox."""

import base64
import binascii
import re
from typing import Any, Final
from uuid import uuid4

from kling_sandbox.bounded import BoundedStore

LARGEST_BODY: Final = 140 * 1024**2
"""Bytes of the body of an upload: room for one file of the largest size in base64, or for several smaller ones."""

_LARGEST: Final = 100 * 1024**2
_CAPACITY: Final = 512 * 1024**2
_OVERHEAD: Final = 1024
_DATA_URL: Final = re.compile(r"data:([a-z0-9.+-]+/[a-z0-9.+-]+);base64,", re.ASCII)


class Uploads:
    """The files of one sandbox; the oldest are dropped when there is no room for new ones."""

    count: int
    """How many files were uploaded, the same one twice if it came twice."""

    def __init__(self) -> None:
        self.count = 0
        self._files = BoundedStore[str, tuple[str, bytes]](_CAPACITY)

    def take(self, data_urls: Any) -> list[str]:
        """Keep files and return their names. Raises ValueError, and keeps none, if one cannot be read."""
        if not isinstance(data_urls, list) or not data_urls:
            raise ValueError("data_urls must be a list of data: URLs")
        items: list[Any] = data_urls
        files = {uuid4().hex: _read(url) for url in items}
        for name, file in files.items():
            self._files.add(name, file, len(file[1]) + _OVERHEAD)
        self.count += len(files)
        return list(files)

    def get(self, name: str) -> tuple[str, bytes] | None:
        """Return the type and content of a file, or None if there is none of this name, or not any more."""
        return self._files.get(name)


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
