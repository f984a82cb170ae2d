"""Networks that outputs may be fetched from: an answer may contain the URL of a private service."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.protocol.local_hosts import is_loopback

VARIABLE = "KLING_OUTPUT_NETWORKS"
"""Environment variable: private networks that outputs may be fetched from."""

_NAT64 = IPv6Network("64:ff9b::/96")
_Address: TypeAlias = IPv4Address | IPv6Address


class OutputNetworks:
    """Public addresses, and the networks of KLING_OUTPUT_NETWORKS.

    Raises ConfigError if the variable is invalid.
    """

    def __init__(self) -> None:
        names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
        try:
            self._networks = [ip_network(name, strict=False) for name in names if name]
        except ValueError as error:
            raise ConfigError(
                f"{VARIABLE} must be networks with commas between them, such as 198.18.0.0/15,10.0.0.0/8: "
                f"{error}. Nothing was sent"
            ) from error

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the addresses of a host that may be connected to. Raises StorageError if there is none."""
        unique = list(dict.fromkeys(addresses))
        allowed = [address for address in unique if self._allows(address)]
        if not allowed:
            raise StorageError(
                f"the output is at {host}, which has no public address here ({', '.join(unique[:4])}), and "
                f"was not fetched. If this network is correct, name it in {VARIABLE}, such as "
                f"{VARIABLE}={_suggest_network(unique)}, and save again"
            )
        return allowed

    def check_host(self, host: str) -> None:
        """Check a host that needs no lookup: an address, or a name of this machine. Raises StorageError."""
        if address := _read_address(host):
            self.check(host, [address])
        elif is_loopback(host):
            self.check(host, ["127.0.0.1"])

    def _allows(self, text: str) -> bool:
        address = _embedded_address(ip_address(text.partition("%")[0]))
        if any(address in network for network in self._networks):
            return True
        is_special = address.is_multicast or address.is_reserved or address.is_unspecified
        if isinstance(address, IPv6Address):
            # 6to4 and Teredo contain an arbitrary IPv4 address.
            is_special = is_special or address.is_site_local or bool(address.sixtofour or address.teredo)
        return address.is_global and not is_special


def _embedded_address(address: _Address) -> _Address:
    """Return the IPv4 address in a mapped or NAT64 IPv6 address; otherwise the address itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address
    return address


def _read_address(host: str) -> str | None:
    """Return a host as an address, in any notation that a resolver accepts; None for a name."""
    host = host.rstrip(".")
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch("[0-9a-fA-FxX.]+", host) else None
    except OSError:
        return None


def _suggest_network(addresses: list[str]) -> str:
    address = ip_address(addresses[0].partition("%")[0]) if addresses else IPv4Address("10.0.0.0")
    return f"{address}/{address.max_prefixlen}"
