"""Pictures from servers on this machine; no other host is contacted, not even for its address."""

import http.client
import socket
import threading
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from kling_sandbox.access import is_loopback

_MAX_BYTES: Final = 50 * 1024 * 1024
_SECONDS: Final = 5.0


def fetch(url: str) -> bytes | None:
    """Return the body at an http URL on loopback; None for any other URL, and after any failure.

    The limits are 50 MB and 5 seconds. Redirects and proxies are not used, because they reach other hosts.
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
    # The timeout of a socket applies to each read; a server that sends single bytes never exceeds it.
    deadline = time.monotonic() + _SECONDS
    timer = threading.Timer(_SECONDS, _shut_down, [connection.sock])
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", target, headers={"User-Agent": "kling-sandbox-renderer"})
        response = connection.getresponse()
        body = response.read(_MAX_BYTES + 1)
    finally:
        timer.cancel()
    # A body that ended at the deadline may look complete.
    is_complete = time.monotonic() < deadline and not response.length and len(body) <= _MAX_BYTES
    return body if response.status == 200 and is_complete else None


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
