"""Webhook receiver: its URL, one delivery attempt, and the meaning of the response."""

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

ATTEMPT_SECONDS = 10.0
"""Maximum seconds of an attempt, from connecting to the status of the response."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Failure(NamedTuple):
    """Failed delivery of a message.

    Attributes:
        reason: The reason, without secrets.
        is_temporary: Whether a retry may succeed.

    """

    reason: str
    is_temporary: bool


class Endpoint:
    """A webhook receiver.

    Args:
        url: The URL of the receiver: https, or http on this machine.
        secret: The signing secrets. None reads KLING_WEBHOOK_SECRET.

    Raises:
        ConfigError: The URL or a secret is invalid. The message contains neither.

    """

    def __init__(self, url: str, secret: str | Sequence[str] | None = None) -> None:
        try:
            target = httpx.URL(url)
            # Validate the displayed form of the host and the form that the system resolver receives.
            _ = target.host, target.raw_host.decode("ascii").encode("idna")
        except (httpx.InvalidURL, UnicodeError):
            target = httpx.URL()
        is_local = target.host in LOCAL_HOSTS
        schemes = {"https", "http"} if is_local else {"https"}
        if not target.host or target.scheme not in schemes:
            raise ConfigError("the webhook URL must be https, or http on this machine. Nothing was sent.")
        self._signers = read_secrets(secret)
        # httpx logs URLs, and the path of a webhook is often a secret, so the path is passed as an extension.
        self._origin = target.copy_with(userinfo=b"", raw_path=b"/", fragment=None)
        self._request_target = {"target": target.raw_path}
        self._client = httpx.Client(
            auth=(target.username, target.password) if target.userinfo else None,
            timeout=httpx.Timeout(ATTEMPT_SECONDS),
            limits=httpx.Limits(max_keepalive_connections=0),  # no open connections to close
            # A proxy must not receive local requests with their signatures and passwords.
            trust_env=not is_local,
        )

    def post(self, message: Message) -> Failure | None:
        """Send a message once, without following redirects.

        Args:
            message: The message to send.

        Returns:
            The failure, or None if the message was delivered.

        """
        body, now = json.dumps(message.payload), datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message.id, now, body) for signer in self._signers),
        }
        try:
            with (
                _limit_attempt() as deadline,
                # The response body has no meaning and may be of any size, so it is not read.
                self._client.stream(
                    *("POST", self._origin),
                    content=body,
                    headers=headers,
                    extensions={**self._request_target, "trace": deadline.trace},
                ) as response,
            ):
                status = response.status_code
        except httpx.HTTPError as error:
            if deadline.is_over:
                return Failure(f"no response within {ATTEMPT_SECONDS:g} seconds", is_temporary=True)
            detail = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            return Failure(f"{type(error).__name__}{detail}", is_temporary=True)
        if 200 <= status < 300:
            return None
        return Failure(
            f"the receiver returned status {status}", is_temporary=status in {408, 429} or status >= 500
        )


class _AttemptDeadline:
    """Closes the connection of an attempt at its deadline, because the timeouts of httpx apply per read."""

    def __init__(self) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None

    def trace(self, _: str, info: dict[str, Any]) -> None:
        """Store the socket from the trace events of httpcore."""
        get_extra_info = getattr(info.get("return_value"), "get_extra_info", None)
        if get_extra_info is not None:
            self._socket = get_extra_info("socket")
            if self.is_over:
                self.expire()

    def expire(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def _limit_attempt() -> Generator[_AttemptDeadline]:
    deadline = _AttemptDeadline()
    timer = threading.Timer(ATTEMPT_SECONDS, deadline.expire)
    timer.daemon = True
    # Python 3.12 and later start no thread while the process exits: the limit of `kling_close` is the deadline then.
    with suppress(RuntimeError):
        timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()
