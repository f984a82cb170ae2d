"""Access to the application: browsers with the cookie, programs with the token, and no page of another site."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_serve.api.errors import RequestError, refuse

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every response: nothing inline, and nothing from elsewhere."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # With no-referrer, the Origin of a form that is sent would be null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OPEN_PATHS: Final = "/static/"
_WRONG_HOST: Final = (
    "This is not an address of the studio. Use localhost, or start it with --allow-host NAME."
)
LINK_SECONDS: Final = 600.0
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_DENIED: Final = (
    "Open the address that `kling studio` has printed, or make a new link in an open studio. Programs send the header "
    "Authorization: Bearer TOKEN; `kling serve` prints the file of the token."
)


class Links:
    """One-time codes that sign a browser in."""

    def __init__(self) -> None:
        self._codes: dict[str, float] = {}

    def create(self) -> str:
        """Return a new code, which works once and for ten minutes."""
        now = time.monotonic()
        self._codes = {code: end for code, end in self._codes.items() if end > now}
        code = secrets.token_urlsafe(24)
        self._codes[code] = now + LINK_SECONDS
        return code

    def redeem(self, code: str) -> bool:
        """Return whether a code is valid, and make it invalid."""
        return self._codes.pop(code, 0.0) > time.monotonic()


@dataclass(frozen=True)
class Access:
    """The checks of a request, before any page or interface gets it.

    `request.state.owner` is then the name of the token: "studio" for browsers and for the token of the application.

    Attributes:
        app: The application.
        tokens: Names by token; a program sends one as `Authorization: Bearer TOKEN`.
        session: The value of the cookie of browsers.
        links: The one-time codes.
        allowed_hosts: Names of this machine in small letters, beside localhost and loopback addresses.

    """

    app: ASGIApp
    tokens: Mapping[str, str] = field(repr=False)
    session: str = field(repr=False)
    links: Links
    allowed_hosts: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = self._check(scope)
        await (response or self.app)(scope, receive, _with_headers(send, str(scope["path"])))

    def _check(self, scope: Scope) -> Response | None:
        """Return the response to a request that is refused, or signs a browser in; None for any other."""
        connection, path = HTTPConnection(scope), str(scope["path"])
        headers = connection.headers
        host = headers.get("host", "")
        if not self._allows_host(host):
            return _refuse(path, 421, _WRONG_HOST)
        if scope["method"] not in _SAFE_METHODS and not _is_same_origin(headers, host):
            return _refuse(path, 403, "Pages of other sites cannot use the studio.")
        if path == "/enter":
            return self._enter(connection, host)
        owner = "" if path.startswith(OPEN_PATHS) else self._find_owner(connection, host)
        if owner is None:
            return _refuse(path, 401, _DENIED)
        scope.setdefault("state", {})["owner"] = owner
        return None

    def _allows_host(self, header: str) -> bool:
        match = _HOST.fullmatch(header.lower())
        if match is None:
            return False
        name = match[1].strip("[]")
        if name == "localhost" or name in self.allowed_hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _enter(self, connection: HTTPConnection, host: str) -> Response:
        if not self.links.redeem(connection.query_params.get("code", "")):
            return _refuse("/enter", 401, f"This link has been used or is too old. {_DENIED}")
        response = RedirectResponse("/", 303)
        # With strict, the link would not sign in from a terminal or a notebook in the browser. Requests that change
        # something have the check of their origin.
        response.set_cookie(
            _cookie_name(host), self.session, max_age=365 * 86400, httponly=True, samesite="lax"
        )
        return response

    def _find_owner(self, connection: HTTPConnection, host: str) -> str | None:
        """Return the name of the token of a request; None without a valid one."""
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return next(
                (name for valid, name in self.tokens.items() if _is_equal(valid, token.strip())), None
            )
        session = connection.cookies.get(_cookie_name(host), "")
        return "studio" if _is_equal(session, self.session) else None


def _cookie_name(host: str) -> str:
    # Browsers send the cookies of one port to every other.
    return f"kling_studio_{host.rpartition(':')[2] if ':' in host else 80}"


def _is_equal(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode(), second.encode())


def _is_same_origin(headers: Headers, host: str) -> bool:
    """Return whether a request comes from a page of the studio, or from no page."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    return origin is None or origin.lower().partition("://")[2] == host.lower()


def _refuse(path: str, status: int, message: str) -> Response:
    return refuse(path, RequestError(status, message, "access_denied"))


def _with_headers(send: Send, path: str) -> Send:
    # The address of a static file changes with its content.
    caching = "private, max-age=3600" if path.startswith(OPEN_PATHS) else "no-store"

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", caching)
        await send(message)

    return send_with_headers
