"""The secrets, and for whoever receives webhooks, what checks that one is genuine."""

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

SECRET = "KLING_WEBHOOK_SECRET"  # noqa: S105  the name of a variable


def read_secrets(given: str | Sequence[str] | None = None) -> tuple[standardwebhooks.Webhook, ...]:
    """Return what signs and verifies with each secret: of those given, or of the environment.

    Raises ConfigError if there is none, or for one that is not 24 to 64 bytes in base64, with or without `whsec_`.
    """
    given = given or os.environ.get(SECRET, "")
    secrets = given.split() if isinstance(given, str) else given
    if not secrets:
        raise ConfigError(f"the webhook has no secret to sign with: set {SECRET}. Nothing was sent")
    return tuple(standardwebhooks.Webhook(_key(secret, number)) for number, secret in enumerate(secrets, 1))


def _key(secret: str, number: int) -> bytes:
    # Not left to the library, which passes over what is no base64 and takes a key of one byte.
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(f"secret {number} of the webhook is not whsec_ and 24 to 64 bytes in base64")
    return key


class Request(Protocol):
    """What `receive` needs of a request; those of FastAPI and Starlette have it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by names in lower case or in whatever case they are asked for."""
        ...

    async def body(self) -> bytes:
        """Return the body as it came."""
        ...


@dataclass(frozen=True)
class WebhookEvent:
    """A webhook that is genuine.

    `id` is the same when it is sent again: remember it for a day, and ignore what you know. `type` is one of the
    README's table, `timestamp` when it happened, `data` what the table says.
    """

    id: str
    type: str
    timestamp: datetime
    data: Mapping[str, Any] = field(repr=False)


class WebhookRefused(KlingError):
    """The request is no genuine webhook; answer it with `status`.

    401: it is not signed with the secret, was changed on its way, or is more than five minutes old or early.
    400: it is signed, but has a body of another form.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


async def receive(request: Request, secret: str | Sequence[str] | None = None) -> WebhookEvent:
    """Check that a request is a genuine webhook, and return what it tells.

    `secret`: as for `Webhook`; of several, one must fit. By default that of the environment.
    Raises WebhookRefused, with the status to answer, and ConfigError for a secret that cannot be used.
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
        raise WebhookRefused(401, "the signature does not fit, or the webhook is too old or from the future")
    try:
        found = json.loads(body)
        timestamp = datetime.fromisoformat(found["timestamp"])
        return WebhookEvent(headers["webhook-id"], found["type"], timestamp, dict(found["data"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise WebhookRefused(400, "the body is not an object with type, timestamp and data") from None
