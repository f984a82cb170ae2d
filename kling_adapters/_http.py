"""The only module that imports httpx: sends requests, and says of a failure whether anything may have arrived."""

from __future__ import annotations

import re
import socket
import time
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any

import anyio.to_thread
import httpx

from kling_adapters._text import format_number
from kling_adapters._version import __version__
from kling_adapters.download import Download
from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.wire import Answer, Fault, Gateway, Outcome, Request

MAX_ANSWER_BYTES = 16 * 1024**2
# The timeouts below are for each read; an answer that comes in drops meets them for ever.
MAX_ANSWER_SECONDS = 120.0

# A submit is given longer to be answered, since running out of time leaves it unknown whether a job was started.
# Nobody is hurried out of the pool: waiting there is only waiting.
_SUBMIT_TIMEOUT = httpx.Timeout(120.0, connect=10.0, pool=None)
_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)

# An idle connection may be closed by the gateway just as a submit is written to it, and then nobody knows whether it
# arrived. So each submit opens its own. A pool larger than 32 makes httpx slower, not faster.
_SUBMIT_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=32)


# Raised before a byte of the request leaves.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.InvalidURL,
)
# The last three: a host name that cannot be encoded, a header that cannot be decoded, a port that cannot be (anyio
# wraps it in a group).
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError, ExceptionGroup)


def _headers(gateway: Gateway, request: Request, keys: set[str]) -> dict[str, str]:
    """The headers of a request. The key is added to what goes to the gateway's own addresses, and to nothing else.

    `keys` learns it: from here on, whatever the gateway says may hold it, other answers and files too.
    """
    headers = {
        "user-agent": f"kling-adapters/{__version__}",
        "accept-encoding": "gzip",
        **request.headers,
    }
    is_home = request.url.startswith(f"{gateway.base_url}/") or request.url == gateway.upload_url
    if request.key is not None and is_home:
        headers[KEY_HEADER] = request.key
        keys.add(request.key)
    return headers


def _settings(gateway: Gateway) -> dict[str, Any]:
    """What all httpx clients share; to be called within _usable_environment."""
    return {
        # Reading the certificates is what takes time, so it is done once.
        "verify": httpx.create_ssl_context(),
        # A session cookie is a key too, and a jar knows no ports.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # A gateway on this machine may speak plain http because nobody is on the way; a proxy would be.
        "trust_env": not gateway.is_local,
    }


class SyncTransport:
    """Sends requests and blocks until they are answered."""

    def __init__(self, gateway: Gateway, keys: set[str]) -> None:
        self._gateway = gateway
        # Every key that was sent, also by other transports of the client: answers must not repeat one.
        self._keys = keys
        with _usable_environment():
            settings = _settings(gateway)
            self._submits = httpx.Client(limits=_SUBMIT_LIMITS, **settings)
            self._others = httpx.Client(timeout=_TIMEOUT, limits=_LIMITS, **settings)
            self._files = httpx.Client(timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=True, **settings)
        if not gateway.is_local:
            # Of each redirect, too.
            self._files.event_hooks = {"request": [_refuse_private]}

    def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = _headers(self._gateway, request, self._keys)
        try:
            with client.stream(
                request.method,
                request.url,
                content=request.body,
                headers=headers,
                timeout=_timeout(request),
            ) as response:
                body, begun = bytearray(), time.monotonic()
                for chunk in response.iter_raw():
                    body += chunk
                    _check_bounds(request, body, begun)
                return _answer(response, _unpacked(request, response, bytes(body)), self._keys)
        except _FAILURES as error:
            return _fault(error, self._keys)

    def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = _headers(self._gateway, request, self._keys)
        try:
            with self._files.stream("GET", request.url, headers=headers) as response:
                answer = _answer(response, b"", self._keys)
                if download.begin(answer.status, answer.headers):
                    for chunk in response.iter_raw():
                        download.write(chunk)
                return answer
        except _FAILURES as error:
            return _fault(error, self._keys)

    def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others, self._files):
            client.close()


