"""Stores the files of kling-adapters where s3:, gs:, az: and memory: URLs say.

Nothing of a cloud is imported before such a URL is met.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from kling_adapters import StorageError
from kling_adapters.hookspecs import Storage, hookimpl

if TYPE_CHECKING:
    from obstore.store import MemoryStore

__all__ = ["ObjectStore"]

_URL = re.compile(r"//(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(?:/(?P<prefix>[^?#]*))?")
_FILE = re.compile(r"\.(mp4|webm|mov|png|jpe?g|webp|mp3|wav|bin)", re.IGNORECASE)


class ObjectStore:
    """The plugin. Every client has one of its own; make one and give it as `Kling(plugins=[...])` to `read` memory: URLs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory_store: MemoryStore | None = None

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        """Answer for s3://bucket/prefix/, gs://bucket/prefix/, az://container/prefix/ and memory:prefix/."""
        scheme, colon, rest = url.partition(":")
        scheme = scheme.lower()
        if not colon or scheme not in ("s3", "gs", "az", "memory"):
            return None
        from kling_objectstore.place import Place, cloud

        if scheme == "memory":
            return Place(self._memory(), scheme, "memory:", _prefix(rest))
        # What is refused is not repeated: it may hold a password or a signature.
        found = _URL.fullmatch(rest)
        if found is None:
            raise StorageError(
                f"this {scheme}: URL names no place to store in: write {scheme}://BUCKET/PREFIX/, as text, not as a "
                "Path, without user, password, port, query or fragment; credentials come from the environment"
            )
        bucket = found["bucket"]
        return Place(cloud(scheme, bucket), scheme, f"{scheme}://{bucket}/", _prefix(found["prefix"] or ""))

    def read(self, url: str) -> bytes:
        """Return a file that was stored in memory, by its memory: URL. Raises FileNotFoundError."""
        return bytes(self._memory().get(url.removeprefix("memory:")).bytes())

    def _memory(self) -> MemoryStore:
        from obstore.store import MemoryStore

        with self._lock:
            if self._memory_store is None:
                self._memory_store = MemoryStore()
            return self._memory_store


def _prefix(path: str) -> str:
    """Return the path of a URL as the beginning of object names: empty, or ending in a slash. Raises StorageError."""
    inner = path.strip("/")
    if not inner:
        return ""
    parts = inner.split("/")
    if {"", ".", ".."}.intersection(parts):
        raise StorageError("the path of a storage URL must not have '.', '..' or empty parts")
    if not path.endswith("/") and _FILE.search(parts[-1]):
        raise StorageError(
            f"{parts[-1]!r} looks like a file: give the prefix, ending in '/'; the object is named after its job"
        )
    return f"{inner}/"
