"""Uploaded files, in memory."""

import base64
import binascii
import re
from typing import Any, Final
from uuid import uuid4

from kling_sandbox.bounded import BoundedStore

MAX_BODY: Final = 140 * 1024**2
"""Bytes of the body of an upload, enough for one file of the largest size in base64."""

_MAX_FILE: Final = 100 * 1024**2
_CAPACITY: Final = 512 * 1024**2
_OVERHEAD: Final = 1024
_DATA_URL: Final = re.compile(r"data:([a-z0-9.+-]+/[a-z0-9.+-]+);base64,", re.ASCII)


class Uploads:
    """The uploaded files of a sandbox; the oldest are dropped to make room."""

    count: int
    """The number of uploads; the same file twice counts twice."""

    def __init__(self) -> None:
        self.count = 0
        self._files = BoundedStore[str, tuple[str, bytes]](_CAPACITY)

    def add(self, data_urls: Any) -> list[str]:
        """Store files and return their names. Raises ValueError, and stores none, if one is invalid."""
        if not isinstance(data_urls, list) or not data_urls:
            raise ValueError("data_urls must be a list of data: URLs")
        items: list[Any] = data_urls
        files = {uuid4().hex: _decode(url) for url in items}
        for name, file in files.items():
            self._files.add(name, file, len(file[1]) + _OVERHEAD)
        self.count += len(files)
        return list(files)

    def get(self, name: str) -> tuple[str, bytes] | None:
        """Return the type and content of a file; None if it does not exist or was dropped."""
        return self._files.get(name)


def _decode(url: Any) -> tuple[str, bytes]:
    head = _DATA_URL.match(url) if isinstance(url, str) else None
    if head is None:
        raise ValueError("Invalid data: URL: expected a type and base64")
    try:
        content = base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"Invalid base64 in a data: URL: {error}") from None
    if not 0 < len(content) <= _MAX_FILE:
        raise ValueError(f"A file of {len(content)} bytes is not accepted: expected 1 to {_MAX_FILE} bytes")
    return head[1], content
