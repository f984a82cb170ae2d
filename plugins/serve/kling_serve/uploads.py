"""Files that browsers have sent, until a job has uploaded them to its gateway: bounded, and deleted after a while."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kling_serve.settings import Settings

_ID: Final = re.compile(r"[a-f0-9]{24}(?:\.[a-z0-9]{1,5})?")
_EXTENSION: Final = re.compile(r"\.[a-z0-9]{1,5}")


class UploadTooLarge(Exception):
    """A file has more bytes than an upload may have."""


@dataclass(frozen=True)
class Upload:
    """A stored upload.

    Attributes:
        id: Its id, which is the name of its file.
        size: Its size in bytes.

    """

    id: str
    size: int


class Uploads:
    """The uploads in a folder. Names of files of users are never names of files here.

    Args:
        settings: The settings of the application.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.uploads

    async def store(self, name: str, chunks: AsyncIterable[bytes]) -> Upload:
        """Store a file.

        Args:
            name: Its name, of which only the extension counts.
            chunks: Its content.

        Returns:
            The upload.

        Raises:
            UploadTooLarge: The content is larger than an upload may be. Nothing is stored.

        """
        self.tidy()
        extension = Path(name).suffix.lower()
        upload_id = secrets.token_hex(12) + (extension if _EXTENSION.fullmatch(extension) else "")
        path = self._folder / upload_id
        try:
            return Upload(upload_id, await self._write(path, chunks))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _write(self, path: Path, chunks: AsyncIterable[bytes]) -> int:
        """Write a file and return its size. Raises UploadTooLarge."""
        size = 0
        with path.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._settings.max_upload_bytes:
                    raise UploadTooLarge
                file.write(chunk)
        return size

    def find(self, upload_id: str) -> Path | None:
        """Return the file of an upload; None if there is none."""
        if _ID.fullmatch(upload_id) is None:
            return None
        path = self._folder / upload_id
        return path if path.is_file() else None

    def tidy(self) -> None:
        """Delete old uploads, and the oldest while all together are larger than they may be."""
        stats = sorted(
            (status.st_mtime, status.st_size, path)
            for path in self._folder.iterdir()
            if _ID.fullmatch(path.name) and (status := path.stat())
        )
        total = sum(size for _, size, _ in stats)
        oldest = time.time() - self._settings.upload_lifetime
        for changed, size, path in stats:
            if changed < oldest or total + self._settings.max_upload_bytes > self._settings.max_uploads_bytes:
                with suppress(FileNotFoundError):
                    path.unlink()
                total -= size
