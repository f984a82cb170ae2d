"""The receiver: where it is, and what its answers mean."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx

from kling_adapters import ConfigError
from kling_webhook.message import Message
from kling_webhook.signing import read_secrets

SECONDS = 10.0
"""How long one attempt may take, from the connection to the status of the answer."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Failure(NamedTuple):
    """Why a message was not delivered, and whether it may be at another time."""

    reason: str
    may_pass: bool


class Endpoint:
    """One receiver. Raises ConfigError for a URL or a secret that cannot be used, and shows nothing of either.

    `secret`: one or several, by default those of the environment.
    """

    def __init__(self, url: str, secret: str | Sequence[str] | None = None) -> None:
        try:
            where = httpx.URL(url)
            # The name as it is shown, and as the resolver of the system takes it.
            _ = where.host, where.raw_host.decode("ascii").encode("idna")
        except (httpx.InvalidURL, UnicodeError):
            where = httpx.URL()
        is_local = where.host in LOCAL_HOSTS
        schemes = {"https", "http"} if is_local else {"https"}
        if not where.host or where.scheme not in schemes:
            raise ConfigError(
                "the URL of the webhook must be https, or http on this machine. Nothing was sent"
            )
        self._signers = read_secrets(secret)
        # httpx logs URLs, and the path of a webhook is often a secret: it goes the way that is not logged.
        self._origin = where.copy_with(userinfo=b"", raw_path=b"/", fragment=None)
        self._target = {"target": where.raw_path}
        self._client = httpx.Client(
            auth=(where.username, where.password) if where.userinfo else None,
            timeout=httpx.Timeout(SECONDS),
            limits=httpx.Limits(max_keepalive_connections=0),  # nothing to close
            # A proxy of the environment must not see what goes to this machine, signatures and passwords included.
            trust_env=not is_local,
        )

    def post(self, message: Message) -> Failure | None:
        """Send a message once, and return None if it was delivered. Redirects are not followed."""
        body, now = json.dumps(message.payload), datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message.id, now, body) for signer in self._signers),
        }
        try:
            with (
                _deadline() as watch,
                # The body of the answer is not read: it says nothing, and may be of any size.
                self._client.stream(
                    *("POST", self._origin),
                    content=body,
                    headers=headers,
                    extensions={**self._target, "trace": watch.trace},
                ) as answer,
            ):
                status = answer.status_code
        except httpx.HTTPError as error:
            if watch.is_over:
                return Failure(f"no answer within {SECONDS:g} seconds", may_pass=True)
            said = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            return Failure(f"{type(error).__name__}{said}", may_pass=True)
        if 200 <= status < 300:
            return None
        return Failure(f"it answered {status}", may_pass=status in {408, 429} or status >= 500)


class _Watch:
    """Breaks the connection of one attempt when its time is over: the timeouts of httpx are for each read."""

    def __init__(self) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None

    def trace(self, _: str, info: dict[str, Any]) -> None:
        """Learn the socket, from the events of the library below httpx."""
        get_extra_info = getattr(info.get("return_value"), "get_extra_info", None)
        if get_extra_info is not None:
            self._socket = get_extra_info("socket")
            if self.is_over:
                self.end()

    def end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def _deadline() -> Generator[_Watch]:
    watch = _Watch()
    timer = threading.Timer(SECONDS, watch.end)
    timer.daemon = True
    timer.start()
    try:
        yield watch
    finally:
        timer.cancel()
