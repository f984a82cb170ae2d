"""Network steps of an exchange: each keeps the deadline, and a file is fetched from addresses that were checked.

The backends wrap those of httpcore, which opens, reads and writes the connections of httpx. An address is checked where
it is connected to, so that a name cannot have another address a moment later.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

import anyio

from kling_adapters._text import format_number
from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.protocol.local_hosts import is_loopback

VARIABLE = "KLING_OUTPUT_NETWORKS"

_NAT64 = IPv6Network("64:ff9b::/96")
_Address: TypeAlias = IPv4Address | IPv6Address
CheckAddresses: TypeAlias = Callable[[str, Iterable[str]], list[str]]


class NotConnected(Exception):
    """No connection was made, so that nothing was sent."""


class OutOfTime(Exception):
    """The exchange took longer than its deadline; something may have been sent."""


class Deadline:
    """The time at which the exchange under way must be over, for every step that the network backends take."""

    _current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)

    def __init__(self, seconds: float) -> None:
        self.set(seconds)

    def set(self, seconds: float) -> None:
        """Count from now on."""
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def cut(self, seconds: float) -> None:
        """Count from now on, unless the end comes earlier anyway."""
        if time.monotonic() + seconds < self._end:
            self.set(seconds)

    @contextmanager
    def keep(self) -> Generator[Deadline]:
        """Keep it in this thread or task."""
        token = self._current.set(self)
        try:
            yield self
        finally:
            self._current.reset(token)

    @contextmanager
    def limit(self, timeout: float | None, error: type[Exception]) -> Generator[float | None]:
        """Yield the seconds that a step may take. Raises `error` when the time of the exchange is over."""
        left = self._end - time.monotonic()
        message = f"the answer took longer than {format_number(self._seconds)} s"
        if left <= 0:
            raise error(message)
        try:
            yield left if timeout is None else min(timeout, left)
        except Exception:
            if time.monotonic() >= self._end:
                raise error(message) from None
            raise

    @classmethod
    def step(cls, timeout: float | None, error: type[Exception]) -> AbstractContextManager[float | None]:
        """Limit a step by the deadline of this thread or task, if there is one."""
        deadline = cls._current.get()
        return nullcontext(timeout) if deadline is None else deadline.limit(timeout, error)


class _Stream:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with Deadline.step(timeout, OutOfTime) as seconds:
            content: bytes = self._inner.read(max_bytes, seconds)
            return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In slices: the whole rest would be copied after each piece that the socket has taken.
        for start in range(0, len(buffer), 65536):
            with Deadline.step(timeout, OutOfTime) as seconds:
                self._inner.write(buffer[start : start + 65536], seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with Deadline.step(timeout, NotConnected) as seconds:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend:
    """Opens connections for a client that blocks; to addresses that pass `check`, if there is one."""

    def __init__(self, inner: Any, check: CheckAddresses | None = None) -> None:
        self._inner = inner
        self._check = check

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        """Connect to the first address that answers."""
        if self._check is None:
            addresses = [_without_domain(host)]
        else:
            with _resolving(host):
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = self._check(host, (str(address[0]) for *_, address in found))
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, options)
            except Exception:  # noqa: BLE001, S112  the next address may answer
                continue
        return self._connect(addresses[-1], port, timeout, options)

    def _connect(self, address: str, port: int, timeout: float | None, options: dict[str, Any]) -> _Stream:
        with Deadline.step(timeout, NotConnected) as seconds:
            return _Stream(self._inner.connect_tcp(address, port, timeout=seconds, **options))


class _AsyncStream:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with Deadline.step(timeout, OutOfTime) as seconds:
            content: bytes = await self._inner.read(max_bytes, seconds)
            return content

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), 65536):
            with Deadline.step(timeout, OutOfTime) as seconds:
                await self._inner.write(buffer[start : start + 65536], seconds)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _AsyncStream:
        with Deadline.step(timeout, NotConnected) as seconds:
            return _AsyncStream(await self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class AsyncBackend:
    """The same for a client that is awaited."""

    def __init__(self, inner: Any, check: CheckAddresses | None = None) -> None:
        self._inner = inner
        self._check = check

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **options: Any
    ) -> _AsyncStream:
        """Connect to the first address that answers."""
        if self._check is None:
            addresses = [_without_domain(host)]
        else:
            with _resolving(host):
                found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = self._check(host, (str(address[0]) for *_, address in found))
        for address in addresses[:-1]:
            try:
                return await self._connect(address, port, timeout, options)
            except Exception:  # noqa: BLE001, S112  the next address may answer
                continue
        return await self._connect(addresses[-1], port, timeout, options)

    async def _connect(
        self, address: str, port: int, timeout: float | None, options: dict[str, Any]
    ) -> _AsyncStream:
        with Deadline.step(timeout, NotConnected) as seconds:
            return _AsyncStream(await self._inner.connect_tcp(address, port, timeout=seconds, **options))


def _without_domain(host: str) -> str:
    """Return the plain name of this machine for names below `localhost`: a resolver might ask the network for them."""
    return "localhost" if is_loopback(host) and host.lower().rstrip(".").endswith("localhost") else host


@contextmanager
def _resolving(host: str) -> Generator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise NotConnected(f"the name {host} cannot be looked up: {error}") from error


class OutputNetworks:
    """Addresses that outputs may be fetched from: public ones, and the networks that KLING_OUTPUT_NETWORKS names.

    Raises ConfigError if the variable cannot be read.
    """

    def __init__(self) -> None:
        names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
        try:
            self._networks = [ip_network(name, strict=False) for name in names if name]
        except ValueError as error:
            raise ConfigError(
                f"{VARIABLE} must be networks with commas between them, such as 198.18.0.0/15,10.0.0.0/8: {error}. "
                "Nothing was sent"
            ) from error

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the addresses of a host that may be connected to. Raises StorageError if there is none."""
        found = list(dict.fromkeys(addresses))
        allowed = [address for address in found if self._allows(address)]
        if not allowed:
            raise StorageError(
                f"the output is at {host}, which has no public address here ({', '.join(found[:4])}), and was not "
                f"fetched. If this network is meant, name it in {VARIABLE}, such as {VARIABLE}={_network(found)}, "
                "and save again"
            )
        return allowed

    def check_host(self, host: str) -> None:
        """Check a host that is an address, or this machine by its name, and so need not be looked up."""
        if address := _read_address(host):
            self.check(host, [address])
        elif is_loopback(host):
            self.check(host, ["127.0.0.1"])

    def _allows(self, text: str) -> bool:
        address = _inner_address(ip_address(text.partition("%")[0]))
        if any(address in network for network in self._networks):
            return True
        is_special = address.is_multicast or address.is_reserved or address.is_unspecified
        if isinstance(address, IPv6Address):
            # 6to4 and Teredo lead to an IPv4 address that may be anything.
            is_special = is_special or address.is_site_local or bool(address.sixtofour or address.teredo)
        return address.is_global and not is_special


def _inner_address(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for, mapped or through NAT64; else the address."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address
    return address


def _read_address(host: str) -> str | None:
    """Return the address that a host is, in any spelling that a resolver takes; None for a name."""
    host = host.rstrip(".")
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch("[0-9a-fA-FxX.]+", host) else None
    except OSError:
        return None


def _network(addresses: list[str]) -> str:
    address = ip_address(addresses[0].partition("%")[0]) if addresses else IPv4Address("10.0.0.0")
    return f"{address}/{address.max_prefixlen}"
