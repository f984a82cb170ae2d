"""One exchange with the gateway or a file server; both transports share it."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx

from kling_adapters._http.deadline import Deadline, NotConnected, OutOfTime
from kling_adapters._http.masking import mask_keys, mask_logs
from kling_adapters._version import __version__
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.protocol.download import MAX_SECONDS, TooSlow
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Request

MAX_ANSWER_BYTES = 16 * 1024**2
# The timeouts below are per read; this caps the whole body, and the time before it.
MAX_ANSWER_SECONDS = 120.0

# A submit has more time, because a timeout leaves it uncertain whether a job was started. Waiting for a
# connection of the pool has no timeout: nothing has been sent yet.
_SUBMIT_TIMEOUT = httpx.Timeout(120.0, connect=10.0, pool=None)
_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)

# Raised before a byte of the request is sent. httpx.InvalidURL is not one: the Location of an answer raises
# it, too.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    NotConnected,
)
FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    NotConnected,
    OutOfTime,
    TooSlow,
    ValueError,  # a header, or the host of a redirect, that cannot be decoded
    OverflowError,  # a port
    ExceptionGroup,  # anyio wraps the errors above
)
"""Exceptions that become a Fault."""


class Exchange:
    """One request and its answer. `keys` collects the keys that were sent; answers must not repeat them."""

    def __init__(self, gateway: Gateway, request: Request, keys: set[str]) -> None:
        self._request = request
        self._keys = keys
        self._max_bytes = request.max_bytes or MAX_ANSWER_BYTES
        self._deadline = Deadline(_total_seconds(request))
        self._headers = _make_headers(gateway, request)
        if KEY_HEADER in self._headers:
            keys.add(self._headers[KEY_HEADER])
        self._body = bytearray()
        self._is_decoded = False

    @contextmanager
    def start(self) -> Generator[dict[str, Any]]:
        """Yield the arguments of `httpx.Client.stream`; observe the deadline and mask logs until the end.

        Raises NotConnected for a URL without a usable host.
        """
        _check_url(self._request.url)
        with self._deadline.activate(), mask_logs(self._keys):
            yield {
                "method": self._request.method,
                "url": self._request.url,
                "headers": self._headers,
                "timeout": _step_timeout(self._request),
            }

    def start_body(self, *, is_decoded: bool) -> None:
        """Limit the time of the body of an answer, whose chunks are without compression if `is_decoded`."""
        self._is_decoded = is_decoded
        self._deadline.shorten(max(self._request.timeout or 0.0, MAX_ANSWER_SECONDS))

    def start_file(self) -> None:
        """Limit the time of the body of a file."""
        if self._request.deadline is None:
            self._deadline.restart(MAX_SECONDS)

    def add_chunk(self, chunk: bytes) -> None:
        """Append a chunk to the body. Raises httpx.ReadError if it is too large."""
        self._body += chunk
        self._check_size(self._body)

    def read_head(self, response: httpx.Response) -> Answer:
        """Return the answer without its body, with masked keys: messages and logs repeat answers."""
        headers = {name: mask_keys(self._keys, value) for name, value in response.headers.items()}
        return Answer(response.status_code, headers, b"")

    def read_answer(self, response: httpx.Response) -> Answer:
        """Return the complete answer, with masked keys."""
        body = bytes(self._body)
        if response.headers.get("content-encoding") == "gzip" and not self._is_decoded:
            body = self._decompress(body)
        body = mask_keys(self._keys, body.decode("latin-1")).encode("latin-1")
        return replace(self.read_head(response), body=body)

    def _decompress(self, body: bytes) -> bytes:
        """Decompress one layer of gzip up to the size limit; httpx would decompress all, to any size."""
        try:
            content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        self._check_size(content)
        return content

    def _check_size(self, body: bytes | bytearray) -> None:
        if len(body) > self._max_bytes:
            raise httpx.ReadError(f"the answer is larger than {self._max_bytes} bytes")


def make_fault(error: Exception, keys: set[str]) -> Fault:
    """Return the failure of an exchange, with masked keys: a parser quotes the line that it cannot read."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(mask_keys(keys, reason), sent=not isinstance(error, _NOT_SENT))


def _make_headers(gateway: Gateway, request: Request) -> dict[str, str]:
    """Return the headers of a request. Only requests to the gateway's own addresses have the key."""
    headers = {
        "user-agent": f"kling-adapters/{__version__}",
        "accept-encoding": "gzip",
        **request.headers,
    }
    is_to_gateway = request.url.startswith(f"{gateway.base_url}/") or request.url == gateway.upload_url
    if request.key is not None and is_to_gateway:
        headers[KEY_HEADER] = request.key
    return headers


def _check_url(text: str) -> None:
    """Raise NotConnected for a URL that httpx or the resolver of the system cannot use."""
    try:
        url = httpx.URL(text)
        _ = url.host, url.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise NotConnected(f"the URL cannot be used: {error}") from error


def _total_seconds(request: Request) -> float:
    """Return the seconds for the whole exchange."""
    if request.deadline is not None:
        return request.deadline
    timeout = _step_timeout(request)
    return (
        sum(seconds or 0.0 for seconds in (timeout.connect, timeout.write, timeout.read)) + MAX_ANSWER_SECONDS
    )


def _step_timeout(request: Request) -> httpx.Timeout:
    """Return the timeouts of the steps of an exchange."""
    if request.timeout is not None:
        return httpx.Timeout(request.timeout, connect=10.0, pool=request.deadline)
    timeout = _SUBMIT_TIMEOUT if request.method == "POST" else _TIMEOUT
    if request.deadline is None:
        return timeout
    return httpx.Timeout(**{**timeout.as_dict(), "pool": request.deadline})
