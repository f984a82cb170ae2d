"""Pictures from this machine; no other host is ever contacted, not even to resolve its name."""

import http.client
import ipaddress
import time
from typing import Final
from urllib.parse import urlsplit

USER_AGENT: Final = "kling-sandbox-renderer"

_LARGEST: Final = 50 * 1024 * 1024
_SECONDS: Final = 5.0


def fetch(url: str) -> bytes | None:
    """Return the body behind an http URL on loopback; None for any other URL, and if anything goes wrong.

    At most 50 MB within 5 s. Redirects are not followed and proxies not used: both would lead elsewhere.
    """
    try:
        address = urlsplit(url)
        if address.scheme != "http" or not _loopback(address.hostname or ""):
            return None
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=_SECONDS)
        try:
            target = (address.path or "/") + (f"?{address.query}" if address.query else "")
            connection.request("GET", target, headers={"User-Agent": USER_AGENT})
            response = connection.getresponse()
            return _read(response) if response.status == 200 else None
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(response: http.client.HTTPResponse) -> bytes | None:
    deadline = time.monotonic() + _SECONDS
    body = bytearray()
    while chunk := response.read1(1 << 16):
        body += chunk
        if len(body) > _LARGEST or time.monotonic() > deadline:
            return None
    return bytes(body)
