"""The httpx clients of a transport, with their limits, proxies, certificates and checked addresses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, NamedTuple, TypeVar

import httpx

from kling_adapters._http.backends import AsyncBackend, Backend, CheckAddresses
from kling_adapters._http.output_networks import OutputNetworks
from kling_adapters._http.proxies import ProxyRule, make_proxy_rule, read_proxy_rules
from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.protocol.gateway import Gateway

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

# The gateway may close an idle connection just as a submit is written to it, and then it is uncertain whether
# the submit was received. So each submit opens a connection. A pool larger than 32 makes httpx slower.
_SUBMIT_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=0)
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=32)


class Clients(NamedTuple, Generic[C]):
    """The clients of a transport: for submits, for other requests to the gateway, and for files."""

    submits: C
    queries: C
    files: C


class ClientFactory:
    """Makes the clients of a transport.

    Raises ConfigError if the proxies, certificates or output networks of the environment cannot be used.

    Args:
        gateway: The gateway of the client.
        proxy: URL of a proxy for every request; None for the proxies of the environment.

    """

    def __init__(self, gateway: Gateway, proxy: str | None) -> None:
        if proxy is not None:
            self._proxy_rules = [_make_proxy_rule(gateway, proxy)]
        else:
            # A local gateway needs no proxy, and uses plain http, where a proxy could read the key.
            self._proxy_rules = [] if gateway.is_local else read_proxy_rules()
        self._networks = None if gateway.is_local else OutputNetworks()
        # Reading the certificates is slow, so all clients share them.
        with _convert_certificate_errors():
            self._certificates = httpx.create_ssl_context()

    def make_sync_clients(self, custom: httpx.BaseTransport | None) -> Clients[httpx.Client]:
        """Return blocking clients. `custom` is the transport of the caller to the gateway."""
        options = self._client_options(httpx.HTTPTransport, Backend, self._check_file_request, custom)
        return Clients(*(httpx.Client(**kwargs) for kwargs in options))

    def make_async_clients(self, custom: httpx.AsyncBaseTransport | None) -> Clients[httpx.AsyncClient]:
        """Return asynchronous clients. `custom` is the transport of the caller to the gateway."""

        async def check_file_request(request: httpx.Request) -> None:
            self._check_file_request(request)

        options = self._client_options(httpx.AsyncHTTPTransport, AsyncBackend, check_file_request, custom)
        return Clients(*(httpx.AsyncClient(**kwargs) for kwargs in options))

    def _client_options(
        self,
        transport_type: type[httpx.HTTPTransport | httpx.AsyncHTTPTransport],
        backend_type: type[Backend | AsyncBackend],
        check_file_request: Callable[[httpx.Request], Any],
        custom: httpx.BaseTransport | httpx.AsyncBaseTransport | None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the options of the three clients."""

        def make_options(limits: httpx.Limits, check: CheckAddresses | None = None) -> dict[str, Any]:
            def make_transport(proxy: str | None) -> Any:
                transport = transport_type(verify=self._certificates, limits=limits, proxy=proxy)
                # A proxy looks names up itself, so their addresses are not known here.
                _wrap_backend(transport, backend_type, check if proxy is None else None)
                return transport

            mounts = {
                rule.pattern: None if rule.proxy is None else make_transport(rule.proxy)
                for rule in self._proxy_rules
            }
            return {"transport": make_transport(None), "mounts": mounts, **_common_options()}

        for limits in (_SUBMIT_LIMITS, _LIMITS):
            yield make_options(limits) if custom is None else {"transport": custom, **_common_options()}
        if self._networks is None:
            yield make_options(_LIMITS) | {"follow_redirects": True}
        else:
            # httpx calls the hook for redirects, too.
            hooks = {"request": [check_file_request]}
            options = make_options(_LIMITS, self._networks.check)
            yield options | {"follow_redirects": True, "event_hooks": hooks}

    def _check_file_request(self, request: httpx.Request) -> None:
        """Raise StorageError for plain http or an address of a private network. Backends check names."""
        if request.url.scheme != "https":
            raise StorageError("the output was redirected from https to plain http, and was not fetched")
        if self._networks is not None:
            self._networks.check_host(request.url.host)


def _common_options() -> dict[str, Any]:
    return {
        # Session cookies are secrets, and a cookie jar ignores ports.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # Proxies and certificates of the environment are in the transports.
        "trust_env": False,
    }


def _make_proxy_rule(gateway: Gateway, proxy: str) -> ProxyRule:
    """Return the rule of a proxy that the caller passed. Raises ConfigError if it would see the API key."""
    if gateway.base_url.startswith("http://"):
        raise ConfigError(
            f"proxy cannot be used with {gateway.base_url}: the proxy would see the API key. Use a gateway "
            "with https, or leave out proxy. Nothing was sent"
        )
    return make_proxy_rule(proxy)


def _wrap_backend(
    transport: Any, backend_type: type[Backend | AsyncBackend], check: CheckAddresses | None
) -> None:
    """Wrap the network backend of a transport. httpx has no public way to set one."""
    pool = transport._pool  # noqa: SLF001
    pool._network_backend = backend_type(pool._network_backend, check)  # noqa: SLF001


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
