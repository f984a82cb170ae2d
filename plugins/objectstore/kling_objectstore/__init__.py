"""Object storage for the files of kling-adapters: s3:, gs:, az: and memory: URLs.

The cloud libraries are imported when such a URL is first used.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from kling_adapters import StorageError, is_file_name
from kling_adapters.hookspecs import Storage, hookimpl

if TYPE_CHECKING:
    from obstore.store import MemoryStore

__all__ = ["ObjectStore"]

_URL = re.compile(r"//(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(?:/(?P<prefix>[^?#]*))?")


class ObjectStore:
    """Storage plugin. Every client creates its own instance.

    To `read` memory: URLs, create an instance and pass it as `Kling(plugins=[...])`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory_store: MemoryStore | None = None

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        """Provide storage for s3://bucket/prefix/, gs://…, az://container/prefix/ and memory:prefix/.

        Args:
            url: The URL or path to save to.

        Returns:
            The storage, or None for other URLs.

        Raises:
            StorageError: The URL has one of these schemes and is invalid.

        """
        scheme, colon, path = url.partition(":")
        scheme = scheme.lower()
        if not colon or scheme not in ("s3", "gs", "az", "memory"):
            return None
        from kling_objectstore.bucket import BucketStorage, make_store

        if scheme == "memory":
            return BucketStorage(self._memory(), "memory:", _parse_prefix(path))
        # The error does not repeat the URL: it may contain a password or a signature.
        match = _URL.fullmatch(path)
        if match is None:
            raise StorageError(
                f"invalid {scheme}: URL: expected {scheme}://BUCKET/PREFIX/ as a str (not a Path), without "
                "user, password, port, query or fragment. Set credentials in the environment"
            )
        bucket = match["bucket"]
        prefix = _parse_prefix(match["prefix"] or "")
        return BucketStorage(make_store(scheme, bucket), f"{scheme}://{bucket}/", prefix)

    def read(self, url: str) -> bytes:
        """Read a file from the memory of this instance.

        Args:
            url: The memory: URL of the file.

        Returns:
            The content.

        Raises:
            FileNotFoundError: There is no such file.

        """
        return bytes(self._memory().get(url.removeprefix("memory:")).bytes())

    def _memory(self) -> MemoryStore:
        from obstore.store import MemoryStore

        with self._lock:
            if self._memory_store is None:
                self._memory_store = MemoryStore()
            return self._memory_store


def _parse_prefix(path: str) -> str:
    """Return the path of a URL as a key prefix: empty, or with a slash at its end. Raises StorageError."""
    inner = path.strip("/")
    if not inner:
        return ""
    parts = inner.split("/")
    if {"", ".", ".."}.intersection(parts):
        raise StorageError("the path of a storage URL must not have '.', '..' or empty parts")
    if not path.endswith("/") and is_file_name(parts[-1]):
        raise StorageError(
            f"{parts[-1]!r} looks like a file; expected a prefix that ends in '/'. The object is named after "
            "its job"
        )
    return f"{inner}/"
