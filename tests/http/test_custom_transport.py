"""Transports that the caller passes to the client: of httpx, of httpx2, and any object with their method."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from kling_sandbox import Sandbox

from tests.support.clients import OpenClient
from tests.support.http_library import HTTPX, LIBRARIES

ID = "3f2b1c4d-0000-4000-8000-000000000001"

pytestmark = pytest.mark.parametrize("library", LIBRARIES, ids=[library.__name__ for library in LIBRARIES])


def test_gzip_answer_that_was_read_is_understood(library: Any, open_client: OpenClient) -> None:
    def answer(request: Any) -> Any:
        assert type(request) is library.Request
        body = gzip.compress(json.dumps({"status": "QUEUED", "request_id": ID}).encode())
        # httpx decodes the body of such a response when it is made.
        return library.Response(200, headers={"content-encoding": "gzip"}, content=body)

    transport = library.MockTransport(answer)
    with open_client("https://gateway.example", transport=transport, journal=None) as kling:
        assert kling.submit("kling-2", prompt="x").request_id == ID


class Reader:
    """Sends requests over a transport of httpx or httpx2 and reads the answers. It has no method to close it."""

    def __init__(self, library: Any) -> None:
        self.request_types: set[type] = set()
        self._library = library
        self._sync, self._async = library.HTTPTransport(), library.AsyncHTTPTransport()

    def handle_request(self, request: Any) -> Any:
        with self._sync as transport:
            response = transport.handle_request(self._convert(request))
            response.read()
        return response

    async def handle_async_request(self, request: Any) -> Any:
        async with self._async as transport:
            response = await transport.handle_async_request(self._convert(request))
            await response.aread()
        return response

    def _convert(self, request: Any) -> Any:
        self.request_types.add(type(request))
        return self._library.Request(
            request.method, str(request.url), headers=request.headers.raw, content=request.read()
        )


def test_object_with_the_method_is_a_transport(
    library: Any, open_client: OpenClient, sandbox: Sandbox
) -> None:
    transport = Reader(library)
    with open_client(sandbox, transport=transport, journal=None) as kling:
        assert kling.run("kling-2", prompt="x").output
    [request_type] = transport.request_types
    assert request_type.__module__ == HTTPX


def test_transport_sends_every_request_of_a_job(
    library: Any, open_client: OpenClient, sandbox: Sandbox
) -> None:
    is_async = open_client(sandbox, journal=None).is_async
    transport = library.AsyncHTTPTransport() if is_async else library.HTTPTransport()
    with open_client(sandbox, transport=transport, journal=None) as kling:
        assert kling.run("kling-2", prompt="x").output
