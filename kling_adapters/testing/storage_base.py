"""Access to a storage plugin and to the files that it has stored."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from kling_adapters.hookspecs import Location, Storage, Writer
from kling_adapters.testing.gateway import MP4
from kling_adapters.testing.plugin import PluginConformance

VIDEO_TYPE = "video/mp4"


class StorageAccess(PluginConformance):
    """A storage plugin under test. StorageConformance describes what a test class defines."""

    url: str
    unusable: str | None = None
    secrets: Sequence[str] = ()

    def names(self) -> Iterable[str]:
        """List the visible files at `url`.

        Returns:
            Their names.

        """
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Read a stored file.

        Args:
            name: The name of the file.

        Returns:
            Its content.

        """
        raise NotImplementedError

    def _storage(self) -> Storage:
        storage: Storage = self.call("kling_storage", url=self.url)
        storage.check()
        return storage

    def _store(self, storage: Storage, name: str, *chunks: bytes) -> Location:
        writer = storage.open(name, VIDEO_TYPE)
        for chunk in chunks:
            writer.write(chunk)
        return writer.commit(compute_sha256(b"".join(chunks)))

    def _abort(self, writer: Writer) -> None:
        try:
            writer.abort()
        except Exception as error:
            raise AssertionError(f"abort() raised {type(error).__name__}: {error}") from error

    @contextmanager
    def _expect_files(self, *names: str) -> Generator[None]:
        """Check that exactly these files exist after the block."""
        yield
        existing = set(self.names())
        assert not existing - set(names), f"{sorted(existing - set(names))} should not exist"
        assert not set(names) - existing, f"{sorted(set(names) - existing)} should exist"

    def _expect_content(self, name: str, expected: bytes, description: str = "the written chunks") -> None:
        assert name in set(self.names()), f"{name} should exist"
        content = self.read(name)
        assert content == expected, (
            f"{name} contains {len(content)} bytes, which differ from {description} ({len(expected)} bytes)"
        )

    def _expect_one_video(self, names: set[str]) -> None:
        videos = [name for name in names if self.read(name) == MP4]
        assert len(videos) == 1, f"the output of the job should be stored once in {sorted(names)}"

    def _expect_no_secret(self, *texts: str) -> None:
        for secret in self.secrets:
            for text in texts:
                # The message is in the log of the tests, so it must not contain the secret either.
                assert secret not in text, f"{text.replace(secret, '[secret]')!r} contains a secret"


def make_name() -> str:
    """Return a new name of a file."""
    return f"kling-2-{uuid.uuid4()}.mp4"


def compute_sha256(content: bytes) -> str:
    """Return the hex digest of a content."""
    return hashlib.sha256(content).hexdigest()
