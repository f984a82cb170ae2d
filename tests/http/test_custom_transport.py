"""Answers of a transport that the caller passes to the client."""

from __future__ import annotations

import gzip
import json

import httpx

from tests.support.clients import OpenClient

ID = "3f2b1c4d-0000-4000-8000-000000000001"


def test_gzip_answer_that_was_read_is_understood(open_client: OpenClient) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = gzip.compress(json.dumps({"status": "QUEUED", "request_id": ID}).encode())
        # httpx decodes the body of such a response when it is made.
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=body)

    transport = httpx.MockTransport(answer)
    with open_client("https://gateway.example", transport=transport, journal=None) as kling:
        assert kling.submit("kling-2", prompt="x").request_id == ID
