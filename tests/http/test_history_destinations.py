"""The key of a request to the request history goes to the history's own address, and a bad history ends in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters.models import _gateway
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.request_history import HistoryUnavailable, find_row, list_rows
from tests.support.clients import Client, OpenClient
from tests.support.scripted_server import (
    JOB,
    KEY,
    Action,
    Drip,
    Endless,
    Hangup,
    Raw,
    Reply,
    ScriptedServer,
    Silence,
    gateway_script,
    json_reply,
)

PATH = "/inference-request/request-history"
ROW = json_reply(200, {"request_id": JOB, "model_name": "kling-2", "model_status": "COMPLETED"})


@pytest.fixture
def segmind(
    server: ScriptedServer, second_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The gateway of Segmind is `server`, the host of its history `second_server`."""
    monkeypatch.setattr(_gateway, "BASE_URL", server.url)
    monkeypatch.setattr(_gateway, "HISTORY_URL", second_server.url + PATH)
    server.play(gateway_script())
    second_server.play(lambda _: ROW)
    yield server.url
    assert all(received.headers.get("x-api-key") in (KEY, None) for received in server.requests)


def perform(client: Client, flow: Flow[Any]) -> Any:
    return client.view(client.kling._driver).run(flow)


def find(client: Client) -> Any:
    return perform(client, find_row(client.kling._session, JOB, 0.1))


@pytest.mark.usefixtures("segmind")
def test_key_goes_to_the_host_of_the_history(
    server: ScriptedServer, second_server: ScriptedServer, open_client: OpenClient
) -> None:
    client = open_client(server, history=True)
    assert find(client).request_id == JOB
    perform(client, list_rows(client.kling._session, "kling-2", time.time()))
    received = [
        (request.path.partition("?")[0], request.headers["x-api-key"]) for request in second_server.requests
    ]
    assert set(received) == {(f"{PATH}/{JOB}", KEY), (PATH, KEY)}
    assert server.requests == []


def test_other_gateway_has_its_own_history(
    segmind: str, second_server: ScriptedServer, open_client: OpenClient
) -> None:
    with ScriptedServer(lambda _: ROW) as sandbox:
        assert find(open_client(sandbox, history=True)).request_id == JOB
        assert [request.path for request in sandbox.requests] == [f"{PATH}/{JOB}"]
    assert second_server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_the_history_are_not_followed(
    segmind: str, second_server: ScriptedServer, open_client: OpenClient, status: int
) -> None:
    with ScriptedServer(lambda _: ROW) as elsewhere:
        second_server.play(lambda _: Reply(status, b"", {"location": f"{elsewhere.url}{PATH}/{JOB}"}))
        assert find(open_client(segmind)) is None
        assert elsewhere.requests == []


def test_files_at_the_history_host_are_fetched_without_the_key(
    segmind: str,
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Any,
) -> None:
    result = {"status": "COMPLETED", "request_id": JOB, "output": f"{second_server.url}{PATH}/x.mp4"}
    server.play(gateway_script(result=[json_reply(200, result)]))
    second_server.play(gateway_script(result=[Reply(200, b"")]))
    with pytest.raises(Exception, match="output"):
        open_client(segmind).save_job(tmp_path)
    assert second_server.requests
    assert not any("x-api-key" in request.headers for request in second_server.requests)


@pytest.mark.parametrize("off", ["argument", "environment"])
def test_turned_off_history_is_not_asked(
    segmind: str,
    second_server: ScriptedServer,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    off: str,
) -> None:
    if off == "environment":
        monkeypatch.setenv("KLING_HISTORY", "0")
    client = open_client(segmind, **({"history": False} if off == "argument" else {}))
    assert find(client) is None
    with pytest.raises(HistoryUnavailable):
        perform(client, list_rows(client.kling._session, None, time.time()))
    client.finish_job()
    assert second_server.requests == []


LARGE = json.dumps(
    {"generations": [{"request_id": str(number)} for number in range(10)], "x": "y" * 17 * 1024**2}
)
HOSTILE: dict[str, Action] = {
    "no answer": Hangup(),
    "reset": Hangup(reset=True),
    "no HTTP": Raw(b"\x00" * 100),
    "too large": Reply(200, LARGE.encode()),
    "endless": Endless(b'{"generations": [' * 1000),
    "bomb": Reply(200, bytes.fromhex("1f8b0800") + b"\x00" * 100, {"content-encoding": "gzip"}),
    "deep": Reply(200, b"[" * 1_000_000),
    "garbage": Reply(200, b'{"request_id": "\xff\x00'),
    "page": Reply(200, b"<html>", {"content-type": "text/html"}),
    "another job": json_reply(200, {"request_id": "another"}),
    "key refused": json_reply(401, {"error": KEY}),
    "unknown": json_reply(404, {"error": "no"}),
    "limited": json_reply(429, {"error": "no"}, {"retry-after": "3600"}),
}


@pytest.mark.parametrize("action", HOSTILE.values(), ids=HOSTILE)
def test_bad_history_has_no_row_and_no_effect(
    segmind: str,
    second_server: ScriptedServer,
    open_client: OpenClient,
    caplog: pytest.LogCaptureFixture,
    action: Action,
) -> None:
    second_server.play(lambda _: action)
    client = open_client(segmind)
    with caplog.at_level("DEBUG"):
        assert find(client) is None
    assert not any(KEY in record.getMessage() for record in caplog.records)
    client.finish_job()


@pytest.mark.parametrize("action", HOSTILE.values(), ids=HOSTILE)
def test_bad_history_leaves_an_uncertain_submit_as_without_it(
    segmind: str,
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    action: Action,
) -> None:
    server.play(gateway_script(submit=[Hangup()]))
    second_server.play(lambda _: action)
    with open_client(segmind, journal=tmp_path / "journal") as client:
        with pytest.raises(ka.SubmitUncertain, match="not repeated"):
            client.submit("kling-2", prompt="a lighthouse", timeout=1)
        [entry] = client.reconcile()
        assert (entry.state, entry.request_id) == ("UNCERTAIN", None)
        # A list of other jobs is readable, and proves nothing.
        assert entry.looked is not None
        assert (entry.looked.problem is None) == (action is HOSTILE["another job"])
        [outcome] = client.resume()
        assert isinstance(outcome.error, ka.SubmitUncertain)
        assert client.estimate("kling-2", prompt="a lighthouse").expected is None
    assert [request.method for request in server.requests] == ["POST"]
    assert {request.path.partition("?")[0] for request in second_server.requests} == {PATH}


@pytest.mark.parametrize(
    "action", [Silence(), Drip(b'{"generations": [', b"[],", 10_000)], ids=["silent", "slow"]
)
def test_slow_history_is_cut_off(
    segmind: str,
    second_server: ScriptedServer,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    action: Action,
) -> None:
    monkeypatch.setattr("kling_adapters.protocol.request_history.SHORTEST_EXCHANGE", 0.2)
    second_server.play(lambda _: action)
    assert find(open_client(segmind)) is None
