"""The only module that imports httpx: sends requests, and says of a failure whether anything may have arrived."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeAlias

import anyio.to_thread
import httpx

from kling_adapters._http.masking import mask_keys
from kling_adapters._http.network import (
    AsyncBackend,
    Backend,
    CheckAddresses,
    Deadline,
    NotConnected,
    OutOfTime,
    OutputNetworks,
)
from kling_adapters._http.proxies import ProxyRule, read_proxy_rules
from kling_adapters._version import __version__
from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.models._gateway import KEY_HEADER
from kling_adapters.protocol.download import MAX_SECONDS, Download, TooSlow
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome, Request, UploadBody

GatewayTransport: TypeAlias = httpx.BaseTransport
AsyncGatewayTransport: TypeAlias = httpx.AsyncBaseTransport

MAX_ANSWER_BYTES = 16 * 1024**2
# The timeouts below are for each read; this caps the whole body, and what comes before it.
MAX_ANSWER_SECONDS = 120.0

# A submit is given longer to be answered, since running out of time leaves it unknown whether a job was started.
# Nobody is hurried out of the pool: waiting there is only waiting.
_SUBMIT_TIMEOUT = httpx.Timeout(120.0, connect=10.0, pool=None)
_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)

# An idle connection may be closed by the gateway just as a submit is written to it, and then nobody knows whether it
# arrived. So each submit opens its own. A pool larger than 32 makes httpx slower, not faster.
_SUBMIT_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=32)


# Raised before a byte of the request leaves. Not httpx.InvalidURL: it is also raised for the Location of an answer.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    NotConnected,
)
# The last three: a header or the host name of a redirect that cannot be decoded, a port that cannot be (anyio wraps it
# in a group).
_FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    NotConnected,
    OutOfTime,
    TooSlow,
    ValueError,
    OverflowError,
    ExceptionGroup,
)


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


class _Settings:
    """What the clients of one transport share: certificates, proxies, and the networks that outputs may come from."""

    def __init__(self, gateway: Gateway, proxy: str | None) -> None:
        if proxy is not None:
            self.rules = [_check_proxy(gateway, proxy)]
        else:
            # A gateway on this machine may speak plain http because nobody is on the way; a proxy would be.
            self.rules = [] if gateway.is_local else _usable_proxy_rules()
        self.networks = OutputNetworks()
        # Reading the certificates is what takes time, so it is done once.
        with _usable_certificates():
            self.verify = httpx.create_ssl_context()

    def client(
        self,
        custom: GatewayTransport | None = None,
        *,
        limits: httpx.Limits,
        check: bool = False,
        **options: Any,
    ) -> httpx.Client:
        """Make a client that blocks, over the caller's `custom` transport if there is one.

        With `check`, what it connects to without a proxy is checked.
        """
        if custom is not None:
            return httpx.Client(transport=custom, **self._options(), **options)

        def transport(proxy: str | None) -> httpx.HTTPTransport:
            made = httpx.HTTPTransport(verify=self.verify, limits=limits, proxy=proxy)
            # A proxy looks the name up itself, perhaps to another address.
            networks = self.networks.check if check and proxy is None else None
            _wrap_backend(made, Backend, networks)
            return made

        mounts = {rule.pattern: None if rule.proxy is None else transport(rule.proxy) for rule in self.rules}
        return httpx.Client(transport=transport(None), mounts=mounts, **self._options(), **options)

    def async_client(
        self,
        custom: AsyncGatewayTransport | None = None,
        *,
        limits: httpx.Limits,
        check: bool = False,
        **options: Any,
    ) -> httpx.AsyncClient:
        """Make a client that is awaited."""
        if custom is not None:
            return httpx.AsyncClient(transport=custom, **self._options(), **options)

        def transport(proxy: str | None) -> httpx.AsyncHTTPTransport:
            made = httpx.AsyncHTTPTransport(verify=self.verify, limits=limits, proxy=proxy)
            networks = self.networks.check if check and proxy is None else None
            _wrap_backend(made, AsyncBackend, networks)
            return made

        mounts = {rule.pattern: None if rule.proxy is None else transport(rule.proxy) for rule in self.rules}
        return httpx.AsyncClient(transport=transport(None), mounts=mounts, **self._options(), **options)

    @staticmethod
    def _options() -> dict[str, Any]:
        # A session cookie is a key too, and a jar knows no ports. The environment has been read.
        return {"cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())), "trust_env": False}


def _wrap_backend(
    transport: Any, backend: type[Backend | AsyncBackend], check: CheckAddresses | None
) -> None:
    """Put a network backend of ours before that of httpcore, which httpx has no public way to do."""
    pool = transport._pool  # noqa: SLF001
    pool._network_backend = backend(pool._network_backend, check)  # noqa: SLF001


class SyncTransport:
    """Sends requests and blocks until they are answered."""

    def __init__(
        self,
        gateway: Gateway,
        keys: set[str],
        proxy: str | None = None,
        custom: GatewayTransport | None = None,
    ) -> None:
        if custom is not None and not isinstance(custom, GatewayTransport):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"transport is of type {type(custom).__name__}; expected an httpx.BaseTransport. Nothing was sent"
            )
        self._gateway = gateway
        # Every key that was sent, also by other transports of the client: answers must not repeat one.
        self._keys = keys
        settings, check = _Settings(gateway, proxy), not gateway.is_local
        self._submits = settings.client(custom, limits=_SUBMIT_LIMITS)
        self._others = settings.client(custom, limits=_LIMITS)
        self._files = settings.client(limits=_LIMITS, check=check, follow_redirects=True)
        if check:
            # Of each redirect, too.
            self._files.event_hooks = {"request": [_refuse_private]}

    def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = _headers(self._gateway, request, self._keys)
        content = iter(request.body) if isinstance(request.body, UploadBody) else request.body
        try:
            _check_url(request)
            with (
                Deadline(_patience(request)).keep() as deadline,
                client.stream(
                    request.method, request.url, content=content, headers=headers, timeout=_timeout(request)
                ) as response,
            ):
                body = bytearray()
                deadline.cut(_body_seconds(request))
                for chunk in response.iter_raw():
                    body += chunk
                    _check_size(request, body)
                return _answer(response, _unpacked(request, response, bytes(body)), self._keys)
        except _FAILURES as error:
            return _fault(error, self._keys)

    def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = _headers(self._gateway, request, self._keys)
        try:
            with (
                Deadline(_patience(request)).keep() as deadline,
                self._files.stream(
                    "GET", request.url, headers=headers, timeout=_timeout(request)
                ) as response,
            ):
                answer = _answer(response, b"", self._keys)
                if download.begin(answer.status, answer.headers):
                    if request.deadline is None:
                        deadline.set(MAX_SECONDS)
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

    def __init__(
        self,
        gateway: Gateway,
        keys: set[str],
        proxy: str | None = None,
        custom: AsyncGatewayTransport | None = None,
    ) -> None:
        if custom is not None and not isinstance(custom, AsyncGatewayTransport):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"transport is of type {type(custom).__name__}; expected an httpx.AsyncBaseTransport. Nothing was sent"
            )
        self._gateway = gateway
        # Every key that was sent, also by other transports of the client: answers must not repeat one.
        self._keys = keys
        settings, check = _Settings(gateway, proxy), not gateway.is_local
        self._submits = settings.async_client(custom, limits=_SUBMIT_LIMITS)
        self._others = settings.async_client(custom, limits=_LIMITS)
        self._files = settings.async_client(limits=_LIMITS, check=check, follow_redirects=True)
        if check:
            self._files.event_hooks = {"request": [_refuse_private_async]}

    async def send(self, request: Request) -> Outcome:
        """Return the whole answer, or what prevented it."""
        client = self._submits if request.method == "POST" else self._others
        headers = _headers(self._gateway, request, self._keys)
        content = _read_in_threads(request.body) if isinstance(request.body, UploadBody) else request.body
        try:
            _check_url(request)
            with Deadline(_patience(request)).keep() as deadline:
                async with client.stream(
                    request.method, request.url, content=content, headers=headers, timeout=_timeout(request)
                ) as response:
                    body = bytearray()
                    deadline.cut(_body_seconds(request))
                    async for chunk in response.aiter_raw():
                        body += chunk
                        _check_size(request, body)
                    return _answer(response, _unpacked(request, response, bytes(body)), self._keys)
        except _FAILURES as error:
            return _fault(error, self._keys)

    async def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`; the answer comes back without it."""
        headers = _headers(self._gateway, request, self._keys)
        try:
            with Deadline(_patience(request)).keep() as deadline:
                async with self._files.stream(
                    "GET", request.url, headers=headers, timeout=_timeout(request)
                ) as response:
                    answer = _answer(response, b"", self._keys)
                    if await anyio.to_thread.run_sync(download.begin, answer.status, answer.headers):
                        if request.deadline is None:
                            deadline.set(MAX_SECONDS)
                        async for chunk in response.aiter_raw():
                            await anyio.to_thread.run_sync(download.write, chunk)
                    return answer
        except _FAILURES as error:
            return _fault(error, self._keys)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._submits, self._others, self._files):
            await client.aclose()


