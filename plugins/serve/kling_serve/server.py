"""The server of the application, in the foreground."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kling_adapters import KlingError
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
        OSError: The address cannot be listened at, or the folder of the settings cannot be used.
        KlingError: The application could not start.

    """
    app = make_app(settings)
    with _listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        base_url = f"http://{name}:{listener.getsockname()[1]}"
        link = f"{base_url}/enter?code={app.state.studio.links.create()}"
        config = uvicorn.Config(
            _hide_traceback(app),
            log_config=None,
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


def _hide_traceback(app: ASGIApp) -> ASGIApp:
    """Return an application whose failure to start is not logged with its traceback, because `run` raises it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_message(message: Message) -> None:
            is_failure = message["type"] == "lifespan.startup.failed"
            await send({**message, "message": ""} if is_failure else message)

        await app(scope, receive, send_message if scope["type"] == "lifespan" else send)

    return call


class _Server(uvicorn.Server):
    """A server that reports when it answers requests."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = addresses[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
