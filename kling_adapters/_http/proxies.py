"""Proxies of the environment, as patterns of URLs; each with the name of the variable that it comes from."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.request import getproxies


@dataclass(frozen=True)
class ProxyRule:
    """The proxy for the URLs that match a pattern of httpx, None for none; `source` names its variable.

    `entry` is what NO_PROXY says, as it is written there.
    """

    pattern: str
    proxy: str | None
    source: str
    entry: str = ""


def read_proxy_rules() -> list[ProxyRule]:
    """Return the rules of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or of the system's settings."""
    proxies = getproxies()
    names = [name.strip() for name in proxies.get("no", "").split(",")]
    if "*" in names:
        return []
    rules = [
        ProxyRule(f"{scheme}://", proxy if "://" in proxy else f"http://{proxy}", _source(scheme))
        for scheme in ("http", "https", "all")
        if (proxy := proxies.get(scheme))
    ]
    return rules + [ProxyRule(_pattern(name), None, _source("no"), name) for name in names if name]


def _source(scheme: str) -> str:
    name = f"{scheme}_proxy"
    return next(
        (variable for variable in (name, name.upper()) if os.environ.get(variable)),
        "the proxy settings of the system",
    )


def _pattern(name: str) -> str:
    if "://" in name:
        return name
    try:
        address = ipaddress.ip_address(name.partition("/")[0])
    except ValueError:
        return f"all://{name}" if name.lower() == "localhost" else f"all://*{name}"
    return f"all://[{name}]" if address.version == 6 else f"all://{name}"
