"""Promise 6, a file is whole or absent: cuts, wrong lengths, changed files, endless bodies, other content."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_adapters import ResultData, StorageError
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.protocol import download, effects
from kling_adapters.protocol.collect import Destination, collect
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.responses import read_ended_job
from kling_adapters.protocol.session import Session
from kling_adapters.testing import MP4, PNG
from tests.support.clients import OpenClient
from tests.support.output_files import (
    ALTERED,
    HTML,
    check_stored,
    list_files,
    part_reply,
    read_range_start,
    script_output,
)
from tests.support.scripted_flow import Key
from tests.support.scripted_server import (
    JOB,
    Action,
    Endless,
    Hangup,
    Raw,
    Reply,
    Request,
    ScriptedServer,
    gateway_script,
    json_reply,
    result_reply,
)


@pytest.mark.parametrize("cut", [0, 1, 11, 511, 512, 513, 5000, len(MP4) - 1])
def test_cut_file_is_completed(
    cut: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [part_reply(0, cut), part_reply(cut, None)])
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', ""])
def test_file_cut_repeatedly_is_completed(
    etag: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, lambda received: part_reply(read_range_start(received), 700, etag=etag))
    check_stored(open_client(server).save_job(tmp_path), tmp_path)
    fetched = [received for received in server.gets if received.path.startswith("/files/")]
    assert [read_range_start(received) for received in fetched] == list(range(0, len(MP4), 700))
    assert {received.headers["accept-encoding"] for received in fetched} == {"identity"}


def test_file_in_small_ranges_is_completed(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """A server may answer with less than was asked for; each piece says what it is and is whole."""

    def act(received: Request) -> Action:
        start = read_range_start(received)
        end = min(start + 3000, len(MP4))
        says = {"content-range": f"bytes {start}-{end - 1}/{len(MP4)}", "etag": '"one"'}
        return Reply(206, MP4[start:end], says) if start else part_reply(0, 700)

    script_output(server, act)
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


def test_file_cut_by_resets_is_completed(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    cut = Reply(200, MP4, announce=len(MP4), sent=6000, reset=True)
    script_output(server, [cut, Hangup(), Hangup(reset=True), Reply(200, MP4)])
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


def test_file_is_restarted_if_ranges_are_ignored(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [part_reply(0, 4000), part_reply(0, 9000), part_reply(0, 100), part_reply(0, None)])
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


def test_endless_cuts_without_ranges_fail(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Now a little more comes, now a little less: never a file, so it must end."""
    count = iter(range(10**6))
    script_output(
        server,
        lambda _: part_reply(0, 4000 + next(count) % 2) if is_within_limit(server) else Reply(404),
    )
    with pytest.raises(StorageError) as caught:
        open_client(server).save_job(tmp_path)
    assert len(server.gets) < 50
    assert caught.value.url
    assert list_files(tmp_path) == []


def is_within_limit(server: ScriptedServer) -> bool:
    """False when a test would otherwise go on for ever."""
    return len(server.gets) < 200


@pytest.mark.parametrize(
    "fault",
    [
        Hangup(),
        json_reply(500),
        json_reply(429),
        Reply(302),
        Reply(200),
        Raw(b"\0\r\n\r\n"),
        part_reply(0, 0),
        Reply(204, announce=None),
    ],
)
def test_empty_responses_fail(
    fault: Action, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [fault])
    with pytest.raises(StorageError) as caught:
        open_client(server).save_job(tmp_path)
    assert str(caught.value.url).endswith("/files/x.mp4")
    assert len(server.gets) < 50
    assert list_files(tmp_path) == []


def test_changed_file_is_restarted(server: ScriptedServer, open_client: OpenClient, tmp_path: Path) -> None:
    """If-Range no longer fits, so the server sends everything."""
    script_output(
        server,
        lambda received: (
            part_reply(0, None, ALTERED, '"two"') if "range" in received.headers else part_reply(0, 5000)
        ),
    )
    check_stored(open_client(server).save_job(tmp_path), tmp_path, ALTERED)
    assert server.gets[-1].headers["if-range"] == '"one"'


