"""Hosts to which the key may be sent over http: this machine, and those in KLING_LOCAL_HOSTS."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address

from kling_adapters.errors import ConfigError

VARIABLE = "KLING_LOCAL_HOSTS"


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or an address, is this machine by definition."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_local_host(host: str) -> bool:
    """Return whether a host is this machine or is named in KLING_LOCAL_HOSTS. Raises ConfigError."""
    return is_loopback(host) or host.lower().removesuffix(".") in _read_names()


def _read_names() -> set[str]:
    names = {part.strip().lower().removesuffix(".") for part in os.environ.get(VARIABLE, "").split(",")}
    for name in names - {""}:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|[0-9a-f:]+", name):
            raise ConfigError(
                f"{VARIABLE} must be host names with commas between them, such as sandbox,host.docker.internal; "
                f"{name!r} is not a host name"
            )
    return names - {""}
