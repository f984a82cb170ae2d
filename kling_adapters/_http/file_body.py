"""The body of a file, written by worker threads while the next bytes are received."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from kling_adapters._http.failures import find_failures
from kling_adapters.protocol.download import Download

_PIECE_BYTES = 512 * 1024
"""Bytes for which a thread is worth its start."""
_MAX_BYTES = 2 * 1024**2
"""Bytes that wait for the thread, before no more are received."""
_MAX_SECONDS = 0.25
"""Seconds after which bytes of a slow response are written although they are few, which checks its pace."""


class FileBody:
    """The body of a response, which is written into `download` in pieces of several chunks.

    One thread at a time writes a piece while the next one is received.
    """

    def __init__(self, download: Download) -> None:
        self._download = download
        self._chunks: list[bytes] = []
        self._size = 0
        self._started = time.monotonic()
        self._idle = anyio.Event()
        self._idle.set()
        self._failure: Exception | None = None

    async def write(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all chunks. Raises the failure of the download, or else that of the response."""
        interruption: Exception | None = None
        async with anyio.create_task_group() as group:
            try:
                async for chunk in chunks:
                    await self._add(group, chunk)
            except find_failures() as error:
                interruption = error
            # The next response continues after the last byte that is written.
            await self._idle.wait()
            self._start(group)
        if (failure := self._failure or interruption) is not None:
            raise failure

    async def _add(self, group: TaskGroup, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= _MAX_BYTES:
            await self._idle.wait()
        is_due = self._size >= _PIECE_BYTES or time.monotonic() - self._started >= _MAX_SECONDS
        if is_due and self._idle.is_set():
            self._start(group)

    def _start(self, group: TaskGroup) -> None:
        """Write the received chunks in a thread."""
        chunks, self._chunks, self._size = self._chunks, [], 0
        self._started = time.monotonic()
        self._idle = anyio.Event()
        group.start_soon(self._write_piece, group, chunks)

    async def _write_piece(self, group: TaskGroup, chunks: Sequence[bytes]) -> None:
        try:
            await anyio.to_thread.run_sync(self._write_chunks, chunks)
        except Exception as error:  # noqa: BLE001  `write` raises it, not in a group
            self._failure = error
            group.cancel_scope.cancel()
        finally:
            self._idle.set()

    def _write_chunks(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._download.write(chunk)