class AsyncTransport:
    """The same for asyncio (or trio, through anyio)."""

    def __init__(self, gateway: Gateway, keys: set[str]) -> None:
        self._gateway = gateway
        # Every key that was sent, also by other transports of the client: answers must not repeat one.
        self._keys = keys
        with _usable_environment():
            settings = _settings(gateway)
            self._submits = httpx.AsyncClient(limits=_SUBMIT_LIMITS, **settings)
            self._others = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, **settings)
            self._files = httpx.AsyncClient(
                timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=True, **settings
            )
        if not gateway.is_local:
            self._files.event_hooks = {"request": [_refuse_private_async]}

    async def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = _headers(self._gateway, request, self._keys)
        try:
            async with client.stream(
                request.method,
                request.url,
                content=request.body,
                headers=headers,
                timeout=_timeout(request),
            ) as response:
                body, begun = bytearray(), time.monotonic()
                async for chunk in response.aiter_raw():
                    body += chunk
                    _check_bounds(request, body, begun)
                return _answer(response, _unpacked(request, response, bytes(body)), self._keys)
        except _FAILURES as error:
            return _fault(error, self._keys)

    async def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = _headers(self._gateway, request, self._keys)
        try:
            async with self._files.stream("GET", request.url, headers=headers) as response:
                answer = _answer(response, b"", self._keys)
                if await anyio.to_thread.run_sync(download.begin, answer.status, answer.headers):
                    async for chunk in response.aiter_raw():
                        await anyio.to_thread.run_sync(download.write, chunk)
                return answer
        except _FAILURES as error:
            return _fault(error, self._keys)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others, self._files):
            await client.aclose()


def _check_bounds(request: Request, body: bytes | bytearray, begun: float) -> None:
    """Raise httpx.ReadError for an answer that does not end."""
    if len(body) > (most := request.max_bytes or MAX_ANSWER_BYTES):
        raise httpx.ReadError(f"the answer is larger than {most} bytes")
    if time.monotonic() - begun > (longest := max(request.timeout or 0.0, MAX_ANSWER_SECONDS)):
        raise httpx.ReadError(f"the answer took longer than {format_number(longest)} s")


def _unpacked(request: Request, response: httpx.Response, body: bytes) -> bytes:
    """The body without its gzip. httpx would unpack layer upon layer, to any size; what else it is packed in stays."""
    if response.headers.get("content-encoding") != "gzip":
        return body
    try:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(
            body, (request.max_bytes or MAX_ANSWER_BYTES) + 1
        )
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from error
    _check_bounds(request, unpacked, time.monotonic())
    return unpacked


def _answer(response: httpx.Response, body: bytes, keys: set[str]) -> Answer:
    """The answer without a key, should the gateway repeat it: answers end up in messages and logs."""
    headers = {name: _without(keys, value) for name, value in response.headers.items()}
    return Answer(response.status_code, headers, _without(keys, body.decode("latin-1")).encode("latin-1"))


def _without(keys: set[str], text: str) -> str:
    for key in tuple(keys):
        # No key is so short, but a word of the answer may be.
        if len(key) >= 12:
            text = text.replace(key, "[key]")
            # What is longer is no JSON.
            if "\\" in text and len(text) <= MAX_ANSWER_BYTES:
                text = _in_json(key).sub("[key]", text)
    return text


@lru_cache
def _in_json(key: str) -> re.Pattern[str]:
    """Find the key as JSON may spell it: each of its letters can be escaped."""
    spelt = (rf"(?:\\?{re.escape(each)}|\\u00(?i:{ord(each):02x}))" for each in key)
    return re.compile("".join(spelt))


def _refuse_private(request: httpx.Request) -> None:
    """Raise StorageError for what is no https, or leads into the network of this machine: an answer may name any URL."""
    if request.url.scheme != "https":
        raise StorageError("the output was redirected from https to plain http, and was not fetched")
    try:
        found = socket.getaddrinfo(request.url.host, None)
    except OSError:
        # Behind a proxy a name need not be known here; without one, connecting will say so.
        return
    for *_, (host, *_) in found:
        address = ip_address(str(host).partition("%")[0])
        if not (getattr(address, "ipv4_mapped", None) or address).is_global:
            raise StorageError(f"the output is said to be at {request.url.host}, which is no public address")


async def _refuse_private_async(request: httpx.Request) -> None:
    await anyio.to_thread.run_sync(_refuse_private, request)


def _timeout(request: Request) -> httpx.Timeout:
    if request.timeout is not None:
        return httpx.Timeout(request.timeout, connect=10.0, pool=None)
    return _SUBMIT_TIMEOUT if request.method == "POST" else _TIMEOUT


def _fault(error: Exception, keys: set[str]) -> Fault:
    """What prevented an answer; a parser quotes the line it cannot read, and that may hold the key."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(_without(keys, reason), sent=not isinstance(error, _NOT_SENT))


@contextmanager
def _usable_environment() -> Generator[None]:
    """Say as ConfigError what httpx cannot work with: a proxy or certificates named by the environment."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise ConfigError(
            f"the proxy or certificate settings of the environment cannot be used: {error}"
        ) from error
