"""The receiver: where it is, what its messages are signed with, and what its answers mean."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
import standardwebhooks

from kling_adapters import ConfigError
from kling_webhook.payload import Message

SECRET = "KLING_WEBHOOK_SECRET"  # noqa: S105  the name of a variable
SECONDS = 10.0
"""How long to wait for a connection, and for each part of an answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. `busy` and `unreachable` may be tried again; `gone` wants no more messages."""

    kind: Literal["delivered", "busy", "unreachable", "refused", "gone"]
    reason: str = ""


class Endpoint:
    """One receiver. Raises ConfigError for a URL that cannot be used; no message ever shows more than its origin."""

    def __init__(self, url: str, signers: Sequence[standardwebhooks.Webhook]) -> None:
        try:
            where = httpx.URL(url)
        except httpx.InvalidURL:
            raise ConfigError("the URL of the webhook cannot be read. Nothing was sent") from None
        if where.scheme not in {"http", "https"} or not where.host:
            raise ConfigError("the URL of the webhook must begin with https:// and a host. Nothing was sent")
        if where.scheme == "http" and not _is_this_machine(where.host):
            raise ConfigError(f"the webhook at {where.host} must be https: http is for this machine only")
        self._auth = (where.username, where.password) if where.userinfo else None
        # httpx logs URLs, and the path of a webhook is often a secret: it goes the way that is not logged.
        self.origin = str(where.copy_with(userinfo=b"", raw_path=b"/", fragment=None))
        self._target = where.raw_path
        self._signers = tuple(signers)
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def post(self, message: Message) -> Outcome:
        """Send a message once. Redirects are not followed."""
        body, now = message.body, datetime.now(UTC)
        signatures = [signer.sign(message.id, now, body) for signer in self._signers]
        headers = {
            "content-type": "application/json",
            "user-agent": "kling-webhook",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        with self._lock:
            self._client = client = self._client or httpx.Client(timeout=SECONDS, auth=self._auth)
        try:
            # What the receiver says beside the status is of no interest, however long it is.
            target = {"target": self._target}
            with client.stream(
                "POST", self.origin, content=body, headers=headers, extensions=target
            ) as answer:
                return _judge(answer.status_code)
        except httpx.HTTPError as error:
            said = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            return Outcome("unreachable", f"{type(error).__name__}{said}")

    def close(self) -> None:
        """Close the connections; another message opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def read_secrets(given: str | Sequence[str] | None = None) -> tuple[standardwebhooks.Webhook, ...]:
    """Return what signs and verifies with each secret: of those given, or of the environment.

    Raises ConfigError if there is none, or for one that is not 24 to 64 bytes in base64, with or without `whsec_`.
    """
    if given is None:
        given = os.environ.get(SECRET, "").strip()
        if not given and (file := os.environ.get(f"{SECRET}_FILE", "").strip()):
            try:
                given = Path(file).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{SECRET}_FILE cannot be read: {type(error).__name__}") from None
    secrets = given.split() if isinstance(given, str) else given
    if not secrets:
        raise ConfigError(
            f"the webhook has no secret to sign with: set {SECRET} or {SECRET}_FILE. Nothing was sent"
        )
    return tuple(standardwebhooks.Webhook(_key(secret, number)) for number, secret in enumerate(secrets, 1))


def _key(secret: str, number: int) -> bytes:
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(f"secret {number} of the webhook is not whsec_ and 24 to 64 bytes in base64")
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _judge(status: int) -> Outcome:
    answered = f"it answered {status}"
    if 200 <= status < 300:
        return Outcome("delivered")
    if status == 410:
        return Outcome("gone", f"{answered}: it wants no more")
    if status in {408, 429} or status >= 500:
        return Outcome("busy", answered)
    if 300 <= status < 400:
        return Outcome("refused", f"{answered}: redirects are not followed")
    return Outcome("refused", answered)
