"""Network backends of httpcore, which opens, reads and writes the connections of httpx.

They observe the deadline of an exchange, and check the address of a connection. The address is checked when
the connection is made, because a name may have another address a moment later.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeAlias

import anyio

from kling_adapters._http.deadline import Deadline, NotConnected, OutOfTime
from kling_adapters.protocol.local_hosts import is_loopback

CheckAddresses: TypeAlias = Callable[[str, Iterable[str]], list[str]]
"""Takes a host and its addresses; returns the allowed addresses."""

# A larger slice would be copied again for each piece that the socket accepts.
_WRITE_BYTES = 65536
_READ_BYTES = 1024 * 1024
"""Bytes to read at once after a read that was filled, as those of a file are: large reads cost less a byte."""


class Backend:
    """Opens connections for the blocking client; `check` selects the addresses, if it is not None."""

    def __init__(self, inner: Any, check: CheckAddresses | None = None) -> None:
        self._inner = inner
        self._check = check

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        """Connect to the first address that answers."""
        addresses = [_shorten_localhost(host)]
        if self._check is not None:
            with _convert_lookup_errors(host):
                resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = self._check(host, (str(address[0]) for *_, address in resolved))
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, options)
            except Exception:  # noqa: BLE001, S112  the next address may answer
                continue
        return self._connect(addresses[-1], port, timeout, options)

    def _connect(self, address: str, port: int, timeout: float | None, options: dict[str, Any]) -> _Stream:
        with Deadline.limit_step(timeout, NotConnected) as seconds:
            return _Stream(self._inner.connect_tcp(address, port, timeout=seconds, **options))


class AsyncBackend:
    """Opens connections for the asynchronous client; `check` selects the addresses, if it is not None."""

    def __init__(self, inner: Any, check: CheckAddresses | None = None) -> None:
        self._inner = inner
        self._check = check

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _AsyncStream:
        """Connect to the first address that answers."""
        addresses = [_shorten_localhost(host)]
        if self._check is not None:
            with _convert_lookup_errors(host):
                resolved = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = self._check(host, (str(address[0]) for *_, address in resolved))
        for address in addresses[:-1]:
            try:
                return await self._connect(address, port, timeout, options)
            except Exception:  # noqa: BLE001, S112  the next address may answer
                continue
        return await self._connect(addresses[-1], port, timeout, options)

    async def _connect(
        self, address: str, port: int, timeout: float | None, options: dict[str, Any]
    ) -> _AsyncStream:
        with Deadline.limit_step(timeout, NotConnected) as seconds:
            return _AsyncStream(await self._inner.connect_tcp(address, port, timeout=seconds, **options))


class _Stream:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._read_bytes = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with Deadline.limit_step(timeout, OutOfTime) as seconds:
            content: bytes = self._inner.read(max(max_bytes, self._read_bytes), seconds)
        self._read_bytes = _READ_BYTES if len(content) >= max_bytes else 0
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            with Deadline.limit_step(timeout, OutOfTime) as seconds:
                self._inner.write(buffer[start : start + _WRITE_BYTES], seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with Deadline.limit_step(timeout, NotConnected) as seconds:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncStream:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._read_bytes = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with Deadline.limit_step(timeout, OutOfTime) as seconds:
            content: bytes = await self._inner.read(max(max_bytes, self._read_bytes), seconds)
        self._read_bytes = _READ_BYTES if len(content) >= max_bytes else 0
        return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            with Deadline.limit_step(timeout, OutOfTime) as seconds:
                await self._inner.write(buffer[start : start + _WRITE_BYTES], seconds)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _AsyncStream:
        with Deadline.limit_step(timeout, NotConnected) as seconds:
            return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _shorten_localhost(host: str) -> str:
    """Return localhost for a name below it, which a resolver might look up in the network."""
    return "localhost" if is_loopback(host) and host.lower().rstrip(".").endswith("localhost") else host


@contextmanager
def _convert_lookup_errors(host: str) -> Generator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise NotConnected(f"the name {host} cannot be looked up: {error}") from error