async def _read_in_threads(body: UploadBody) -> AsyncIterator[bytes]:
    pieces: Iterator[bytes | None] = iter(body)
    while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
        yield piece


def _check_url(request: Request) -> None:
    """Raise NotConnected for a URL that no connection can be made for."""
    try:
        url = httpx.URL(request.url)
        # The name as it is shown, and as the resolver of the system takes it.
        _ = url.host, url.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise NotConnected(f"the URL cannot be used: {error}") from error


def _check_size(request: Request, body: bytes | bytearray) -> None:
    """Raise httpx.ReadError for an answer that does not end."""
    if len(body) > (most := request.max_bytes or MAX_ANSWER_BYTES):
        raise httpx.ReadError(f"the answer is larger than {most} bytes")


def _body_seconds(request: Request) -> float:
    """Return the seconds within which a body must come once it has begun."""
    return max(request.timeout or 0.0, MAX_ANSWER_SECONDS)


def _patience(request: Request) -> float:
    """Return the seconds for the whole exchange."""
    if request.deadline is not None:
        return request.deadline
    timeout = _timeout(request)
    return (
        sum(seconds or 0.0 for seconds in (timeout.connect, timeout.write, timeout.read)) + MAX_ANSWER_SECONDS
    )


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
    _check_size(request, unpacked)
    return unpacked


