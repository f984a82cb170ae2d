"""Addresses by which a client knows the sandbox, perhaps from another machine or through a mapped port."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from starlette.requests import Request

from kling_sandbox.access import is_loopback


def make_origin(host: str, port: int) -> str:
    """Return the first part of the URLs of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def find_base_url(request: Request) -> str:
    """Return the base URL by which the client calls the sandbox."""
    return f"http://{_find_netloc(request)}"


def _find_netloc(request: Request) -> str:
    netloc: str = request.headers.get("host") or make_origin(*request.scope["server"]).removeprefix("http://")
    return netloc


@dataclass(frozen=True)
class Sender:
    """The client that submitted a job."""

    netloc: str
    """Host and port by which it calls the sandbox."""
    is_on_this_machine: bool

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the sender of a request."""
        host = request.client.host if request.client else ""
        return cls(_find_netloc(request), is_loopback(host))

    def means_sandbox(self, url: str) -> bool:
        """Return whether a URL of this client is one of the sandbox: the same port, and the same host or loopback."""
        try:
            sandbox, target = urlsplit(f"http://{self.netloc}"), urlsplit(url)
            ports = sandbox.port or 80, target.port or 80
        except ValueError:
            return False
        if target.scheme != "http" or ports[0] != ports[1]:
            return False
        hosts = sandbox.hostname or "", target.hostname or ""
        return hosts[0] == hosts[1] or all(map(is_loopback, hosts))
