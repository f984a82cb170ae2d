"""Signatures of webhooks as a receiver verifies them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_webhook import WebhookEvent, WebhookRefused, receive

from kling_adapters import ConfigError
from tests.plugins.webhook.conftest import BODY, SECOND_SECRET, SECRET, FakeRequest, sign_request


def receive_now(request: FakeRequest, secret: Any = SECRET) -> WebhookEvent:
    return anyio.run(receive, request, secret)


def test_valid_webhook_is_accepted(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = receive_now(sign_request())
    assert (event.id, event.type, event.data) == ("msg_1", "kling.job.expired", {"request_id": "r1"})
    assert event.timestamp == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert receive_now(sign_request(secret=SECOND_SECRET), [SECRET, SECOND_SECRET]) == event
    assert receive_now(sign_request(age=240)) == event
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{SECOND_SECRET} {SECRET}")
    assert anyio.run(receive, sign_request()) == event
    with pytest.raises(AttributeError):
        event.type = "another"  # type: ignore[misc]


def tampered_request() -> FakeRequest:
    request = sign_request()
    return FakeRequest(BODY.replace("r1", "r2").encode(), request.headers)


@pytest.mark.parametrize(
    ("status", "sign"),
    [
        (401, tampered_request),
        (401, lambda: sign_request(secret=SECOND_SECRET)),
        (401, lambda: sign_request(age=600)),
        (401, lambda: sign_request(age=-600)),
        (401, lambda: sign_request(webhook_id="msg_2")),
        (401, lambda: sign_request(webhook_timestamp="soon")),
        (401, lambda: sign_request(webhook_signature="v1")),
        (401, lambda: sign_request(webhook_signature="v1,\u00e9")),
        (401, lambda: sign_request(webhook_signature="v1,a,b v2,c")),
        (401, lambda: FakeRequest(b"\xff", sign_request().headers)),
        (401, lambda: sign_request(webhook_signature="")),
        (401, lambda: FakeRequest(BODY.encode(), {})),
        (400, lambda: sign_request("not json")),
        (400, lambda: sign_request("[]")),
        (400, lambda: sign_request(BODY.replace("2026-11-21T12:00:00Z", "noon"))),
        (400, lambda: sign_request(BODY.replace('{"request_id":"r1"}', "1"))),
    ],
)
def test_invalid_webhook_is_refused(status: int, sign: Callable[[], FakeRequest]) -> None:
    # Signed in the test, because a signature expires and collection may be long before.
    with pytest.raises(WebhookRefused) as caught:
        receive_now(sign())
    assert caught.value.status == status
    assert SECRET not in str(caught.value)


def test_invalid_receiver_secret_is_config_error(letters: Path) -> None:
    for secret in ("short", "", None):
        with pytest.raises(ConfigError):
            receive_now(sign_request(), secret)
