"""The server of the application, in the foreground."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

import uvicorn

from kling_adapters import ConfigError, KlingError
from kling_serve.app import make_app
from kling_serve.settings import Settings


def run(settings: Settings, host: str, port: int, on_ready: Callable[[str, str, str], None]) -> None:
    """Serve the application until SIGINT or SIGTERM.

    Args:
        settings: The settings of the application.
        host: The address to listen at.
        port: The port; 0 for a free one.
        on_ready: Receives the base URL, a link that signs a browser in, and the token for programs, when requests are
            answered.

    Raises:
        OSError: The folder of the settings cannot be used.
        KlingError: The application could not start, or the address cannot be listened at.

    """
    app = make_app(settings)
    with _listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        base_url = f"http://{name}:{listener.getsockname()[1]}"
        link = f"{base_url}/enter?code={app.state.studio.links.create()}"
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",  # `run` raises the reason of a failure to start
            access_log=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
        server = _Server(config, lambda: on_ready(base_url, link, app.state.token))
        try:
            server.run([listener])
        finally:
            failure: KlingError | None = app.state.failure
            if failure is not None:
                raise failure


class _Server(uvicorn.Server):
    """A server that reports when it answers requests."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        if self.started:
            self._on_ready()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ConfigError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listener = socket.create_server(address, family=family, backlog=1024, dualstack_ipv6=is_dual)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"the address {host} cannot be used. Pass another --host")
        raise ConfigError(f"the studio cannot listen at port {port} of {host}: {reason}") from error
    # Only a socket made from its number knows its protocol, without which asyncio delays each response by 40 ms.
    return socket.socket(fileno=listener.detach())


_REASONS: Final = {
    errno.EADDRINUSE: "another program uses the port. Pass another --port, or 0 for a free one",
    errno.EACCES: "the port may not be used by this user. Pass a --port of 1024 or more",
}
