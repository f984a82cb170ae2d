"""Signing secrets, and verification of received webhooks."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import standardwebhooks

from kling_adapters import ConfigError, KlingError
from kling_webhook.settings import SECRET


def read_secrets(configured: str | Sequence[str] | None = None) -> tuple[standardwebhooks.Webhook, ...]:
    """Create a signer for each secret.

    Args:
        configured: The secrets: a list, or a text separated by spaces. Empty reads KLING_WEBHOOK_SECRET.

    Returns:
        The signers, which also verify.

    Raises:
        ConfigError: There is no secret, or a secret is not 24 to 64 bytes in base64 (`whsec_` is optional).

    """
    configured = configured or os.environ.get(SECRET, "")
    secrets = configured.split() if isinstance(configured, str) else configured
    if not secrets:
        raise ConfigError(f"the webhook has no secret to sign with: set {SECRET}. Nothing was sent.")
    return tuple(
        standardwebhooks.Webhook(_decode_secret(secret, number)) for number, secret in enumerate(secrets, 1)
    )


def _decode_secret(secret: str, number: int) -> bytes:
    # The library ignores invalid base64 and accepts a key of one byte.
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(
            f"secret {number} of the webhook is invalid: expected whsec_ and 24 to 64 bytes in base64"
        )
    return key


class Request(Protocol):
    """The part of a request that `receive` uses; FastAPI and Starlette requests match it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by lower-case name or independent of case."""
        ...

    async def body(self) -> bytes:
        """Return the unmodified body."""
        ...


@dataclass(frozen=True)
class WebhookEvent:
    """A verified webhook.

    Attributes:
        id: The id, equal in all deliveries of an event: store it for a day, and ignore duplicates.
        type: The type of the event, from the table in the README.
        timestamp: The time of the event.
        data: The fields of the event, from the table in the README.

    """

    id: str
    type: str
    timestamp: datetime
    data: Mapping[str, Any] = field(repr=False)


class WebhookRefused(KlingError):
    """The request is not a valid webhook; respond with `status`.

    Attributes:
        status: 401 if the signature is invalid, or the timestamp differs by more than five minutes; 400 if the
            signature is valid and the body is not.

    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


async def receive(request: Request, secret: str | Sequence[str] | None = None) -> WebhookEvent:
    """Verify a request and parse its webhook.

    Args:
        request: The request.
        secret: The secrets, as for `Webhook`; one of them must match. None reads KLING_WEBHOOK_SECRET.

    Returns:
        The verified event.

    Raises:
        WebhookRefused: The request is not a valid webhook; it has the `status` for the response.
        ConfigError: A secret is invalid.

    """
    verifiers = read_secrets(secret)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: request.headers.get(name, "") for name in names}
    body = await request.body()
    for verifier in verifiers:
        with suppress(
            standardwebhooks.WebhookVerificationError, ValueError
        ):  # ValueError: a malformed header
            verifier.verify(body, headers, json_parse=False)
            break
    else:
        raise WebhookRefused(
            401, "the signature does not match, or the timestamp differs by more than five minutes"
        )
    try:
        event = json.loads(body)
        timestamp = datetime.fromisoformat(event["timestamp"])
        return WebhookEvent(headers["webhook-id"], event["type"], timestamp, dict(event["data"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise WebhookRefused(400, "the body is not an object with type, timestamp and data") from None
