"""Access checks: no web page in a browser on this machine can use the sandbox.

A page can send requests to any address, but it cannot change two headers: `Host` contains the name in the URL, which
after DNS rebinding is the name of the page's own site, and `Origin` contains the site of the page.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

CONTROL_PREFIX: Final = "/_sandbox/"
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)


class HostCheck:
    """Checks the Host and Origin headers of requests."""

    def __init__(self, listen_host: str, allowed_hosts: Collection[str] = ()) -> None:
        """`listen_host` is the address of the sandbox; `allowed_hosts` are additional names."""
        self._names = {_normalize_name(name) for name in ("localhost", listen_host, *allowed_hosts)}
        self._is_shared = not is_loopback(listen_host)

    def allows(self, host_header: str) -> bool:
        """Return whether a Host header is a name of this sandbox.

        IP addresses and `localhost` are safe from DNS rebinding. If other machines can connect, names that cannot exist
        in public DNS are allowed too: names of containers and of machines in the local network.
        """
        match = _HOST.fullmatch(host_header.lower())
        if match is None:
            return False
        name = _normalize_name(match[1])
        if name in self._names or name.endswith(".localhost") or _is_address(name):
            return True
        return self._is_shared and ("." not in name or name.endswith(".internal"))

    def protect(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind the checks. The response to a refused request is 403."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            problem = self._problem(scope["path"], Headers(scope=scope))
            responder = app if problem is None else JSONResponse({"error": problem}, 403)
            await responder(scope, receive, send)

        return check

    def _problem(self, path: str, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        # Browsers always send Host; HTTP/1.0 clients may omit it.
        if host is not None and not self.allows(host):
            return (
                f"The Host header is not a name of this sandbox: {host[:100]!r}. "
                "Use its base URL, or start it with --allow-host NAME."
            )
        if path.startswith(CONTROL_PREFIX) and origin is not None and not _is_same_host(origin, host):
            return "The control interface refuses requests from web pages of another origin."
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host is `localhost` or a loopback address, without DNS."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _normalize_name(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_host(origin: str, host: str | None) -> bool:
    _, separator, origin_host = origin.partition("://")
    return bool(separator) and host is not None and origin_host.lower() == host.lower()
