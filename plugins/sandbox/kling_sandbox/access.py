"""Who may call the sandbox: no web page that a browser on this machine shows, however it got there.

A page can send requests to any address. Its browser tells the truth in two headers: `Host` holds the name that the page
used, which is the page's own name if that name was made to lead here (DNS rebinding), and `Origin` says where the page is from.
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
    """Decides which host names a request may use for this sandbox."""

    def __init__(self, listen_host: str, allowed_hosts: Collection[str] = ()) -> None:
        """Take the address that the sandbox listens at, and further names that requests may use."""
        self._names = {_normalize_name(name) for name in ("localhost", listen_host, *allowed_hosts)}
        self._is_shared = not is_loopback(listen_host)

    def allows(self, host_header: str) -> bool:
        """Tell whether a Host header names this sandbox.

        An address cannot be made to lead elsewhere, and `localhost` never does. When other machines may connect, names
        that the public name service cannot hold are allowed too: those of containers and of machines nearby.
        """
        match = _HOST.fullmatch(host_header.lower())
        if match is None:
            return False
        name = _normalize_name(match[1])
        if name in self._names or name.endswith(".localhost") or _is_address(name):
            return True
        return self._is_shared and ("." not in name or name.endswith(".internal"))

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind the checks; a request that is refused is answered 403 and does nothing."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            problem = self._problem(scope["path"], Headers(scope=scope))
            answer = app if problem is None else JSONResponse({"error": problem}, 403)
            await answer(scope, receive, send)

        return check

    def _problem(self, path: str, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        # A browser always sends Host; HTTP/1.0 clients may not.
        if host is not None and not self.allows(host):
            return (
                f"The Host header is not a name of this sandbox: {host[:100]!r}. "
                "Use its base URL, or start it with --allow-host NAME."
            )
        if path.startswith(CONTROL_PREFIX) and origin is not None and not _is_same_host(origin, host):
            return "The control interface takes no requests from web pages of another origin."
        return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine and nothing else, without asking the name service."""
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
