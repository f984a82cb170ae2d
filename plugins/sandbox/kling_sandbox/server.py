"""An HTTP server in a thread."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from kling_sandbox.addresses import make_origin
from kling_sandbox.wire import Protocol


@contextmanager
def run_server(app: ASGIApp, host: str, port: int) -> Generator[str]:
    """Serve an application. Yield its base URL for clients on this machine. Raises OSError if it cannot listen."""
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            app,
            http=Protocol,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="kling-sandbox", daemon=True)
        thread.start()
        try:
            server.listening.wait()
            yield _local_url(*listener.getsockname()[:2])
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    """A server with an event for the time at which it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _local_url(host: str, port: int) -> str:
    return make_origin({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    is_dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    listener = socket.create_server(address, family=family, backlog=1024, dualstack_ipv6=is_dual)
    # Only a socket made from its number knows its protocol, without which asyncio delays each response by 40 ms.
    return socket.socket(fileno=listener.detach())
