"""One exchange with the gateway or a file server; both transports share it."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from kling_adapters._http.deadline import Deadline, NotConnected
from kling_adapters._http.failures import find_failures
from kling_adapters._http.library import httpx
from kling_adapters._http.masking import mask_keys, start_masking_logs, stop_masking_logs
from kling_adapters._version import __version__
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.protocol.download import MAX_SECONDS
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Request

MAX_ANSWER_BYTES = 16 * 1024**2
# The timeouts below are per read; this caps the whole body, and the time before it.
MAX_ANSWER_SECONDS = 120.0

# Seconds of the steps of an exchange, in the form of httpx. A submit has more, because a timeout leaves it uncertain
# whether a job was started.
_SUBMIT_SECONDS = {"connect": 10.0, "write": 120.0, "read": 120.0}
_SECONDS = {"connect": 10.0, "write": 30.0, "read": 30.0}


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
    def observe(self) -> Generator[None]:
        """Keep the deadline and mask logs until the end. Time in a queue counts only if the request has a deadline."""
        if self._request.deadline is None:
            self._deadline.restart(_total_seconds(self._request))
        deadline, masking = self._deadline.activate(), start_masking_logs(self._keys)
        try:
            yield
        finally:
            stop_masking_logs(masking)
            self._deadline.deactivate(deadline)

    @contextmanager
    def start(self) -> Generator[dict[str, Any]]:
        """Yield the arguments of `httpx.Client.stream`; observe the exchange until the end.

        Raises NotConnected for a URL without a usable host.
        """
        self.build_request(httpx.Request, None)
        with self.observe():
            yield self._arguments

    def build_request(self, request_type: type[httpx.Request], content: Any) -> httpx.Request:
        """Return the request for a transport. Raises NotConnected if httpx or the resolver cannot use it."""
        try:
            request = request_type(**self._arguments, content=content)
            # A host that cannot be decoded raises ValueError.
            _ = request.url.host
            _check_host(request.url.raw_host)
        except find_failures() as error:
            raise NotConnected(f"the URL cannot be used: {error}") from error
        return request

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            "method": self._request.method,
            "url": self._request.url,
            "headers": self._headers,
            "extensions": {"timeout": {**_step_seconds(self._request), "pool": self._request.deadline}},
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
        return Answer(response.status_code, self._read_headers(response), b"")

    def read_answer(self, response: httpx.Response) -> Answer:
        """Return the complete answer, with masked keys."""
        body = bytes(self._body)
        if response.headers.get("content-encoding") == "gzip" and not self._is_decoded:
            body = self._decompress(body)
        body = mask_keys(self._keys, body.decode("latin-1")).encode("latin-1")
        return Answer(response.status_code, self._read_headers(response), body)

    def _read_headers(self, response: httpx.Response) -> dict[str, str]:
        return {name: mask_keys(self._keys, value) for name, value in response.headers.items()}

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


def _make_headers(gateway: Gateway, request: Request) -> dict[str, str]:
    """Return the headers of a request. Only requests to the gateway's own addresses have the key."""
    headers = {
        "user-agent": f"kling-adapters/{__version__}",
        "accept": "*/*",
        "accept-encoding": "gzip",
        **request.headers,
    }
    if request.key is not None and gateway.takes_key(request.url):
        headers[KEY_HEADER] = request.key
    return headers


@lru_cache(maxsize=64)
def _check_host(raw_host: bytes) -> None:
    """Raise UnicodeError for a host that the resolver of the system cannot use."""
    raw_host.decode("ascii").encode("idna")


def _total_seconds(request: Request) -> float:
    """Return the seconds for the whole exchange."""
    if request.deadline is not None:
        return request.deadline
    return sum(_step_seconds(request).values()) + MAX_ANSWER_SECONDS


def _step_seconds(request: Request) -> dict[str, float]:
    """Return the seconds for each step of an exchange."""
    if request.timeout is not None:
        return {"connect": 10.0, "write": request.timeout, "read": request.timeout}
    return _SUBMIT_SECONDS if request.method == "POST" else _SECONDS
