"""Uploads that fail: they cost nothing and are repeated; without the file no job is started. And where the key goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from kling_adapters import (
    ApiError,
    BadRequest,
    ServerError,
    TransportError,
    errors,
)
from kling_adapters.hookspecs import hookimpl
from kling_adapters.journal.journal import Journal
from kling_adapters.models import _gateway
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.submit import submit
from kling_adapters.testing import PNG
from tests.protocol.conftest import ACCEPTED, GATEWAY, make_answer
from tests.support.clients import OpenClient
from tests.support.scripted_flow import STARTED, Key, run
from tests.support.scripted_server import (
    KEY,
    Action,
    Hangup,
    Raw,
    Request,
    ScriptedServer,
    json_reply,
    repeat_last,
    submit_reply,
)

FILE = "https://images.example.com/assets/a.png"
UPLOADED = json_reply(200, {"file_urls": [FILE], "message": "done"})


def play(server: ScriptedServer, uploads: Iterable[Action]) -> None:
    script = repeat_last(uploads)
    server.play(lambda received: next(script) if received.path == "/upload-asset" else submit_reply())


def paths(server: ScriptedServer) -> list[str]:
    return [received.path for received in server.posts]


def test_upload_precedes_the_recorded_intent(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")
    entries: list[int] = []

    def act(received: Request) -> Action:
        entries.append(len(journal.entries()))
        return UPLOADED if received.path == "/upload-asset" else submit_reply()

    server.play(act)
    client = open_client(server, journal=journal.path)
    client.submit("kling-bloombloom", image=PNG)
    journal.close()
    assert paths(server) == ["/upload-asset", "/v2/kling-bloombloom"]
    assert entries == [0, 1]
    assert json.loads(server.posts[1].body) == {"image": FILE}
    [sent] = json.loads(server.posts[0].body)["data_urls"]
    assert sent.startswith("data:image/png;base64,")


def test_older_upload_answer_is_accepted(server: ScriptedServer, open_client: OpenClient) -> None:
    play(server, [json_reply(200, {"urls": [FILE]})])
    client = open_client(server, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert json.loads(server.posts[1].body) == {"image": FILE}


@pytest.mark.parametrize(
    "fault",
    [
        Hangup(),
        Hangup(reset=True),
        Hangup(read=False),
        json_reply(429, {"error": "slowly"}),
        json_reply(500, {"error": "no"}),
        json_reply(502),
        json_reply(504),
        json_reply(200, {"file_urls": []}),
        json_reply(200, {"file_urls": ["javascript:alert(1)"]}),
        json_reply(200, {"file_urls": [7]}),
        json_reply(307, headers={"location": "/elsewhere"}),
        Raw(b"nonsense\r\n\r\n"),
    ],
    ids=str,
)
def test_failed_upload_is_repeated(server: ScriptedServer, open_client: OpenClient, fault: Action) -> None:
    play(server, [fault, fault, UPLOADED])
    client = open_client(server, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert paths(server).count("/v2/kling-bloombloom") == 1
    assert json.loads(server.posts[-1].body) == {"image": FILE}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Hangup(), TransportError),
        (json_reply(500), ServerError),
        (json_reply(400, {"error": "too large"}), BadRequest),
    ],
)
def test_upload_that_keeps_failing_starts_no_job(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path, fault: Action, error: type[Exception]
) -> None:
    reports: list[object] = []

    class Listening:
        @hookimpl
        def kling_event(self, event: object) -> None:
            reports.append(event)

    play(server, [fault])
    client = open_client(server, journal=tmp_path / "journal", plugins=[Listening()])
    with pytest.raises(error, match=r"(?i)no job was started") as caught:
        client.submit("kling-bloombloom", image=PNG)
    assert set(paths(server)) == {"/upload-asset"}
    assert Journal(tmp_path / "journal").entries() == []
    assert [type(event).__name__ for event in reports] == ["SubmitFailed"]
    assert KEY not in str(caught.value)
    if isinstance(caught.value, ApiError):
        assert caught.value.request_id is None
    # The next upload does not wait for the failed one.
    play(server, [UPLOADED])
    client.submit("kling-bloombloom", image=PNG)


def test_upload_key_goes_to_the_upload_address_only(
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gateway, "BASE_URL", server.url)
    monkeypatch.setattr(_gateway, "UPLOAD_URL", f"{second_server.url}/upload-asset")
    server.play(lambda _: submit_reply())
    redirect = json_reply(307, headers={"location": f"{second_server.url}/elsewhere"})
    second_server.play(iter([redirect, UPLOADED]))
    client = open_client(server, journal=None)
    client.submit("kling-bloombloom", image=PNG)
    assert [(received.path, received.headers.get("x-api-key")) for received in second_server.requests] == [
        ("/upload-asset", KEY),
        ("/upload-asset", KEY),
    ]
    # Another gateway is not the one that this address belongs to.
    with ScriptedServer(
        lambda received: UPLOADED if received.path == "/upload-asset" else submit_reply()
    ) as sandbox:
        client = open_client(sandbox, journal=None)
        client.submit("kling-bloombloom", image=PNG)
        assert paths(sandbox) == ["/upload-asset", "/v2/kling-bloombloom"]
    assert len(second_server.requests) == 2


def test_other_paths_of_the_upload_host_get_no_key(
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from tests.support.scripted_server import Reply, gateway_script, result_reply

    monkeypatch.setattr(_gateway, "BASE_URL", server.url)
    monkeypatch.setattr(_gateway, "UPLOAD_URL", f"{second_server.url}/upload-asset")
    server.play(gateway_script(result=[result_reply(f"{second_server.url}/upload-asset")]))
    second_server.play(lambda received: UPLOADED if received.method == "POST" else Reply(200, PNG))
    client = open_client(server, journal=None)
    result = client.submit("kling-o1", image_urls=[PNG], prompt="x").wait()
    result.save(tmp_path)
    assert ["x-api-key" in received.headers for received in second_server.requests] == [True, False]


WITH_FILE = {"prompt": "x", "image": PNG}
UPLOAD_ANSWER = make_answer(200, file_urls=["https://e.com/new.png"])
SIX_DAYS = 6 * 86400


@pytest.mark.parametrize(("age", "sent"), [(SIX_DAYS - 10, 1), (SIX_DAYS + 10, 2)])
def test_upload_is_repeated_a_day_before_it_expires(age: float, sent: int) -> None:
    session = Session(GATEWAY, Key)
    session.uploads.keep(hashlib.sha256(PNG).hexdigest(), "https://e.com/old.png", STARTED - age)
    flow_result = run(submit(session, "kling-2", WITH_FILE), [UPLOAD_ANSWER, ACCEPTED][-sent:])
    assert flow_result.value.request_id == "job"
    assert flow_result.sent == sent
    url = "old" if sent == 1 else "new"
    body = flow_result.requests[-1].body
    assert isinstance(body, bytes)
    assert json.loads(body)["image"] == f"https://e.com/{url}.png"


@pytest.mark.parametrize(("timeout", "deadline"), [(None, None), (900.0, 600.0), (300.0, 300.0)])
def test_upload_ends_with_the_timeout_of_the_submit(timeout: float | None, deadline: float | None) -> None:
    start = submit(Session(GATEWAY, Key), "kling-2", WITH_FILE, timeout=timeout)
    upload = run(start, [UPLOAD_ANSWER, ACCEPTED]).requests[0]
    assert (upload.timeout, upload.deadline) == (600.0, deadline)


def test_upload_that_took_the_timeout_starts_no_job() -> None:
    start = submit(Session(GATEWAY, Key), "kling-2", WITH_FILE, timeout=0.5)
    flow_result = run(start, [make_answer(500), UPLOAD_ANSWER, ACCEPTED])
    assert str(flow_result.error) == "the timeout was spent on uploads. No job was started"
    assert flow_result.sent == 2


def test_submit_without_media_needs_no_time_for_uploads() -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", {"prompt": "x"}, timeout=0.0), [ACCEPTED])
    assert flow_result.value.request_id == "job"


def test_upload_is_retried_for_five_minutes() -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", WITH_FILE), [make_answer(500)] * 99)
    assert isinstance(flow_result.error, errors.KlingError)
    assert not isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.seconds == pytest.approx(300.0)
