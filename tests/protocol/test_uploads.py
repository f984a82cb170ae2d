"""Uploads that fail: they cost nothing and are repeated; without the file no job is started. And where the key goes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from kling_adapters import ApiError, BadRequest, ServerError, TransportError
from kling_adapters.hookspecs import hookimpl
from kling_adapters.journal.journal import Journal
from kling_adapters.models import _gateway
from kling_adapters.testing import PNG
from tests.support.clients import OpenClient
from tests.support.stub import KEY, Action, Hangup, Raw, Request, Stub, accepted, last_for_ever, reply

FILE = "https://images.example.com/assets/a.png"
UPLOADED = reply(200, {"file_urls": [FILE], "message": "done"})


def play(stub: Stub, uploads: Iterable[Action]) -> None:
    script = last_for_ever(uploads)
    stub.play(lambda received: next(script) if received.path == "/upload-asset" else accepted())


def paths(stub: Stub) -> list[str]:
    return [received.path for received in stub.posts]


def test_upload_precedes_the_recorded_intent(stub: Stub, open_client: OpenClient, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    entries: list[int] = []

    def act(received: Request) -> Action:
        entries.append(len(journal.entries()))
        return UPLOADED if received.path == "/upload-asset" else accepted()

    stub.play(act)
    client = open_client(stub, journal=journal.path)
    client.submit("kling-bloombloom", image=PNG)
    journal.close()
    assert paths(stub) == ["/upload-asset", "/v2/kling-bloombloom"]
    assert entries == [0, 1]
    assert json.loads(stub.posts[1].body) == {"image": FILE}
    [sent] = json.loads(stub.posts[0].body)["data_urls"]
    assert sent.startswith("data:image/png;base64,")


def test_older_upload_answer_is_accepted(stub: Stub, open_client: OpenClient) -> None:
    play(stub, [reply(200, {"urls": [FILE]})])
    client = open_client(stub, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert json.loads(stub.posts[1].body) == {"image": FILE}


@pytest.mark.parametrize(
    "fault",
    [
        Hangup(),
        Hangup(reset=True),
        Hangup(read=False),
        reply(429, {"error": "slowly"}),
        reply(500, {"error": "no"}),
        reply(502),
        reply(504),
        reply(200, {"file_urls": []}),
        reply(200, {"file_urls": ["javascript:alert(1)"]}),
        reply(200, {"file_urls": [7]}),
        reply(307, headers={"location": "/elsewhere"}),
        Raw(b"nonsense\r\n\r\n"),
    ],
    ids=str,
)
def test_failed_upload_is_repeated(stub: Stub, open_client: OpenClient, fault: Action) -> None:
    play(stub, [fault, fault, UPLOADED])
    client = open_client(stub, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert paths(stub).count("/v2/kling-bloombloom") == 1
    assert json.loads(stub.posts[-1].body) == {"image": FILE}


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Hangup(), TransportError), (reply(500), ServerError), (reply(400, {"error": "too large"}), BadRequest)],
)
def test_upload_that_keeps_failing_starts_no_job(
    stub: Stub, open_client: OpenClient, tmp_path: Path, fault: Action, error: type[Exception]
) -> None:
    reports: list[object] = []

    class Listening:
        @hookimpl
        def kling_event(self, event: object) -> None:
            reports.append(event)

    play(stub, [fault])
    client = open_client(stub, journal=tmp_path / "journal", plugins=[Listening()])
    with pytest.raises(error, match=r"(?i)no job was started") as caught:
        client.submit("kling-bloombloom", image=PNG)
    assert set(paths(stub)) == {"/upload-asset"}
    assert Journal(tmp_path / "journal").entries() == []
    assert [type(event).__name__ for event in reports] == ["SubmitFailed"]
    assert KEY not in str(caught.value)
    if isinstance(caught.value, ApiError):
        assert caught.value.request_id is None
    # The next upload does not wait for the failed one.
    play(stub, [UPLOADED])
    client.submit("kling-bloombloom", image=PNG)


def test_upload_key_goes_to_the_upload_address_only(
    stub: Stub, second_stub: Stub, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gateway, "BASE_URL", stub.url)
    monkeypatch.setattr(_gateway, "UPLOAD_URL", f"{second_stub.url}/upload-asset")
    stub.play(lambda _: accepted())
    redirect = reply(307, headers={"location": f"{second_stub.url}/elsewhere"})
    second_stub.play(iter([redirect, UPLOADED]))
    client = open_client(stub, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert [(received.path, received.headers.get("x-api-key")) for received in second_stub.requests] == [
        ("/upload-asset", KEY),
        ("/upload-asset", KEY),
    ]
    # Another gateway is not the one that this address belongs to.
    with Stub(lambda received: UPLOADED if received.path == "/upload-asset" else accepted()) as sandbox:
        client = open_client(sandbox, journal=None)
        client.submit("kling-bloombloom", image=PNG)
        assert paths(sandbox) == ["/upload-asset", "/v2/kling-bloombloom"]
    assert len(second_stub.requests) == 2


def test_other_paths_of_the_upload_host_get_no_key(
    stub: Stub, second_stub: Stub, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.support.stub import Reply, finished, gateway

    monkeypatch.setattr(_gateway, "BASE_URL", stub.url)
    monkeypatch.setattr(_gateway, "UPLOAD_URL", f"{second_stub.url}/upload-asset")
    stub.play(gateway(result=[finished(f"{second_stub.url}/upload-asset")]))
    second_stub.play(lambda received: UPLOADED if received.method == "POST" else Reply(200, PNG))
    client = open_client(stub, journal=None)
    result = client.submit("kling-o1", image_urls=[PNG], prompt="x").wait()
    result.save(tmp_path)
    assert ["x-api-key" in received.headers for received in second_stub.requests] == [True, False]
