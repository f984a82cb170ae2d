"""Prefix of a bucket as a storage."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from kling_adapters.hookspecs import Location, Writer
from kling_objectstore.store_errors import translate_errors
from kling_objectstore.upload import PART_BYTES, Upload, check_spooling

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CloudStore: TypeAlias = S3Store | GCSStore | AzureStore

LINK_LIFETIME = timedelta(days=1)
MAX_CONCURRENT_PARTS = 3

_STORES: dict[str, Callable[..., CloudStore]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# `allow_http` has an effect only with an http endpoint in the environment. A part may take two minutes on a
# slow line; a server that refuses connections fails after a few seconds.
_CLIENT: ClientConfig = {"allow_http": True, "timeout": timedelta(minutes=2)}
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(minutes=1)}


def make_store(scheme: str, bucket: str) -> CloudStore:
    """Create the store of a bucket, configured by the environment.

    Args:
        scheme: `s3`, `gs` or `az`.
        bucket: The name of the bucket or container.

    Raises:
        StorageError: The configuration in the environment is invalid.

    """
    make = partial(_STORES[scheme], bucket, client_options=_CLIENT, retry_config=_RETRY)
    return translate_errors(make, f"{scheme}://{bucket}/")


class BucketStorage:
    """A Storage in a bucket.

    Args:
        store: The store of the bucket.
        root: The URL of the bucket.
        prefix: The start of all keys: empty, or with a slash at its end.

    """

    def __init__(self, store: CloudStore | MemoryStore, root: str, prefix: str) -> None:
        self._store = store
        self._root = root
        self._prefix = prefix
        self._scheme = root.partition(":")[0]

    def check(self) -> None:
        """Check that objects can be written and files can be spooled; leave no objects behind.

        Raises:
            StorageError: A write failed.

        """
        check_spooling()
        translate_errors(self._probe, self._root + self._prefix)

    def _probe(self) -> None:
        key = f"{self._prefix}.kling-check-{secrets.token_hex(8)}"
        if self._scheme in ("s3", "gs"):
            # A cancelled multipart upload creates no version and no event, and needs no permission to delete.
            try:
                self._store.put(key, _cancel_upload())
            except _UploadCancelled:
                return
        # Azure sends no request for a multipart upload before its first part.
        self._store.put(key, b"", use_multipart=False)
        self._store.delete(key)

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file, which is spooled to a local temporary file until it is complete.

        Args:
            name: The name of the file, appended to the prefix.
            content_type: The media type of the file.

        Raises:
            StorageError: The temporary file cannot be created.

        """
        return Upload(partial(self._put, self._prefix + name, content_type))

    def _put(self, key: str, content_type: str, parts: Iterator[bytes], size: int, sha256: str) -> Location:
        """Upload an object, unless it exists with the same content. Raises StorageError."""

        def put() -> None:
            if not self._has_object(key, size, sha256):
                self._store.put(
                    key,
                    parts,
                    attributes={"Content-Type": content_type, "sha256": sha256},
                    use_multipart=size > PART_BYTES,
                    chunk_size=PART_BYTES,
                    max_concurrency=MAX_CONCURRENT_PARTS,
                )

        translate_errors(put, self._root + self._prefix)
        return Location(self._root + key, self._link(key))

    def _has_object(self, key: str, size: int, sha256: str) -> bool:
        """Return whether the object exists with this size and digest; False if it may not be read."""
        try:
            result = self._store.get(key, options={"head": True})
        except (FileNotFoundError, PermissionDeniedError):
            return False
        return result.meta["size"] == size and result.attributes.get("sha256") == sha256

    def _link(self, key: str) -> str | None:
        """Return a signed URL; None if the store or its credentials cannot sign."""
        if isinstance(self._store, MemoryStore):
            return None
        if self._scheme == "az" and quote(key) != key:
            # obstore 0.12 signs the encoded form of such a key, so the store would reject the link.
            return None
        try:
            return obstore.sign(self._store, "GET", key, LINK_LIFETIME)
        except (BaseError, OSError, ValueError):
            return None


class _UploadCancelled(Exception):
    """Cancels an upload before its first part."""


def _cancel_upload() -> Iterator[bytes]:
    raise _UploadCancelled
    yield b""
