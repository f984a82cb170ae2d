"""The only module that imports httpx: sends requests, and says of a failure whether anything may have arrived."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio.to_thread
import httpx

from kling_adapters._version import __version__
from kling_adapters.download import Download
from kling_adapters.errors import ConfigError
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.wire import Answer, Fault, Gateway, Outcome, Request, checked_key

MAX_ANSWER_BYTES = 16 * 1024**2

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


class _Key:
    """Adds the key to what goes to the gateway's own addresses: that of the request, or `find` gives it for its job."""

    def __init__(self, gateway: Gateway, find: Callable[[str | None], str]) -> None:
        self._home = f"{gateway.base_url}/"
        self._upload_url = gateway.upload_url
        self._find = find

    def headers(self, request: Request) -> dict[str, str]:
        headers = {"user-agent": f"kling-adapters/{__version__}", **request.headers}
        is_home = request.url.startswith(self._home) or request.url == self._upload_url
        if request.to_gateway and is_home:
            headers[KEY_HEADER] = request.key or checked_key(self._find(request.job))
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

    def __init__(self, gateway: Gateway, find_key: Callable[[str | None], str]) -> None:
        self._key = _Key(gateway, find_key)
        with _usable_environment():
            settings = _settings(gateway)
            self._submits = httpx.Client(limits=_SUBMIT_LIMITS, **settings)
            self._others = httpx.Client(timeout=_TIMEOUT, limits=_LIMITS, **settings)

    def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = self._key.headers(request)
        try:
            with client.stream(
                request.method,
                request.url,
                content=request.body,
                headers=headers,
                timeout=_timeout(request),
            ) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > (request.max_bytes or MAX_ANSWER_BYTES):
                        return _too_large()
                return _answer(response, bytes(body), headers)
        except _FAILURES as error:
            return _fault(error)

    def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = self._key.headers(request)
        try:
            with self._others.stream("GET", request.url, headers=headers, follow_redirects=True) as response:
                if _is_exposed(request, response):
                    return Fault("the output was redirected from https to plain http", sent=True)
                answer = _answer(response, b"", headers)
                if download.begin(answer.status, answer.headers):
                    for chunk in response.iter_raw():
                        download.write(chunk)
                return answer
        except _FAILURES as error:
            return _fault(error)

    def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others):
            client.close()


class AsyncTransport:
    """The same for asyncio (or trio, through anyio)."""

    def __init__(self, gateway: Gateway, find_key: Callable[[str | None], str]) -> None:
        self._key = _Key(gateway, find_key)
        with _usable_environment():
            settings = _settings(gateway)
            self._submits = httpx.AsyncClient(limits=_SUBMIT_LIMITS, **settings)
            self._others = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, **settings)

    async def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = await anyio.to_thread.run_sync(self._key.headers, request)
        try:
            async with client.stream(
                request.method,
                request.url,
                content=request.body,
                headers=headers,
                timeout=_timeout(request),
            ) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > (request.max_bytes or MAX_ANSWER_BYTES):
                        return _too_large()
                return _answer(response, bytes(body), headers)
        except _FAILURES as error:
            return _fault(error)

    async def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = await anyio.to_thread.run_sync(self._key.headers, request)
        try:
            async with self._others.stream(
                "GET", request.url, headers=headers, follow_redirects=True
            ) as response:
                if _is_exposed(request, response):
                    return Fault("the output was redirected from https to plain http", sent=True)
                answer = _answer(response, b"", headers)
                if await anyio.to_thread.run_sync(download.begin, answer.status, answer.headers):
                    async for chunk in response.aiter_raw():
                        await anyio.to_thread.run_sync(download.write, chunk)
                return answer
        except _FAILURES as error:
            return _fault(error)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others):
            await client.aclose()


def _answer(response: httpx.Response, body: bytes, sent: Mapping[str, str]) -> Answer:
    """The answer without the key, should the gateway repeat it: answers end up in messages and logs."""
    key = sent.get(KEY_HEADER)
    headers = dict(response.headers)
    # No key is so short, but a word of the answer may be.
    if key and len(key) >= 12:
        body = body.replace(key.encode(), b"[key]")
        headers = {name: value.replace(key, "[key]") for name, value in headers.items()}
    return Answer(response.status_code, headers, body)


def _is_exposed(request: Request, response: httpx.Response) -> bool:
    """Whether what was to come over https came over something else in the end."""
    return request.url.startswith("https:") and response.url.scheme != "https"


def _too_large() -> Fault:
    return Fault("the answer is larger than it may be", sent=True)


def _timeout(request: Request) -> httpx.Timeout:
    if request.timeout is not None:
        return httpx.Timeout(request.timeout, connect=10.0, pool=None)
    return _SUBMIT_TIMEOUT if request.method == "POST" else _TIMEOUT


def _fault(error: Exception) -> Fault:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(reason, sent=not isinstance(error, _NOT_SENT))


@contextmanager
def _usable_environment() -> Generator[None]:
    """Say as ConfigError what httpx cannot work with: a proxy or certificates named by the environment."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        raise ConfigError(
            f"the proxy or certificate settings of the environment cannot be used: {error}"
        ) from error
