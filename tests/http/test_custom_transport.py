"""Answers of a transport that the caller passes to the client."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx

from tests.support.play import Play

ID = "3f2b1c4d-0000-4000-8000-000000000001"


def test_gzip_answer_that_was_read_is_understood(play: Play) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = gzip.compress(json.dumps({"status": "QUEUED", "request_id": ID}).encode())
        # httpx decodes the body of such a response when it is made.
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=body)

    async def scenario(kling: Any) -> None:
        assert (await kling.submit("kling-2", prompt="x")).request_id == ID

    play(scenario, transport=httpx.MockTransport(answer), base_url="https://gateway.example", journal=None)
