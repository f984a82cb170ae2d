"""A place in an object store, and the upload of one file into it."""

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
Cloud: TypeAlias = S3Store | GCSStore | AzureStore

LINK_LIFETIME = timedelta(days=1)
PART_BYTES = 5 * 1024**2
"""The size of the parts of a large upload, and the most that is sent as one request: S3 takes no smaller parts."""
PARTS_AT_ONCE = 3

_STORES: dict[str, Callable[..., Cloud]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
# Plain http is spoken only where the endpoint in the environment says so. A part may take two minutes on a slow line;
# a server that refuses connections is given up after some seconds.
_CLIENT: ClientConfig = {"allow_http": True, "timeout": timedelta(minutes=2)}
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(minutes=1)}

_ADVICE = {
    "s3": "Check the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role of this machine) and AWS_REGION; "
    "AWS_ENDPOINT_URL for a store that is not Amazon's",
    "gs": "Check the bucket and GOOGLE_APPLICATION_CREDENTIALS, the path of a key file (or a role of this machine)",
    "az": "Check the container, AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential",
    "memory": "Nothing has to be configured for it",
}


def cloud(scheme: str, bucket: str) -> Cloud:
    """Return the store of a bucket, with what the environment says of it. Raises StorageError."""

    def make() -> Cloud:
        return _STORES[scheme](bucket, client_options=_CLIENT, retry_config=_RETRY)

    return _tried(make, f"{scheme}://{bucket}/", scheme)


class Place:
    """A bucket and a prefix: `root` is the URL of the bucket, `prefix` empty or ending in a slash."""

    def __init__(self, store: Cloud | MemoryStore, scheme: str, root: str, prefix: str) -> None:
        self._store = store
        self._scheme = scheme
        self._root = root
        self._prefix = prefix

    def check(self) -> None:
        """Raise StorageError unless an object can be written here and files can be spooled; leaves nothing."""
        with _spooling():
            tempfile.TemporaryFile().close()
        self._tried(self._probe)

    def _probe(self) -> None:
        key = f"{self._prefix}.kling-check-{secrets.token_hex(8)}"
        if self._scheme in ("s3", "gs"):
            # A multipart upload that is begun and called off: no version, no event, no right to delete is needed.
            try:
                self._store.put(key, _call_off())
            except _CalledOff:
                return
        # On Azure nothing is sent for a multipart upload before its first part.
        self._store.put(key, b"", use_multipart=False)
        self._store.delete(key)

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file, in a temporary file of this machine until it is whole."""
        return _Upload(self, self._prefix + name, content_type)

    def holds(self, key: str, size: int, sha256: str) -> bool:
        """Whether the object is there already, with this content as far as is recorded and may be read."""
        try:
            found = self._store.get(key, options={"head": True})
        except (FileNotFoundError, PermissionDeniedError):
            return False
        return found.meta["size"] == size and found.attributes.get("sha256") == sha256

    def upload(self, key: str, parts: Iterator[bytes], size: int, sha256: str, content_type: str) -> Location:
        """Make the object appear, unless it is there already. Raises StorageError, and what `parts` raises."""

        def put() -> None:
            if not self.holds(key, size, sha256):
                self._store.put(
                    key,
                    parts,
                    attributes={"Content-Type": content_type, "sha256": sha256},
                    use_multipart=size > PART_BYTES,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )

        self._tried(put)
        return Location(self._root + key, self._link(key))

    def _link(self, key: str) -> str | None:
        if isinstance(self._store, MemoryStore):
            return None
        if self._scheme == "az" and quote(key) != key:
            # obstore 0.12 signs such a name as it is written in a URL, and the link would be refused.
            return None
        try:
            return obstore.sign(self._store, "GET", key, LINK_LIFETIME)
        except (BaseError, OSError, ValueError):
            # Some credentials cannot sign. The file is where it should be all the same.
            return None

    def _tried(self, action: Callable[[], T]) -> T:
        return _tried(action, self._root + self._prefix, self._scheme)


class _Upload:
    """The Writer: spools to a file without a name, since the digest is recorded with the object and known at its end."""

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
        with self._busy(), _spooling():
            self._file.write(chunk)

    def commit(self, sha256: str) -> Location:
        """Upload the file and return where it is."""
        with self._busy(), self._file:
            size = self._file.tell()
            self._file.seek(0)
            return self._place.upload(self._key, self._parts(), size, sha256, self._content_type)

    def abort(self) -> None:
        """Delete the spooled file; an upload in another thread stops before its next part, and deletes it then."""
        self._aborted = True
        if self._lock.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._lock.release()

    def _parts(self) -> Iterator[bytes]:
        """Yield the file in parts. What is raised here makes obstore call off the upload."""
        while True:
            part = self._file.read(PART_BYTES)
            if self._aborted:
                raise StorageError("the upload was stopped; nothing was stored")
            if not part:
                return
            yield part

    @contextmanager
    def _busy(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        finally:
            # An abort that found this thread at work has left the rest to it.
            if self._aborted:
                self.abort()


@contextmanager
def _spooling() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the temporary file of an upload failed: {error}; set TMPDIR to a folder with room for the whole file"
        ) from error


class _CalledOff(Exception):
    """Ends an upload before its first part."""


def _call_off() -> Iterator[bytes]:
    raise _CalledOff
    yield b""


def _tried(action: Callable[[], T], where: str, scheme: str) -> T:
    """Return what `action` returns; whatever the store says against it becomes a StorageError."""
    try:
        return action()
    except (BaseError, OSError, ValueError) as error:
        reason = _reason(error)
    # Not from within `except`: the error of the store holds addresses, which may be signed, and whole answers.
    raise StorageError(f"{where} cannot be written to: {reason}. {_ADVICE[scheme]}")


def _reason(error: Exception) -> str:
    """Return what a store says, in short and without the queries of addresses or what an answer repeats of a request."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search("<Code>(.*?)</Code>", text)
    message = re.search("<Message>(.*?)</Message>", text, re.DOTALL)
    if code:
        return f"{code[1]}: {message[1].splitlines()[0].rstrip('.')}" if message and message[1] else code[1]
    return " ".join(re.sub(r"\?\S+", "", text.partition("<")[0]).split())[:300]
