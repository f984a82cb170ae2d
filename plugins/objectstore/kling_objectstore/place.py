"""Bucket prefix as a storage, and the upload of a file to it."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from kling_adapters import StorageError
from kling_adapters.hookspecs import Location, Writer

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")
CloudStore: TypeAlias = S3Store | GCSStore | AzureStore

LINK_LIFETIME = timedelta(days=1)
PART_BYTES = 5 * 1024**2
"""Part size of multipart uploads, and maximum size of a single-request upload; the minimum part size of S3."""
MAX_CONCURRENT_PARTS = 3

_STORES: dict[str, Callable[..., CloudStore]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# `allow_http` has an effect only with an http endpoint in the environment. A part may take two minutes on a slow line;
# a server that refuses connections fails after a few seconds.
_CLIENT: ClientConfig = {"allow_http": True, "timeout": timedelta(minutes=2)}
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(minutes=1)}

_ADVICE = {
    "s3": "Check the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role of this machine) and AWS_REGION; "
    "AWS_ENDPOINT_URL for a store outside of AWS",
    "gs": "Check the bucket and GOOGLE_APPLICATION_CREDENTIALS, the path of a key file (or a role of this machine)",
    "az": "Check the container, AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential",
    "memory": "memory: needs no configuration",
}


def make_store(scheme: str, bucket: str) -> CloudStore:
    """Create the store of a bucket, configured by the environment.

    Args:
        scheme: `s3`, `gs` or `az`.
        bucket: The name of the bucket or container.

    Returns:
        The store.

    Raises:
        StorageError: The configuration in the environment is invalid.

    """

    def make() -> CloudStore:
        return _STORES[scheme](bucket, client_options=_CLIENT, retry_config=_RETRY)

    return _translate_errors(make, f"{scheme}://{bucket}/", scheme)


class Place:
    """A Storage in a bucket.

    Args:
        store: The store of the bucket.
        scheme: The scheme of its URLs.
        root: The URL of the bucket.
        prefix: The start of all keys: empty, or with a slash at its end.

    """

    def __init__(self, store: CloudStore | MemoryStore, scheme: str, root: str, prefix: str) -> None:
        self._store = store
        self._scheme = scheme
        self._root = root
        self._prefix = prefix

    def check(self) -> None:
        """Check that objects can be written and files can be spooled; leave no objects behind.

        Raises:
            StorageError: A write failed.

        """
        with _spooling():
            tempfile.TemporaryFile().close()
        self._translate_errors(self._probe)

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

        Returns:
            The writer of the file.

        Raises:
            StorageError: The temporary file cannot be created.

        """
        return _Upload(self, self._prefix + name, content_type)

    def has_object(self, key: str, size: int, sha256: str) -> bool:
        """Check whether the object exists with this content.

        Args:
            key: The key of the object.
            size: The expected size in bytes.
            sha256: The expected hex digest, compared with the metadata of the object.

        Returns:
            Whether size and digest match; False if the object may not be read.

        """
        try:
            result = self._store.get(key, options={"head": True})
        except (FileNotFoundError, PermissionDeniedError):
            return False
        return result.meta["size"] == size and result.attributes.get("sha256") == sha256

    def upload(self, key: str, parts: Iterator[bytes], size: int, sha256: str, content_type: str) -> Location:
        """Upload an object, unless it exists with the same content.

        Args:
            key: The key of the object.
            parts: The content; an exception raised here cancels the upload and propagates.
            size: The size of the content in bytes.
            sha256: The hex digest of the content.
            content_type: The media type of the content.

        Returns:
            The URL of the object, and a signed link if the store can sign.

        Raises:
            StorageError: The upload failed.

        """

        def put() -> None:
            if not self.has_object(key, size, sha256):
                self._store.put(
                    key,
                    parts,
                    attributes={"Content-Type": content_type, "sha256": sha256},
                    use_multipart=size > PART_BYTES,
                    chunk_size=PART_BYTES,
                    max_concurrency=MAX_CONCURRENT_PARTS,
                )

        self._translate_errors(put)
        return Location(self._root + key, self._link(key))

    def _link(self, key: str) -> str | None:
        if isinstance(self._store, MemoryStore):
            return None
        if self._scheme == "az" and quote(key) != key:
            # obstore 0.12 signs the encoded form of such a key, so the store would reject the link.
            return None
        try:
            return obstore.sign(self._store, "GET", key, LINK_LIFETIME)
        except (BaseError, OSError, ValueError):
            # Some credentials cannot sign. The file is stored nevertheless.
            return None

    def _translate_errors(self, action: Callable[[], T]) -> T:
        return _translate_errors(action, self._root + self._prefix, self._scheme)


class _Upload:
    """Writer that spools to an unnamed file, because the metadata of the object needs the digest of the whole file."""

    def __init__(self, place: Place, key: str, content_type: str) -> None:
        self._place = place
        self._key = key
        self._content_type = content_type
        with _spooling():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by commit or abort
        self._lock = threading.Lock()
        self._aborted = False

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        with self._exclusive_access(), _spooling():
            self._file.write(chunk)

    def commit(self, sha256: str) -> Location:
        """Upload the file and return its location."""
        with self._exclusive_access(), self._file:
            size = self._file.tell()
            self._file.seek(0)
            return self._place.upload(self._key, self._parts(), size, sha256, self._content_type)

    def abort(self) -> None:
        """Delete the spooled file; an upload in another thread stops before its next part and deletes the file itself."""
        self._aborted = True
        if self._lock.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._lock.release()

    def _parts(self) -> Iterator[bytes]:
        """Yield the file in parts. An exception raised here makes obstore cancel the upload."""
        while True:
            part = self._file.read(PART_BYTES)
            if self._aborted:
                raise StorageError("the upload was stopped; nothing was stored")
            if not part:
                return
            yield part

    @contextmanager
    def _exclusive_access(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        finally:
            # An abort during this call could not close the file.
            if self._aborted:
                self.abort()


@contextmanager
def _spooling() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write the temporary file of an upload: {error}. Set TMPDIR to a folder with room for the whole file"
        ) from error


class _UploadCancelled(Exception):
    """Cancels an upload before its first part."""


def _cancel_upload() -> Iterator[bytes]:
    raise _UploadCancelled
    yield b""


def _translate_errors(action: Callable[[], T], url: str, scheme: str) -> T:
    """Run `action` and return its result; convert an error of the store to a StorageError."""
    try:
        return action()
    except (BaseError, OSError, ValueError) as error:
        reason = _summarize_error(error)
    # Raised outside of `except`: the store's error may contain signed URLs and complete responses.
    raise StorageError(f"{url} cannot be written to: {reason}. {_ADVICE[scheme]}")


def _summarize_error(error: Exception) -> str:
    """Return a short form of a store's error, without URL queries and without request data that a response repeats."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search("<Code>(.*?)</Code>", text)
    message = re.search("<Message>(.*?)</Message>", text, re.DOTALL)
    if code:
        return f"{code[1]}: {message[1].splitlines()[0].rstrip('.')}" if message and message[1] else code[1]
    return " ".join(re.sub(r"\?\S+", "", text.partition("<")[0]).split())[:300]
