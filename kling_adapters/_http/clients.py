"""The connections of a transport, with their limits, proxies, certificates and checked addresses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, NamedTuple, TypeVar

from kling_adapters._http.backends import AsyncBackend, Backend, CheckAddresses
from kling_adapters._http.custom import AsyncGatewayTransport, GatewayTransport, find_request_type
from kling_adapters._http.library import httpx
from kling_adapters._http.output_networks import OutputNetworks
from kling_adapters._http.proxies import find_proxy, make_gateway_rule, read_proxy_rules
from kling_adapters._http.queues import MAX_CONNECTIONS, TaskQueue, ThreadQueue
from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.protocol.gateway import Gateway

C = TypeVar("C", httpx.Client, httpx.AsyncClient)
Q = TypeVar("Q", ThreadQueue, TaskQueue)
T = TypeVar("T", GatewayTransport, AsyncGatewayTransport)

# The gateway may close an idle connection just as a submit is written to it, and then it is uncertain whether
# the submit was received. So each submit opens a connection.
_SUBMIT_LIMITS = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)


class Route(NamedTuple, Generic[T, Q]):
    """The transport of a request to the gateway, the queue for its connections, and the class of its requests."""

    transport: T
    queue: Q
    request_type: type[httpx.Request]


class Connections(NamedTuple, Generic[T, Q, C]):
    """The connections of a transport: three routes to the gateway, and a client for files, with its queue."""

    submits: Route[T, Q]
    uploads: Route[T, Q]
    queries: Route[T, Q]
    files: C
    file_queue: Q


class ConnectionFactory:
    """Makes the connections of a transport.

    Raises ConfigError if the proxies, certificates or output networks of the environment cannot be used.

    Args:
        gateway: The gateway of the client.
        proxy: URL of a proxy for every request; None for the proxies of the environment.

    """

    def __init__(self, gateway: Gateway, proxy: str | None) -> None:
        self._gateway = gateway
        if proxy is not None:
            self._proxy_rules = [make_gateway_rule(gateway, proxy)]
        else:
            # A local gateway needs no proxy, and uses plain http, where a proxy could read the key.
            self._proxy_rules = [] if gateway.is_local else read_proxy_rules()
        self._networks = None if gateway.is_local else OutputNetworks()
        # Reading the certificates is slow, so all transports share them.
        with _convert_certificate_errors():
            self._certificates = httpx.create_ssl_context()

    def connect(
        self, custom: GatewayTransport | None
    ) -> Connections[GatewayTransport, ThreadQueue, httpx.Client]:
        """Return the connections of a blocking transport. `custom` is the transport of the caller to the gateway."""
        make = partial(self._make_transport, httpx.HTTPTransport, Backend)
        files = httpx.Client(**self._file_options(make, self._check_file_request))
        submits, uploads, queries = (
            Route(transport, ThreadQueue(), find_request_type(transport))
            for transport in self._gateway_transports(make, custom)
        )
        return Connections(submits, uploads, queries, files, ThreadQueue())

    def connect_async(
        self, custom: AsyncGatewayTransport | None
    ) -> Connections[AsyncGatewayTransport, TaskQueue, httpx.AsyncClient]:
        """Return the connections of an asynchronous transport, like `connect`."""

        async def check_file_request(request: httpx.Request) -> None:
            self._check_file_request(request)

        make = partial(self._make_transport, httpx.AsyncHTTPTransport, AsyncBackend)
        files = httpx.AsyncClient(**self._file_options(make, check_file_request))
        submits, uploads, queries = (
            Route(transport, TaskQueue(), find_request_type(transport))
            for transport in self._gateway_transports(make, custom)
        )
        return Connections(submits, uploads, queries, files, TaskQueue())

    def _gateway_transports(self, make: Callable[..., T], custom: T | None) -> list[T]:
        """Return the transports for submits, uploads and queries."""
        if custom is not None:
            return [custom] * 3
        gateway, uploads = (
            find_proxy(self._proxy_rules, url) for url in (self._gateway.base_url, self._gateway.upload_url)
        )
        return [make(_SUBMIT_LIMITS, gateway), make(_SUBMIT_LIMITS, uploads), make(_LIMITS, gateway)]

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


@contextmanager
def _convert_certificate_errors() -> Generator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        raise ConfigError(
            f"{' or '.join(names) or 'the certificates of the system'} cannot be used: {error}. Set it to "
            "certificates in PEM format. Nothing was sent"
        ) from error
