"""For whoever receives webhooks, with FastAPI, Starlette, or anything whose requests look like theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import standardwebhooks

from kling_adapters import KlingError
from kling_webhook.endpoint import read_secrets


class Request(Protocol):
    """What `receive` needs of a request."""

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

    400: it lacks the headers or has a body of another form. 401: it is not signed with the secret, was changed
    on its way, or is more than five minutes old or early.
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
    if not all(headers.values()):
        raise WebhookRefused(400, f"a webhook has the headers {', '.join(names)}")
    body = await request.body()
    if not any(_is_genuine(verifier, body, headers) for verifier in verifiers):
        raise WebhookRefused(401, "the signature does not fit, or the webhook is too old or from the future")
    try:
        found = json.loads(body)
        kind, data = found["type"], found["data"]
        timestamp = datetime.fromisoformat(found["timestamp"])
    except (ValueError, LookupError, TypeError):
        kind = data = timestamp = None
    if timestamp is None or not isinstance(kind, str) or not isinstance(data, dict):
        raise WebhookRefused(400, "the body is not an object with type, timestamp and data")
    return WebhookEvent(headers["webhook-id"], kind, timestamp, data)


def _is_genuine(verifier: standardwebhooks.Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        verifier.verify(body, headers, json_parse=False)
    except (standardwebhooks.WebhookVerificationError, ValueError):  # ValueError: a header that is malformed
        return False
    return True
