"""The receiver: where it is, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import httpx

from kling_adapters import ConfigError
from kling_webhook.message import Message
from kling_webhook.signing import read_secrets

SECONDS = 10.0
"""How long to wait for a connection, and for each part of an answer."""
AT_ONCE = 4
"""How many messages are under way at once."""


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
        except httpx.InvalidURL:
            where = httpx.URL()
        schemes = {"https", "http"} if where.host in {"localhost", "127.0.0.1", "::1"} else {"https"}
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
            timeout=httpx.Timeout(SECONDS, pool=None),
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0),  # nothing to close
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
            answer = self._client.post(self._origin, content=body, headers=headers, extensions=self._target)
        except httpx.HTTPError as error:
            said = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            return Failure(f"{type(error).__name__}{said}", may_pass=True)
        if answer.is_success:
            return None
        status = answer.status_code
        return Failure(f"it answered {status}", may_pass=status in {408, 429} or status >= 500)
