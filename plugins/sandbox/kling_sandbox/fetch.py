"""Pictures from this machine; no other host is ever contacted, not even to resolve its name."""

import http.client
import socket
import threading
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from kling_sandbox.access import is_loopback

_LARGEST: Final = 50 * 1024 * 1024
_SECONDS: Final = 5.0


def fetch(url: str) -> bytes | None:
    """Return the body behind an http URL on loopback; None for any other URL, and if anything goes wrong.

    At most 50 MB within 5 s. Redirects are not followed and proxies not used: both would lead elsewhere.
    """
    try:
        address = urlsplit(url)
        if address.scheme != "http" or not is_loopback(address.hostname or ""):
            return None
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=_SECONDS)
        try:
            connection.connect()
            target = (address.path or "/") + (f"?{address.query}" if address.query else "")
            return _get(connection, target)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _get(connection: http.client.HTTPConnection, target: str) -> bytes | None:
    # A timeout of the socket is one of each read; a server that sends a byte at a time would meet it for hours.
    deadline = time.monotonic() + _SECONDS
    timer = threading.Timer(_SECONDS, _shut_down, [connection.sock])
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", target, headers={"User-Agent": "kling-sandbox-renderer"})
        response = connection.getresponse()
        body = response.read(_LARGEST + 1)
    finally:
        timer.cancel()
    # A body that was cut off there may look whole.
    is_whole = time.monotonic() < deadline and not response.length and len(body) <= _LARGEST
    return body if response.status == 200 and is_whole else None


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