@pytest.mark.parametrize("etags", [('"one"', '"two"'), ('W/"one"', 'W/"two"')])
def test_changed_file_is_restarted_despite_if_range(
    etags: tuple[str, str], server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Two versions must not become one file."""

    def act(received: Request) -> Action:
        first = len([get for get in server.gets if get.path == received.path]) == 1
        return (
            part_reply(0, 5000, MP4, etags[0])
            if first
            else part_reply(read_range_start(received), None, ALTERED, etags[1])
        )

    script_output(server, act)
    check_whole_or_absent(server, open_client, tmp_path, ALTERED)


def test_changed_length_restarts_the_file(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    longer = ALTERED + b"more"
    first = iter([part_reply(0, 5000, MP4, "")])
    script_output(
        server, lambda received: next(first, None) or part_reply(read_range_start(received), None, longer, "")
    )
    check_whole_or_absent(server, open_client, tmp_path, longer)


def check_whole_or_absent(
    server: ScriptedServer, open_client: OpenClient, folder: Path, *contents: bytes
) -> None:
    try:
        saved = open_client(server).save_job(folder)
    except StorageError:
        assert list_files(folder) == []
    else:
        assert list_files(folder)[0].read_bytes() in contents
        check_stored(saved, folder, list_files(folder)[0].read_bytes())
    assert len(server.gets) < 50


WRONG_RANGES = [
    "bytes 0-10255/10256",
    "bytes 5001-10255/10256",
    "bytes 4999-10255/10256",
    "bytes 5000-10255/*",
    "bytes */10256",
    "bytes 5000-4000/10256",
    "bytes 5000-10255/5000",
    "bytes 5000-10255/999999",
    "bytes 5000-10255/" + "9" * 5000,
    "bytes " + "9" * 5000 + "-10255/10256",
    "bytes -5-5/10",
    "octets 5000-10255/10256",
    "",
]


@pytest.mark.parametrize("has_length", [True, False], ids=["length known", "length unknown"])
@pytest.mark.parametrize("says", WRONG_RANGES, ids=lambda text: text[:30])
def test_wrong_content_range_is_ignored(
    says: str, has_length: bool, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """What was cut stays cut, however the rest of it is called."""
    assert len(MP4) == 10252
    says = says.replace("10256", "10252").replace("10255", "10251")
    cut = Reply(200, MP4, sent=5000, announce=len(MP4), chunked=not has_length)
    script_output(
        server,
        lambda received: (
            Reply(206, MP4[5000:], {"content-range": says}) if "range" in received.headers else cut
        ),
    )
    check_whole_or_absent(server, open_client, tmp_path, MP4)


def test_file_longer_than_announced_fails(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """The result tells the size, so a second fetch is worth while."""
    script_output(server, [Reply(200, MP4, announce=5000), Reply(416), Reply(200, MP4)], file_size=len(MP4))
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


def test_missing_last_chunk_is_completed(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """All bytes have come, but nothing said so; the server, asked for more, rightly answers 416."""
    cut = Reply(200, MP4, sent=len(MP4), chunked=True)
    first = iter([cut])

    def act(received: Request) -> Action:
        if "range" in received.headers:
            return Reply(416, b"", {"content-range": f"bytes */{len(MP4)}"})
        return next(first, None) or Reply(200, MP4)

    script_output(server, act)
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, MP4[:5000], announce=len(MP4)),
        Reply(200, MP4, chunked=True, sent=5000),
        Reply(206, MP4, {"content-range": "bytes 0-99/100"}),
        Reply(206, MP4[:5000], {"content-range": "bytes 0-4999/5001"}),
        Reply(206, MP4),
        Reply(201, MP4),
        Reply(203, MP4),
    ],
    ids=[
        "too short",
        "too few chunks",
        "more than the range",
        "less than the range",
        "206 without range",
        "201",
        "203",
    ],
)
def test_file_of_wrong_length_is_not_stored(
    answer: Action, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [answer])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("size", [1, len(MP4) - 1, len(MP4) + 1, 10**30])
def test_file_of_wrong_result_size_is_not_stored(
    size: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, MP4)], file_size=size)
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("size", [len(MP4), None, 0, -3, "many", True, 1.5, [], float(len(MP4))])
def test_fitting_or_unknown_size_is_accepted(
    size: Any, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, MP4)], file_size=size)
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "body",
    [HTML, PNG, b"{}", b'<?xml version="1.0"?><Error/>', b'\n {"error": "gone"}', b'[{"a": 1}]'],
    ids=["HTML", "png", "{}", "XML", "JSON", "list"],
)
def test_other_content_than_video_is_refused(
    body: bytes, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(200, body, {"content-type": "video/mp4"})])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


def test_video_instead_of_image_is_refused(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play(gateway_script(result=[result_reply(images=[{"url": server.url + "/files/a.png"}])]))
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("output", ["/files/x.mp4", "/files/x.txt", "/files/x"])
def test_compressed_file_is_refused(
    output: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """The lengths of what is compressed say nothing, so it is refused, or decoded; never stored as it is."""
    body = gzip.compress(MP4)
    files = [Reply(200, body, {"content-encoding": "gzip"})]
    server.play(gateway_script(result=[result_reply(server.url + output)], files=files))
    client = open_client(server)
    try:
        check_stored(client.job(JOB).wait().save(tmp_path), tmp_path)
    except StorageError:
        assert list_files(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_gone_output_is_a_storage_error(
    status: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [json_reply(status, {"error": "gone"})])
    with pytest.raises(StorageError, match=f"/files/x.mp4: status {status}") as caught:
        open_client(server).save_job(tmp_path)
    assert "can still be fetched" not in str(caught.value)
    assert len([received for received in server.gets if received.path.startswith("/files/")]) == 1
    assert list_files(tmp_path) == []


def test_output_gone_midway_is_a_storage_error(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [part_reply(0, 5000), json_reply(404)])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("announced", [None, 70_000])
def test_endless_body_is_cut_off(
    announced: int | None,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 3_000_000)
    script_output(server, [Endless(MP4 * 8)], file_size=announced)
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


def test_redirect_to_another_host_is_followed(
    server: ScriptedServer, second_server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Storage hosts do that; what counts is that the file is whole, and that the key stays (see the other file)."""
    second_server.play(lambda received: part_reply(read_range_start(received), 4000))
    script_output(server, [Reply(302, b"", {"location": second_server.url + "/there.mp4"})])
    check_stored(open_client(server).save_job(tmp_path), tmp_path)


@given(st.data())
def test_file_is_whole_or_absent_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    result = read_ended_job(
        JOB, None, None, Answer(200, {}, result_reply("https://files.example/x.mp4").body)
    )
    assert isinstance(result, ResultData)
    flow = collect(Session(Gateway("https://gateway.example"), Key), result, Destination(Folder(folder)))
    outcome: Any = None
    step = flow.send
    for _ in range(400):
        try:
            effect = step(outcome)
        except StopIteration as stop:
            check_stored(stop.value, folder, list_files(folder)[0].read_bytes())
            assert list_files(folder)[0].read_bytes() in (MP4, ALTERED)
            return
        except StorageError:
            assert list_files(folder) == []
            return
        step, outcome = flow.send, None
        try:
            if isinstance(effect, effects.Fetch):
                outcome = feed(effect, data)
            elif isinstance(effect, effects.Now):
                outcome = 0.0
            elif isinstance(effect, effects.Call):
                outcome = effect.function()
        except StorageError as error:
            step, outcome = flow.throw, error
    raise AssertionError("no end")


def feed(effect: effects.Fetch, data: st.DataObject) -> Outcome:
    """Answer a request for the file somehow: with ranges or not, from this version or that, cut or not."""
    start = int(effect.request.headers.get("range", "bytes=0-")[6:-1])
    version, etag = data.draw(st.sampled_from([(MP4, '"one"'), (ALTERED, '"two"')]))
    ranges = data.draw(st.booleans()) and start
    if ranges and effect.request.headers.get("if-range", etag) != etag:
        ranges = 0
    body, status = version[ranges or 0 :], 206 if ranges else 200
    headers = {"etag": etag, "content-length": str(len(body))}
    if ranges:
        headers["content-range"] = f"bytes {start}-{len(version) - 1}/{len(version)}"
    if not data.draw(st.booleans()):
        del headers["content-length"]
    if effect.download.begin(status, headers):
        cut = data.draw(st.none() | st.integers(0, len(body)))
        for at in range(0, len(body[:cut]), 3000):
            effect.download.write(body[:cut][at : at + 3000])
        if cut is not None:
            return Fault("cut", sent=True)
    return Answer(status, headers, b"")