def _answer(response: httpx.Response, body: bytes, keys: set[str]) -> Answer:
    """The answer without a key, should the gateway repeat it: answers end up in messages and logs."""
    headers = {name: mask_keys(keys, value) for name, value in response.headers.items()}
    return Answer(response.status_code, headers, mask_keys(keys, body.decode("latin-1")).encode("latin-1"))


def _refuse_private(request: httpx.Request) -> None:
    """Raise StorageError for what is not https, or an address of this network: an answer may name any URL.

    A name is checked when it is connected to, unless a proxy does that.
    """
    if request.url.scheme != "https":
        raise StorageError("the output was redirected from https to plain http, and was not fetched")
    OutputNetworks().check_host(request.url.host)


async def _refuse_private_async(request: httpx.Request) -> None:
    _refuse_private(request)


def _timeout(request: Request) -> httpx.Timeout:
    if request.timeout is not None:
        return httpx.Timeout(request.timeout, connect=10.0, pool=request.deadline)
    timeout = _SUBMIT_TIMEOUT if request.method == "POST" else _TIMEOUT
    if request.deadline is None:
        return timeout
    return httpx.Timeout(**{**timeout.as_dict(), "pool": request.deadline})


def _fault(error: Exception, keys: set[str]) -> Fault:
    """What prevented an answer; a parser quotes the line it cannot read, and that may hold the key."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(mask_keys(keys, reason), sent=not isinstance(error, _NOT_SENT))


def _usable_proxy_rules() -> list[ProxyRule]:
    """Return the proxies of the environment. Raises ConfigError for what httpx cannot work with.

    The value of a proxy is not repeated: it may hold a password.
    """
    return _usable_rules(read_proxy_rules())


def _usable_rules(rules: list[ProxyRule]) -> list[ProxyRule]:
    for rule in rules:
        try:
            is_usable = _is_usable(rule)
        except ImportError:
            raise ConfigError(
                f"{rule.source} names a SOCKS proxy, for which a package is missing: pip install 'httpx[socks]'. "
                "Nothing was sent"
            ) from None
        except (ValueError, httpx.InvalidURL):
            is_usable = False
        if not is_usable:
            raise ConfigError(_unusable_rule(rule))
    return rules


def _check_proxy(gateway: Gateway, proxy: str) -> ProxyRule:
    """Return the rule of a proxy that the caller named. Raises ConfigError."""
    if gateway.base_url.startswith("http://"):
        raise ConfigError(
            f"proxy cannot be used with {gateway.base_url}: the proxy would see the API key. Use a gateway with https, "
            "or leave out proxy. Nothing was sent"
        )
    return _usable_rules([ProxyRule("all://", proxy, "proxy")])[0]


def _is_usable(rule: ProxyRule) -> bool:
    pattern = httpx.URL(rule.pattern)
    if rule.proxy is None:
        return bool(pattern.host)
    httpx.HTTPTransport(proxy=rule.proxy, verify=False).close()
    proxy = httpx.URL(rule.proxy)
    # A password with a slash or a # in it ends the name of the host before the @.
    return bool(proxy.host) and "@" not in proxy.raw_path.decode() + proxy.fragment


def _unusable_rule(rule: ProxyRule) -> str:
    if rule.proxy is None:
        return (
            f"{rule.source} holds {rule.entry!r}, which cannot be used. Set it to host names and addresses with commas "
            "between them; write IPv6 addresses without brackets, and leave networks of IPv6 out. Nothing was sent"
        )
    return (
        f"{rule.source} is not the address of a proxy. Set it to a URL such as http://proxy.example:3128, with "
        "percent-escapes for what is special in a user name or password. Nothing was sent"
    )


@contextmanager
def _usable_certificates() -> Generator[None]:
    """Raise ConfigError for certificates of the environment that cannot be read."""
    try:
        yield
    except (ValueError, OSError) as error:
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        raise ConfigError(
            f"{' or '.join(names) or 'the certificates of the system'} cannot be used: {error}. Set it to "
            "certificates in PEM format. Nothing was sent"
        ) from error
