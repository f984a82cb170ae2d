"""One blocking call: its result, and what is known when it breaks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import (
    BadRequest,
    ConfigError,
    InsufficientCredits,
    JobFailed,
    ParamsInvalid,
    StorageError,
    SubmitUncertain,
    TransportError,
)
from kling_adapters.hookspecs import hookimpl
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import MP4, PNG
from tests.support.clients import Client, OpenClient
from tests.support.scripted_server import (
    JOB,
    KEY,
    Action,
    Hangup,
    Raw,
    Reply,
    ScriptedServer,
    Silence,
    json_reply,
)

HEADERS = {
    "content-type": "video/mp4",
    "x-request-id": JOB,
    "x-cost": "0.35",
    "x-remaining-credits": "12.5",
    "x-generation-time": "41.2",
    "x-seed-value": "7",
}
DONE = Reply(200, MP4, HEADERS)


def run(client: Client, **options: Any) -> Any:
    return client.run_sync("kling-2", prompt="a lighthouse", **options)


def test_direct_run_returns_result_and_metrics(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play([DONE])
    client = open_client(server, journal=None)
    result = run(client)
    [received] = server.requests
    assert (received.method, received.path, json.loads(received.body)) == (
        "POST",
        "/v1/kling-2",
        {"prompt": "a lighthouse"},
    )
    assert received.headers["x-api-key"] == KEY
    assert (result.request_id, result.model) == (JOB, "kling-2")
    metrics = result.metrics
    assert (metrics.cost, metrics.remaining_credits, metrics.inference_time) == (0.35, 12.5, 41.2)
    assert result.body["x-seed-value"] == "7"
    assert result.video.content == MP4
    assert "ftyp" not in repr(result)
    [saved] = result.save(tmp_path)
    assert saved.path.read_bytes() == MP4
    assert saved.path.name == f"kling-2-{JOB}.mp4"
    assert (saved.sha256, saved.size) == (hashlib.sha256(MP4).hexdigest(), len(MP4))
    assert len(server.requests) == 1


def test_missing_headers_give_none(server: ScriptedServer, open_client: OpenClient, tmp_path: Path) -> None:
    server.play([Reply(200, MP4), Reply(200, MP4, {"x-cost": "free", "x-generation-time": "1e999"})])
    client = open_client(server, journal=tmp_path / "journal")
    results = [run(client, save_to=tmp_path / "out") for _ in range(2)]
    assert all(value is None for result in results for value in vars(result.metrics).values())
    assert len({result.saved[0].path for result in results}) == 2


def test_direct_run_is_stored_reported_and_recorded(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    event_names: list[str] = []

    class Listening:
        @hookimpl
        def kling_event(self, event: object) -> None:
            event_names.append(type(event).__name__)

    journal = Journal(tmp_path / "journal")
    states: list[str] = []

    def act(_: object) -> Action:
        states.extend(entry.state for entry in journal.entries())
        return DONE

    server.play(act)
    client = open_client(server, journal=journal.path, plugins=[Listening()])
    result = run(client, save_to=tmp_path / "out")
    [entry] = journal.entries()
    assert states == ["SUBMITTING"]
    assert (entry.state, entry.request_id, entry.cost) == ("COMPLETED", JOB, 0.35)
    assert (entry.files, entry.result) == (result.saved, result.body)
    assert not entry.is_unfinished
    assert event_names == ["Submitted", "Completed", "Stored"]
    journal.close()


@pytest.mark.parametrize(
    "fault",
    [
        Hangup(),
        Hangup(reset=True),
        Reply(200, MP4, HEADERS, sent=len(MP4) - 1),
        Reply(200, MP4, HEADERS, sent=100, reset=True),
        Reply(200, MP4, HEADERS, chunked=True, sent=100),
        Reply(200, b"", HEADERS),
        json_reply(504),
        json_reply(302, headers={"location": "/elsewhere"}),
        Raw(b"nonsense\r\n\r\n"),
    ],
    ids=str,
)
def test_direct_run_without_whole_answer_is_uncertain(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path, fault: Action
) -> None:
    server.play([fault, DONE, DONE])
    client = open_client(server, journal=tmp_path / "journal")
    with pytest.raises(SubmitUncertain) as caught:
        run(client)
    assert len(server.requests) == 1
    [entry] = Journal(tmp_path / "journal").entries()
    assert (entry.state, caught.value.entry) == ("UNCERTAIN", entry.id)
    # The error is made of it again when the entry is reported.
    assert entry.reason == caught.value.reason


def test_direct_run_timeout_is_uncertain(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play([Silence()])
    with pytest.raises(SubmitUncertain, match="took longer"):
        run(open_client(server, journal=None), timeout=0.2)
    assert len(server.requests) == 1


def test_safe_failure_of_a_direct_run_is_repeated(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play([json_reply(429), DONE])
    assert run(open_client(server, journal=None)).request_id == JOB
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 504])
def test_direct_run_that_may_have_run_is_not_repeated(
    server: ScriptedServer, open_client: OpenClient, status: int
) -> None:
    server.play([json_reply(status), DONE])
    with pytest.raises(SubmitUncertain, match=str(status)):
        run(open_client(server, journal=None))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [(400, "duration", BadRequest), (406, "Insufficient credits", InsufficientCredits)],
)
def test_refusal_of_a_direct_run_is_recorded(
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    status: int,
    message: str,
    error: type[Exception],
) -> None:
    server.play([json_reply(status, {"error": message})])
    with pytest.raises(error, match=message):
        run(open_client(server, journal=tmp_path / "journal"))
    assert [entry.state for entry in Journal(tmp_path / "journal").entries()] == ["REFUSED"]
    assert len(server.requests) == 1


def test_failed_direct_run_gives_its_reason(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play([json_reply(422, {"status": "FAILED", "error": "blocked", "request_id": JOB, "metrics": {}})])
    with pytest.raises(JobFailed, match="blocked"):
        run(open_client(server, journal=tmp_path / "journal"))
    [entry] = Journal(tmp_path / "journal").entries()
    assert (entry.state, entry.request_id, entry.reason) == ("FAILED", JOB, "blocked")


def test_missing_gateway_is_a_transport_error(open_client: OpenClient) -> None:
    with ScriptedServer() as stopped:
        url = stopped.url
    with pytest.raises(TransportError, match="no job was started"):
        run(open_client(url, journal=None))


def test_bad_arguments_are_refused_before_sending(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    client = open_client(server, journal=None)
    with pytest.raises(ParamsInvalid):
        client.run_sync("kling-2", prompt="x", duration=7)
    with pytest.raises(ConfigError):
        run(client, save_to="nowhere://bucket/")
    assert server.requests == []


def test_unstored_direct_output_is_not_lost(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play([Reply(200, b"<html>", HEADERS), Reply(200, PNG, HEADERS), DONE])
    client = open_client(server, journal=None)
    for _ in range(2):
        with pytest.raises(StorageError, match="should be video"):
            run(client, save_to=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []

    class Full:
        @hookimpl
        def kling_storage(self, url: str) -> Any:
            return self if url.startswith("full:") else None

        def check(self) -> None: ...

        def open(self, name: str, content_type: str) -> Any:
            raise OSError("no space left")

    client = open_client(server, journal=None, plugins=[Full()])
    with pytest.raises(StorageError, match="no space left") as caught:
        run(client, save_to="full://x/")
    assert caught.value.result is not None
    [saved] = client.view(caught.value.result).save(tmp_path / "elsewhere")
    assert saved.path.read_bytes() == MP4


def test_direct_run_uploads_files_first(server: ScriptedServer, open_client: OpenClient) -> None:
    url = "https://example.com/a.png"
    server.play(
        [json_reply(200, {"file_urls": [url]}), Reply(200, PNG, {**HEADERS, "content-type": "image/png"})]
    )
    client = open_client(server, journal=None)
    result = client.run_sync("kling-o1", prompt="@Image1", image_urls=[PNG])
    assert [received.path for received in server.requests] == ["/upload-asset", "/v1/kling-o1"]
    assert json.loads(server.requests[1].body)["image_urls"] == [url]
    [image] = result.images
    assert image.content == PNG


def test_direct_output_may_exceed_the_answer_limit(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    video = MP4 + bytes(20 * 1024**2)
    server.play([Reply(200, video, HEADERS)])
    [saved] = run(open_client(server, journal=None), save_to=tmp_path).saved
    assert saved.size == len(video)
