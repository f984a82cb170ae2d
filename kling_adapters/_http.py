"""The only module that imports httpx: sends requests, and says of a failure whether anything may have arrived."""

from __future__ import annotations

from collections.abc import Callable

import anyio.to_thread
import httpx

from kling_adapters._version import __version__
from kling_adapters.download import Download
from kling_adapters.errors import ConfigError
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.wire import Answer, Fault, Gateway, Outcome, Request

MAX_ANSWER_BYTES = 16 * 1024**2
CHUNK_BYTES = 256 * 1024

# A submit is given longer to be answered, since running out of time leaves it unknown whether a job was started.
# Nobody is hurried out of the pool: waiting there is only waiting.
_SUBMIT_TIMEOUT = httpx.Timeout(120.0, connect=10.0, pool=None)
_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)

# An idle connection may be closed by the gateway just as a submit is written to it, and then nobody knows whether it
# arrived. So each submit opens its own. A pool larger than 32 makes httpx slower, not faster.
_SUBMIT_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=32)

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)


class _Headers:
    """Adds to a request what it is sent with; the key only to the gateway's own address."""

    def __init__(self, gateway: Gateway, api_key: Callable[[], str]) -> None:
        self._gateway = gateway
        self._api_key = api_key

    def __call__(self, request: Request) -> dict[str, str]:
        headers = {"user-agent": f"kling-adapters/{__version__}", **request.headers}
        if request.to_gateway and request.url.startswith(self._gateway.base_url + "/"):
            key = self._api_key()
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(
                    "the API key holds characters that no key has, such as spaces or line ends; nothing was sent"
                )
            headers[KEY_HEADER] = key
        return headers


class SyncTransport:
    """Sends requests and blocks until they are answered."""

    def __init__(self, gateway: Gateway, api_key: Callable[[], str]) -> None:
        self._headers = _Headers(gateway, api_key)
        trust = httpx.create_ssl_context()  # shared: reading the certificates is what takes time
        self._submits = httpx.Client(timeout=_SUBMIT_TIMEOUT, limits=_SUBMIT_LIMITS, verify=trust)
        self._others = httpx.Client(timeout=_TIMEOUT, limits=_LIMITS, verify=trust)

    def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = self._headers(request)
        try:
            with client.stream(
                request.method, request.url, content=request.body, headers=headers
            ) as response:
                body = b""
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return _too_large()
                return _answer(response, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _fault(error)

    def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = self._headers(request)
        try:
            with self._others.stream("GET", request.url, headers=headers, follow_redirects=True) as response:
                answer = _answer(response, b"")
                if download.begin(answer.status, answer.headers):
                    for chunk in response.iter_raw(CHUNK_BYTES):
                        download.write(chunk)
                return answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _fault(error)

    def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others):
            client.close()


class AsyncTransport:
    """The same for asyncio (or trio, through anyio)."""

    def __init__(self, gateway: Gateway, api_key: Callable[[], str]) -> None:
        self._headers = _Headers(gateway, api_key)
        trust = httpx.create_ssl_context()  # shared: reading the certificates is what takes time
        self._submits = httpx.AsyncClient(timeout=_SUBMIT_TIMEOUT, limits=_SUBMIT_LIMITS, verify=trust)
        self._others = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, verify=trust)

    async def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = await anyio.to_thread.run_sync(self._headers, request)
        try:
            async with client.stream(
                request.method, request.url, content=request.body, headers=headers
            ) as response:
                body = b""
                async for chunk in response.aiter_bytes(CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return _too_large()
                return _answer(response, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _fault(error)

    async def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = await anyio.to_thread.run_sync(self._headers, request)
        try:
            async with self._others.stream(
                "GET", request.url, headers=headers, follow_redirects=True
            ) as response:
                answer = _answer(response, b"")
                if download.begin(answer.status, answer.headers):
                    async for chunk in response.aiter_raw(CHUNK_BYTES):
                        await anyio.to_thread.run_sync(download.write, chunk)
                return answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _fault(error)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others):
            await client.aclose()


def _answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, dict(response.headers), body)


def _too_large() -> Fault:
    return Fault(f"the answer is larger than {MAX_ANSWER_BYTES} bytes", sent=True)


def _fault(error: httpx.HTTPError | httpx.InvalidURL) -> Fault:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(reason, sent=not isinstance(error, _NOT_SENT))
