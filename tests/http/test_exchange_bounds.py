"""An exchange ends at its deadline, a download has bounds, and an upload stands in memory nowhere."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from kling_adapters import StorageError
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters._http.transport import AsyncTransport, SyncTransport
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.media.inputs import digest_media
from kling_adapters.media.reader import MediaError
from kling_adapters.media.urls import make_data_url
from kling_adapters.protocol import collect, download
from kling_adapters.protocol.failures import seconds_until_reset
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Key, Outcome, Request, UploadBody
from kling_adapters.protocol.responses import read_ended_job
from kling_adapters.result import Artifact, ResultData
from kling_adapters.testing import MP4, PNG
from tests.support.clients import OpenClient
from tests.support.scripted_server import (
    KEY,
    Drip,
    Raw,
    Reply,
    ScriptedServer,
    gateway_script,
    json_reply,
    result_reply,
)

Exchange = Callable[..., Outcome]


@pytest.fixture(params=["sync", "async"])
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """Sends a request, or fetches it with a download, over the transport of either client."""

    def exchange_sync(url: str, *arguments: Any) -> Outcome:
        transport = SyncTransport(ConnectionSettings(Gateway(url), None), set())
        try:
            return transport.send(*arguments) if len(arguments) == 1 else transport.fetch(*arguments)
        finally:
            transport.close()

    async def exchange_async(url: str, *arguments: Any) -> Outcome:
        transport = AsyncTransport(ConnectionSettings(Gateway(url), None), set())
        try:
            return await (transport.send(*arguments) if len(arguments) == 1 else transport.fetch(*arguments))
        finally:
            await transport.close()

    return (
        exchange_sync if request.param == "sync" else lambda *arguments: anyio.run(exchange_async, *arguments)
    )


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
DRIPS = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (HEAD, b" "),
}


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_deadline_ends_a_dripping_answer(exchange: Exchange, drip: tuple[bytes, bytes], method: str) -> None:
    with ScriptedServer(lambda _: Drip(*drip)) as server:
        began = time.monotonic()
        outcome = exchange(server.url, Request(method, server.url + "/v2/x", deadline=0.4))
        assert time.monotonic() - began < 3
    assert outcome == Fault("OutOfTime: the answer took longer than 0.4 s", sent=True)


@pytest.mark.parametrize("drip", [DRIPS["head"], (HEAD, MP4[:1])], ids=["head", "body"])
def test_deadline_ends_a_dripping_file(exchange: Exchange, drip: tuple[bytes, bytes], tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Drip(*drip)) as server:
        target = download.Download(Artifact(server.url + "/x", "video"), "x.{}".format, Folder(tmp_path))
        began = time.monotonic()
        outcome = exchange(server.url, Request("GET", server.url + "/x", deadline=0.4), target)
        assert time.monotonic() - began < 3
        target.abort()
    assert outcome == Fault("OutOfTime: the answer took longer than 0.4 s", sent=True)


def test_deadline_before_a_connection_sends_nothing(exchange: Exchange, server: ScriptedServer) -> None:
    outcome = exchange(server.url, Request("POST", server.url + "/v2/x", b"{}", deadline=0.0))
    assert isinstance(outcome, Fault)
    assert not outcome.sent
    assert server.requests == []


def play(server: ScriptedServer, files: Any) -> None:
    server.play(gateway_script(result=[result_reply(server.url + "/files/x.mp4")], files=files))


def test_dripping_file_is_abandoned(
    open_client: OpenClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SLOW_START", 0.1)
    monkeypatch.setattr(download, "MIN_RATE", 10_000)
    with ScriptedServer(lambda _: Drip(HEAD, MP4[:1])) as dripping:
        server.play(gateway_script(result=[result_reply(dripping.url + "/files/x.mp4")]))
        with pytest.raises(StorageError, match=r"TooSlow: \d+ bytes came in"):
            open_client(server).save_job(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_responses_of_a_file_are_limited(
    open_client: OpenClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_RESPONSES", 5)

    def act(received: Any) -> Reply:
        start = int(received.headers.get("range", "bytes=0-")[6:-1])
        headers = {"content-range": f"bytes {start}-{len(MP4) - 1}/{len(MP4)}"}
        return Reply(206 if start else 200, MP4[start:], headers, announce=len(MP4) - start, sent=700)

    play(server, act)
    with pytest.raises(StorageError, match="more than 5 pieces"):
        open_client(server).save_job(tmp_path)


def test_time_of_a_file_is_limited(
    open_client: OpenClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_SECONDS", 0.0)
    monkeypatch.setattr("kling_adapters._http.exchange.MAX_SECONDS", 60.0)
    play(server, [Reply(200, MP4)])
    with pytest.raises(StorageError, match="took longer than"):
        open_client(server).save_job(tmp_path)


def test_total_size_of_a_result_is_limited(
    open_client: OpenClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "MAX_TOTAL_BYTES", len(PNG) + 10)
    images = [{"url": f"{server.url}/files/{number}"} for number in range(2)]
    server.play(gateway_script(result=[result_reply(images=images)], files=[Reply(200, PNG)]))
    with pytest.raises(StorageError, match="larger than 10 bytes"):
        open_client(server).save_job(tmp_path)


@pytest.mark.parametrize("place", ["output", "images"])
def test_files_of_one_answer_are_limited(place: str) -> None:
    urls = [f"https://images.example.com/{number}.png" for number in range(100_000)]
    answer = Answer(200, {}, json_reply(200, {"status": "COMPLETED", place: urls}).body)
    result = read_ended_job("id", None, None, answer)
    assert isinstance(result, ResultData)
    assert len(result.artifacts) == 100


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "999999"},
        {"retry-after": "99999999"},
        {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"x-rate-limit-reset-at-utc": "9999-12-31T23:59:59-23:59"},
        {"x-rate-limit-reset-at-utc": "999999999999999"},
    ],
)
def test_reset_of_a_limit_is_ten_minutes_at_most(headers: dict[str, str]) -> None:
    assert seconds_until_reset(Answer(429, headers, b"")) in (None, 600.0)


def test_file_swapped_after_its_check_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    data_url = make_data_url(path, digest_media(path))
    path.write_bytes(PNG[:-1] + b"!")
    with pytest.raises(MediaError, match="being changed"):
        next(iter(data_url))
    (tmp_path / "notes").write_text("not a picture")
    path.unlink()
    path.symlink_to("notes")
    with pytest.raises(MediaError, match="not an image"):
        digest_media(path)


def test_file_changed_during_upload_stays_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG + bytes(3_000_000))
    pieces = iter(UploadBody(make_data_url(path, digest_media(path))))
    sent = [next(pieces) for _ in range(3)]
    with path.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"x")
    with pytest.raises(MediaError, match="being changed"):
        sent.extend(pieces)
    assert not sent[-1].endswith(b'"]}')


UPLOAD = """
import resource, sys
from pathlib import Path
from tests.support.scripted_server import *
from kling_adapters import Kling

upload = Discard(json_reply(200, {"file_urls": ["https://images.example.com/a.png"]}))
with (
    ScriptedServer([upload, submit_reply()]) as server,
    Kling(api_key=KEY, base_url=server.url, journal=None) as kling,
):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kling.submit_raw("kling-bloombloom", {"image": Path(sys.argv[1])})
    print(server.requests[0].size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_upload_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(100 * 1024**2)
    command = [sys.executable, "-c", UPLOAD, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=60
    )
    sent, kilobytes = map(int, done.stdout.split())
    assert sent > 100 * 1024**2 * 4 // 3
    assert kilobytes < 40_000


def test_fault_does_not_hold_the_key(exchange: Exchange) -> None:
    with ScriptedServer(lambda _: Raw(b"HTTP/1.1 200 OK\r\nx-echo " + KEY.encode() + b"\r\n\r\n")) as server:
        request = Request("GET", server.url + "/v2/x", key=Key(KEY))
        assert KEY not in str(exchange(server.url, request))
