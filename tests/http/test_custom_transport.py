"""Transports that the caller passes to the client: of httpx, of httpx2, and any object with their method."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, ConfigError, SubmitUncertain, TransportError
from tests.support.clients import OpenClient
from tests.support.http_library import HTTPX, LIBRARIES
from tests.support.scripted_server import KEY

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


class Failing:
    """Raises an exception for every request, or returns a value that is not a response."""

    def __init__(self, outcome: Any) -> None:
        self.requests = 0
        self._outcome = outcome

    def handle_request(self, _request: Any) -> Any:
        self.requests += 1
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    async def handle_async_request(self, request: Any) -> Any:
        return self.handle_request(request)


@pytest.mark.parametrize(
    "name", ["ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"]
)
def test_exception_before_the_request_refuses_the_submit(
    library: Any, open_client: OpenClient, tmp_path: Path, name: str
) -> None:
    transport = Failing(getattr(library, name)("no way"))
    with open_client("https://gateway.example", transport=transport, journal=tmp_path / "journal") as kling:
        with pytest.raises(TransportError, match="no job was started"):
            kling.submit("kling-2", prompt="x")
        assert [entry.state for entry in kling.entries()] == ["REFUSED"]
    assert transport.requests > 1


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(lambda library: library.ReadError("cut"), id="ReadError"),
        pytest.param(lambda library: library.InvalidURL("cut"), id="InvalidURL"),
        pytest.param(lambda _: ValueError("cut"), id="ValueError"),
        pytest.param(lambda _: OverflowError("cut"), id="OverflowError"),
        pytest.param(lambda library: ExceptionGroup("", [library.ConnectError("cut")]), id="ExceptionGroup"),
        pytest.param(lambda _: None, id="None"),
        pytest.param(lambda _: {"request_id": ID}, id="dict"),
    ],
)
def test_other_outcome_makes_the_submit_uncertain(
    library: Any, open_client: OpenClient, tmp_path: Path, outcome: Any
) -> None:
    transport = Failing(outcome(library))
    options = {"journal": tmp_path / "journal", "history": False}
    with open_client("https://gateway.example", transport=transport, **options) as kling:
        with pytest.raises(SubmitUncertain):
            kling.submit("kling-2", prompt="x")
        assert [entry.state for entry in kling.entries()] == ["UNCERTAIN"]
    assert transport.requests == 1


def test_exception_of_another_kind_reaches_the_caller(
    library: Any, open_client: OpenClient, tmp_path: Path
) -> None:
    transport = Failing(RuntimeError("cut"))
    with open_client("https://gateway.example", transport=transport, journal=tmp_path / "journal") as kling:
        with pytest.raises(RuntimeError, match="cut"):
            kling.submit("kling-2", prompt="x")
        assert [entry.state for entry in kling.entries()] == ["UNCERTAIN"]


def test_value_that_is_not_a_response_is_named(library: Any, open_client: OpenClient) -> None:
    expected = "the transport returned an object of type NoneType; expected a Response of httpx or httpx2"
    with open_client(
        "https://gateway.example", transport=Failing(None), journal=None, history=False
    ) as kling:
        with pytest.raises(SubmitUncertain, match=expected):
            kling.submit("kling-2", prompt="x")
        with pytest.raises(TransportError, match=expected):
            kling.credits()


def test_plain_function_instead_of_a_coroutine_is_a_transport(library: Any) -> None:
    class Plain:
        def handle_async_request(self, _request: Any) -> Any:
            return library.Response(200, json={"credits": 42})

    async def main() -> float:
        transport: Any = Plain()
        async with AsyncKling(api_key=KEY, transport=transport, journal=None) as kling:
            return (await kling.credits()).credits or 0.0

    assert anyio.run(main) == 42


def test_class_instead_of_a_transport_is_refused(library: Any, open_client: OpenClient) -> None:
    with pytest.raises(
        ConfigError, match=r"the class MockTransport; .* MockTransport\(\.\.\.\)\. Nothing was"
    ):
        open_client("https://gateway.example", transport=library.MockTransport)
