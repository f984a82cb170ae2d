"""Proxies, output networks and certificates of a client."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kling_adapters._http.output_networks import OutputNetworks
from kling_adapters._http.proxies import make_gateway_rule, read_proxy_rules
from kling_adapters.errors import ConfigError
from kling_adapters.protocol.gateway import Gateway

if TYPE_CHECKING:
    import ssl


class ConnectionSettings:
    """Settings of the connections of a client, checked when it is made.

    The connections are made from them later: for the first request, in every event loop and in a forked child.

    Args:
        gateway: The gateway of the client.
        proxy: URL of a proxy for every request; None for the proxies of the environment.

    Attributes:
        gateway: The gateway of the client.
        proxy_rules: The proxies of the argument or the environment.
        networks: The networks that outputs may be fetched from; None for a local gateway, whose outputs are local.

    Raises:
        ConfigError: The proxies, certificates or output networks of the environment cannot be used.

    """

    def __init__(self, gateway: Gateway, proxy: str | None) -> None:
        self.gateway = gateway
        if proxy is not None:
            self.proxy_rules = [make_gateway_rule(gateway, proxy)]
        else:
            # A local gateway needs no proxy, and uses plain http, where a proxy could read the key.
            self.proxy_rules = [] if gateway.is_local else read_proxy_rules()
        self.networks = None if gateway.is_local else OutputNetworks()
        # Reading certificates is slow, so all connections share them, and the default ones are read for the first.
        self._certificates = _read_certificates()

    def load_certificates(self) -> ssl.SSLContext:
        """Return the certificates. Raises ConfigError if they cannot be used."""
        if self._certificates is None:
            from kling_adapters._http.library import httpx

            with _convert_certificate_errors("the certificates of the system"):
                self._certificates = httpx.create_ssl_context()
        return self._certificates


def _read_certificates() -> ssl.SSLContext | None:
    """Return the certificates of SSL_CERT_FILE or SSL_CERT_DIR, like httpx; None if neither is set."""
    file, folder = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if not file and not folder:
        return None
    import ssl  # slow to import

    with _convert_certificate_errors("SSL_CERT_FILE" if file else "SSL_CERT_DIR"):
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)


@contextmanager
def _convert_certificate_errors(source: str) -> Generator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{source} cannot be used: {error}. Set it to certificates in PEM format. Nothing was sent"
        ) from error
