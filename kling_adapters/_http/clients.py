"""The connections of a transport, with their limits, proxies, certificates and checked addresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, NamedTuple, TypeVar

from kling_adapters._http.backends import AsyncBackend, Backend, CheckAddresses
from kling_adapters._http.custom import AsyncGatewayTransport, GatewayTransport
from kling_adapters._http.library import find_request_type, httpx
from kling_adapters._http.proxies import find_proxy
from kling_adapters._http.queues import TaskQueue, ThreadQueue
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters.errors import StorageError

G = TypeVar("G", ThreadQueue[GatewayTransport], TaskQueue[AsyncGatewayTransport])
F = TypeVar("F", ThreadQueue[httpx.Client], TaskQueue[httpx.AsyncClient])
T = TypeVar("T", GatewayTransport, AsyncGatewayTransport)

# The gateway may close an idle connection just as a submit is written to it, and then it is uncertain whether
# the submit was received. So each submit opens a connection.
_SUBMIT_LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1)


class Connections(NamedTuple, Generic[G, F]):
    """The connections of a transport, to the gateway and for files.

    Attributes:
        submits: Transports for submits.
        uploads: Transports for uploads.
        history: Transports for the request history.
        queries: Transports for other requests to the gateway.
        files: Clients for files.
        request_type: The class of requests to the gateway.

    """

    submits: G
    uploads: G
    history: G
    queries: G
    files: F
    request_type: type[httpx.Request]


class ConnectionFactory:
    """Makes the connections of a transport.

    Args:
        settings: The settings of the client.

    Raises:
        ConfigError: The default certificates cannot be used.

    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._gateway = settings.gateway
        self._proxy_rules = settings.proxy_rules
        self._networks = settings.networks
        self._certificates = settings.load_certificates()

    def connect(
        self, custom: GatewayTransport | None
    ) -> Connections[ThreadQueue[GatewayTransport], ThreadQueue[httpx.Client]]:
        """Return the connections of a blocking transport. `custom` is the transport of the caller to the gateway."""
        make = partial(self._make_transport, httpx.HTTPTransport, Backend)
        submits, uploads, history, queries = map(ThreadQueue, self._gateway_makers(make, custom))
        files = ThreadQueue(lambda: httpx.Client(**self._file_options(make, self._check_file_request)))
        return Connections(submits, uploads, history, queries, files, find_request_type(custom))

    def connect_async(
        self, custom: AsyncGatewayTransport | None
    ) -> Connections[TaskQueue[AsyncGatewayTransport], TaskQueue[httpx.AsyncClient]]:
        """Return the connections of an asynchronous transport, like `connect`."""

        async def check_file_request(request: httpx.Request) -> None:
            self._check_file_request(request)

        make = partial(self._make_transport, httpx.AsyncHTTPTransport, AsyncBackend)
        submits, uploads, history, queries = map(TaskQueue, self._gateway_makers(make, custom))
        files = TaskQueue(lambda: httpx.AsyncClient(**self._file_options(make, check_file_request)))
        return Connections(submits, uploads, history, queries, files, find_request_type(custom))

    def _gateway_makers(self, make: Callable[..., T], custom: T | None) -> list[Callable[[], T]]:
        """Return the functions that make a transport for submits, uploads, the history and queries."""
        if custom is not None:
            return [lambda: custom] * 4
        addresses = self._gateway
        gateway, uploads, history = (
            find_proxy(self._proxy_rules, url)
            for url in (addresses.base_url, addresses.upload_url, addresses.history_url)
        )
        return [
            partial(make, _SUBMIT_LIMITS, gateway),
            partial(make, _SUBMIT_LIMITS, uploads),
            partial(make, _LIMITS, history),
            partial(make, _LIMITS, gateway),
        ]

    def _file_options(
        self, make: Callable[..., Any], check_request: Callable[[httpx.Request], Any]
    ) -> dict[str, Any]:
        """Return the options of the client for files."""
        check = None if self._networks is None else self._networks.check
        return {
            "transport": make(_LIMITS, None, check),
            "mounts": {
                # A proxy looks names up itself, so their addresses are not known here.
                rule.pattern: None if rule.proxy is None else make(_LIMITS, rule.proxy)
                for rule in self._proxy_rules
            },
            # httpx calls the hook for redirects, too.
            "event_hooks": {} if self._networks is None else {"request": [check_request]},
            "follow_redirects": True,
            # Session cookies are secrets, and a cookie jar ignores ports.
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # Proxies and certificates of the environment are in the transports.
            "trust_env": False,
        }

    def _make_transport(
        self,
        transport_type: type[httpx.HTTPTransport | httpx.AsyncHTTPTransport],
        backend_type: type[Backend | AsyncBackend],
        limits: httpx.Limits,
        proxy: str | None,
        check: CheckAddresses | None = None,
    ) -> Any:
        transport: Any = transport_type(verify=self._certificates, limits=limits, proxy=proxy)
        # httpx has no public way to set the network backend, nor has httpx2.
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = backend_type(pool._network_backend, check)  # noqa: SLF001
        return transport

    def _check_file_request(self, request: httpx.Request) -> None:
        """Raise StorageError for plain http or an address of a private network. Backends check names."""
        if request.url.scheme != "https":
            raise StorageError("the output was redirected from https to plain http, and was not fetched")
        if self._networks is not None:
            self._networks.check_host(request.url.host)
