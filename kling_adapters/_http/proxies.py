"""Proxies of the environment."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kling_adapters.errors import ConfigError
from kling_adapters.protocol.gateway import Gateway

if TYPE_CHECKING:
    from kling_adapters._http.library import httpx


@dataclass(frozen=True)
class ProxyRule:
    """The proxy for the URLs that match a pattern of httpx.

    Attributes:
        pattern: The pattern, such as `https://` or `all://*.example`.
        proxy: The URL of the proxy, which may contain a password; None for a direct connection.
        source: The name of the environment variable, or the settings of the system.
        entry: The entry of NO_PROXY; empty for a proxy.

    """

    pattern: str
    proxy: str | None
    source: str
    entry: str = ""


def read_proxy_rules() -> list[ProxyRule]:
    """Return the rules of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or of the settings of the system.

    Raises ConfigError for a rule that httpx cannot use.
    """
    if not _may_have_proxies():
        return []
    from urllib.request import getproxies

    proxies = getproxies()
    exceptions = [name.strip() for name in proxies.get("no", "").split(",")]
    if "*" in exceptions:
        return []
    rules = [
        ProxyRule(f"{scheme}://", proxy if "://" in proxy else f"http://{proxy}", _source(scheme))
        for scheme in ("http", "https", "all")
        if (proxy := proxies.get(scheme))
    ]
    rules += [ProxyRule(_pattern(name), None, _source("no"), name) for name in exceptions if name]
    for rule in rules:
        _check_rule(rule)
    return rules


def _may_have_proxies() -> bool:
    """Return whether proxies may be set, without urllib.request, which is slow to import."""
    has_system_settings = sys.platform in ("darwin", "win32")
    return has_system_settings or any(name.lower().endswith("_proxy") for name in os.environ)


def make_gateway_rule(gateway: Gateway, proxy: str) -> ProxyRule:
    """Return the rule of a proxy for every URL. Raises ConfigError if it is unusable or would see the API key."""
    if gateway.base_url.startswith("http://"):
        raise ConfigError(
            f"proxy cannot be used with {gateway.base_url}: the proxy would see the API key. Use a gateway "
            "with https, or leave out proxy. Nothing was sent"
        )
    rule = ProxyRule("all://", proxy, "proxy")
    _check_rule(rule)
    return rule


def find_proxy(rules: Iterable[ProxyRule], url: str) -> str | None:
    """Return the proxy for a URL; None for a direct connection. httpx matches the patterns."""
    from kling_adapters._http.library import httpx

    def use(proxy: str | None) -> httpx.MockTransport:
        return httpx.MockTransport(lambda _: httpx.Response(200, extensions={"proxy": proxy}))

    mounts = {rule.pattern: use(rule.proxy) for rule in rules}
    if not mounts:
        return None
    with httpx.Client(transport=use(None), mounts=mounts, trust_env=False) as client:
        try:
            proxy: str | None = client.get(url).extensions["proxy"]
        except (httpx.InvalidURL, ValueError):
            return None  # Requests to it fail before they are sent.
    return proxy


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


def _check_rule(rule: ProxyRule) -> None:
    """Raise ConfigError for a rule that httpx cannot use. The message does not contain the proxy."""
    from kling_adapters._http.library import httpx

    try:
        is_usable = _is_usable(rule)
    except ImportError:
        raise ConfigError(
            f"{rule.source} names a SOCKS proxy, for which a package is missing: pip install 'httpx[socks]'. "
            "Nothing was sent"
        ) from None
    except (ValueError, httpx.InvalidURL):
        is_usable = False
    if is_usable:
        return
    if rule.proxy is None:
        raise ConfigError(
            f"{rule.source} contains {rule.entry!r}, which cannot be used. Set it to host names and "
            "addresses with commas between them; write IPv6 addresses without brackets, and leave out "
            "networks of IPv6. Nothing was sent"
        ) from None
    raise ConfigError(
        f"{rule.source} is not the address of a proxy. Set it to a URL such as http://proxy.example:3128, "
        "with percent-escapes for special characters in a user name or password. Nothing was sent"
    ) from None


def _is_usable(rule: ProxyRule) -> bool:
    from kling_adapters._http.library import httpx

    pattern = httpx.URL(rule.pattern)
    if rule.proxy is None:
        return bool(pattern.host)
    httpx.HTTPTransport(proxy=rule.proxy, verify=False).close()
    proxy = httpx.URL(rule.proxy)
    # A password with a slash or # ends the host before the @.
    return bool(proxy.host) and "@" not in proxy.raw_path.decode() + proxy.fragment
