"""The application of kling-serve in a thread, for programs that speak to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from kling_serve.app import make_app
from kling_serve.settings import Settings
from kling_serve.studio import Studio


@dataclass(frozen=True)
class ServedApp:
    """An application that answers requests."""

    base_url: str
    token: str
    studio: Studio


@contextmanager
def serve_app(settings: Settings) -> Iterator[ServedApp]:
    """Run the application until the block ends."""
    app: Any = make_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield ServedApp(base_url, app.state.token, app.state.studio)
        finally:
            server.should_exit = True
            thread.join()
