"""Promise 6, a file is whole or absent: whatever comes down the line, and whatever the disk does with it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_adapters import AsyncKling, ConfigError, Kling, KlingError, ResultData, StorageError, StoredFile
from kling_adapters.builtin.file_storage import PROBE_BYTES, FileWriter, Folder
from kling_adapters.hookspecs import Location, Storage, Writer, hookimpl
from kling_adapters.protocol import download, effects
from kling_adapters.protocol.collect import Destination, collect
from kling_adapters.protocol.file_names import safe_stem
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.responses import read_ended_job
from kling_adapters.protocol.session import Session
from kling_adapters.testing import MP4, PNG, SimulatedClock
from tests.support.clients import OpenClient
from tests.support.scripted_flow import Key, run
from tests.support.scripted_server import (
    JOB,
    KEY,
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
    submit_reply,
)

HTML = b"<!doctype html><html><body>" + b"Sign in to go on. " * 100 + b"</body></html>"
ALTERED = MP4[:12] + bytes(reversed(MP4[12:]))
Fetched = Callable[..., list[StoredFile]]


def play(server: ScriptedServer, files: Any, *, output: str = "/files/x.mp4", **described: Any) -> None:
    """A gateway whose job is done; `described` is what its result says of the video."""
    video = {"url": server.url + output, "content_type": "video/mp4", **described}
    server.play(gateway_script(result=[result_reply(server.url + output, video=video)], files=files))


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def check(saved: tuple[StoredFile, ...], folder: Path, content: bytes = MP4) -> None:
    """Exactly the files that were reported are there, and they are what was reported."""
    assert [file.path for file in saved] == files_in(folder)
    for file in saved:
        data = file.path.read_bytes()
        assert data == content
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def range_start(received: Request) -> int:
    """Return the start of the range of a request."""
    match = re.fullmatch(r"bytes=(\d+)-", received.headers.get("range", "bytes=0-"))
    assert match
    return int(match[1])


def part(start: int, sent: int | None, content: bytes = MP4, etag: str = '"one"', says: str = "") -> Reply:
    """The file from `start` on, cut after `sent` bytes."""
    rest = content[start:]
    headers = {"content-range": says or f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    if etag:
        headers["etag"] = etag
    cut = sent is not None and sent < len(rest)
    return Reply(
        206 if start else 200, rest, headers, announce=len(rest) if cut else -1, sent=sent if cut else None
    )


@pytest.mark.parametrize("cut", [0, 1, 11, 511, 512, 513, 5000, len(MP4) - 1])
def test_cut_file_is_completed(
    cut: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [part(0, cut), part(cut, None)])
    check(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', ""])
def test_file_cut_repeatedly_is_completed(
    etag: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, lambda received: part(range_start(received), 700, etag=etag))
    check(open_client(server).save_job(tmp_path), tmp_path)
    fetched = [received for received in server.gets if received.path.startswith("/files/")]
    assert [range_start(received) for received in fetched] == list(range(0, len(MP4), 700))
    assert {received.headers["accept-encoding"] for received in fetched} == {"identity"}


def test_file_in_small_ranges_is_completed(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """A server may answer with less than was asked for; each piece says what it is and is whole."""

    def act(received: Request) -> Action:
        start = range_start(received)
        end = min(start + 3000, len(MP4))
        says = {"content-range": f"bytes {start}-{end - 1}/{len(MP4)}", "etag": '"one"'}
        return Reply(206, MP4[start:end], says) if start else part(0, 700)

    play(server, act)
    check(open_client(server).save_job(tmp_path), tmp_path)


def test_file_cut_by_resets_is_completed(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    cut = Reply(200, MP4, announce=len(MP4), sent=6000, reset=True)
    play(server, [cut, Hangup(), Hangup(reset=True), Reply(200, MP4)])
    check(open_client(server).save_job(tmp_path), tmp_path)


def test_file_is_restarted_if_ranges_are_ignored(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [part(0, 4000), part(0, 9000), part(0, 100), part(0, None)])
    check(open_client(server).save_job(tmp_path), tmp_path)


def test_endless_cuts_without_ranges_fail(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Now a little more comes, now a little less: never a file, so it must end."""
    count = iter(range(10**6))
    play(
        server,
        lambda _: part(0, 4000 + next(count) % 2) if is_within_limit(server) else Reply(404),
    )
    with pytest.raises(StorageError) as caught:
        open_client(server).save_job(tmp_path)
    assert len(server.gets) < 50
    assert caught.value.url
    assert files_in(tmp_path) == []


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
        part(0, 0),
        Reply(204, announce=None),
    ],
)
def test_empty_responses_fail(
    fault: Action, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [fault])
    with pytest.raises(StorageError) as caught:
        open_client(server).save_job(tmp_path)
    assert str(caught.value.url).endswith("/files/x.mp4")
    assert len(server.gets) < 50
    assert files_in(tmp_path) == []


def test_changed_file_is_restarted(server: ScriptedServer, open_client: OpenClient, tmp_path: Path) -> None:
    """If-Range no longer fits, so the server sends everything."""
    play(
        server,
        lambda received: part(0, None, ALTERED, '"two"') if "range" in received.headers else part(0, 5000),
    )
    check(open_client(server).save_job(tmp_path), tmp_path, ALTERED)
    assert server.gets[-1].headers["if-range"] == '"one"'


@pytest.mark.parametrize("etags", [('"one"', '"two"'), ('W/"one"', 'W/"two"')])
def test_changed_file_is_restarted_despite_if_range(
    etags: tuple[str, str], server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Two versions must not become one file."""

    def act(received: Request) -> Action:
        first = len([get for get in server.gets if get.path == received.path]) == 1
        return part(0, 5000, MP4, etags[0]) if first else part(range_start(received), None, ALTERED, etags[1])

    play(server, act)
    check_whole_or_absent(server, open_client, tmp_path, ALTERED)


def test_changed_length_restarts_the_file(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    longer = ALTERED + b"more"
    first = iter([part(0, 5000, MP4, "")])
    play(server, lambda received: next(first, None) or part(range_start(received), None, longer, ""))
    check_whole_or_absent(server, open_client, tmp_path, longer)


def check_whole_or_absent(
    server: ScriptedServer, open_client: OpenClient, folder: Path, *contents: bytes
) -> None:
    try:
        saved = open_client(server).save_job(folder)
    except StorageError:
        assert files_in(folder) == []
    else:
        assert files_in(folder)[0].read_bytes() in contents
        check(saved, folder, files_in(folder)[0].read_bytes())
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
    play(
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
    play(server, [Reply(200, MP4, announce=5000), Reply(416), Reply(200, MP4)], file_size=len(MP4))
    check(open_client(server).save_job(tmp_path), tmp_path)


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

    play(server, act)
    check(open_client(server).save_job(tmp_path), tmp_path)


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
    play(server, [answer])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("size", [1, len(MP4) - 1, len(MP4) + 1, 10**30])
def test_file_of_wrong_result_size_is_not_stored(
    size: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, MP4)], file_size=size)
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("size", [len(MP4), None, 0, -3, "many", True, 1.5, [], float(len(MP4))])
def test_fitting_or_unknown_size_is_accepted(
    size: Any, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, MP4)], file_size=size)
    check(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "body",
    [HTML, PNG, b"{}", b'<?xml version="1.0"?><Error/>', b'\n {"error": "gone"}', b'[{"a": 1}]'],
    ids=["HTML", "png", "{}", "XML", "JSON", "list"],
)
def test_other_content_than_video_is_refused(
    body: bytes, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, body, {"content-type": "video/mp4"})])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


def test_video_instead_of_image_is_refused(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play(gateway_script(result=[result_reply(images=[{"url": server.url + "/files/a.png"}])]))
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


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
        check(client.job(JOB).wait().save(tmp_path), tmp_path)
    except StorageError:
        assert files_in(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_gone_output_is_a_storage_error(
    status: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [json_reply(status, {"error": "gone"})])
    with pytest.raises(StorageError, match=f"/files/x.mp4: status {status}") as caught:
        open_client(server).save_job(tmp_path)
    assert "can still be fetched" not in str(caught.value)
    assert len([received for received in server.gets if received.path.startswith("/files/")]) == 1
    assert files_in(tmp_path) == []


def test_output_gone_midway_is_a_storage_error(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [part(0, 5000), json_reply(404)])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("announced", [None, 70_000])
def test_endless_body_is_cut_off(
    announced: int | None,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 3_000_000)
    play(server, [Endless(MP4 * 8)], file_size=announced)
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


def test_redirect_to_another_host_is_followed(
    server: ScriptedServer, second_server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Storage hosts do that; what counts is that the file is whole, and that the key stays (see the other file)."""
    second_server.play(lambda received: part(range_start(received), 4000))
    play(server, [Reply(302, b"", {"location": second_server.url + "/there.mp4"})])
    check(open_client(server).save_job(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "location",
    [
        "/files/x.mp4",
        "ftp://127.0.0.1/x",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "",
        "http://\x01/",
        "//",
        "data:video/mp4,",
    ],
)
def test_redirect_to_a_bad_address_fails(
    location: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(302, b"", {"location": location})])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "....//....//x",
    "C:\\windows\\x",
    "a\\..\\..\\b",
    "~root",
    "-rf",
    ".hidden",
    "x" * 300,
    "é" * 300,
    "日本",
    "a b;c|d&e$(f)`g`",
    "con",
    "%2e%2e%2f",
]


@pytest.mark.parametrize("request_id", HOSTILE, ids=lambda text: text[:20])
def test_hostile_request_ids_give_safe_names(
    request_id: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    images = [{"url": f"{server.url}/files/{n}", "file_name": request_id} for n in (1, 2)]
    server.play(
        gateway_script(
            submit=[submit_reply(request_id)],
            result=[result_reply(images=images)],
            files=lambda received: Reply(200, PNG + received.path.encode()),
        )
    )
    inside = tmp_path / "in" / "side"
    saved = open_client(server).save_job(inside)
    # Two images are two files, under names that are nothing but names.
    assert files_in(tmp_path) == sorted(file.path for file in saved)
    assert {path.parent for path in files_in(tmp_path)} == {inside}
    assert sorted(file.path.read_bytes() for file in saved) == [PNG + b"/files/1", PNG + b"/files/2"]
    for file in saved:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.png", file.path.name)
        assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256


@pytest.mark.parametrize("request_id", ["nul\0", "new\nline", "\x1b[2J", "\u202e"])
def test_unprintable_ids_are_not_ids(
    request_id: str, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(gateway_script(submit=[submit_reply(request_id)]))
    with pytest.raises(KlingError, match="without a request id"):
        open_client(server).submit_job()


@given(st.lists(st.text(max_size=400), max_size=3))
def test_stem_is_a_safe_file_name(parts: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}", safe_stem(*parts))


def test_refused_characters_of_a_stem_become_underscores() -> None:
    assert re.fullmatch("a_b-c-[0-9a-f]{12}", safe_stem("a /b", "c"))


def test_long_ids_get_different_names() -> None:
    assert safe_stem("kling-2", "x" * 300 + "1") != safe_stem("kling-2", "x" * 300 + "2")


URLS = [
    "https://[bad",
    "https://[::1",
    "https://a\u2100b.example/x.mp4",
    "https://host\ud800/x.mp4",
    "https://host/\ud800.mp4",
    "https://",
    "https:///x.mp4",
    "https://host:port/x.mp4",
    "https://host:99999/x.mp4",
    "https://127.0.0.1:1/\n",
    "https://127.0.0.1:1/\0",
    "https://user:pa ss@127.0.0.1:1/x",
    "https://xn--/x",
    "https://" + "a" * 70_000,
    "https://" + "é" * 80 + ".example/",
]


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url[:30]))
def test_hostile_addresses_are_not_fetched(
    url: str, described: bool, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Paid for all the same: the result comes, and saving it says what is wrong."""
    server.play(gateway_script(result=[result_reply(url, **({"video": {"url": url}} if described else {}))]))
    client = open_client(server)
    result = client.job(JOB).wait()
    assert result.output == url
    with pytest.raises(StorageError):
        result.save(tmp_path)
    assert files_in(tmp_path) == []


def test_plain_http_from_a_remote_gateway_is_refused(tmp_path: Path) -> None:
    data = read_ended_job(JOB, None, None, Answer(200, {}, result_reply("http://images.example/x.mp4").body))
    assert isinstance(data, ResultData)
    flow_result = run(
        collect(Session(Gateway("https://gateway.example"), Key), data, Destination(Folder(tmp_path))), []
    )
    assert isinstance(flow_result.error, StorageError)
    assert flow_result.sent == 0


@pytest.mark.parametrize("output", [None, 7, "text", [], {}, ["x"], "ftp://x/y", "javascript:alert(1)"])
def test_result_without_files_cannot_be_saved(
    output: Any, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play(gateway_script(result=[result_reply(output)]))
    with pytest.raises(StorageError, match="no file"):
        open_client(server).save_job(tmp_path)


def test_deeply_nested_output_has_no_files() -> None:
    """Whatever depth JSON could be read at, it can be talked about."""
    for depth in range(300, 1000, 10):
        data = read_ended_job(
            JOB,
            None,
            None,
            Answer(200, {}, result_reply("X").body.replace(b'"X"', b"[" * depth + b"]" * depth)),
        )
        if isinstance(data, ResultData):
            flow_result = run(
                collect(
                    Session(Gateway("https://gateway.example"), Key),
                    data,
                    Destination(Folder(Path("unused"))),
                ),
                [],
            )
            assert isinstance(flow_result.error, StorageError), depth


# The disk.


@pytest.mark.parametrize("to", ["file/below", "nul\0name", "n" * 300, "~no-such-user/x", "/proc/no/such"])
def test_unusable_folder_is_refused_before_the_submit(
    to: str,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    server.play(gateway_script())
    client = open_client(server)
    with pytest.raises((StorageError, ConfigError)):
        client.run("kling-2", prompt="a lighthouse", save_to=to)
    assert server.requests == []


def test_target_that_is_a_folder_is_a_storage_error(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, MP4)])
    (tmp_path / f"kling-2-{JOB}.mp4").mkdir()
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == []


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_is_refused_before_a_submit(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, MP4)])
    client = open_client(server)
    with (
        disk_full_after(PROBE_BYTES - 1),
        pytest.raises(StorageError, match=r"File too large. Nothing was sent"),
    ):
        client.run("kling-2", prompt="x", save_to=tmp_path)
    assert server.requests == []
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("size", [0, PROBE_BYTES, PROBE_BYTES + 300, PROBE_BYTES + 4096])
@pytest.mark.parametrize("content", [MP4[:2000], MP4, MP4 * 40], ids=["small", "middle", "large"])
def test_full_disk_leaves_no_part(
    content: bytes, size: int, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """The bytes that did not fit are still in Python's buffer when the file is closed, and fail once more."""
    if size > len(content):
        return
    play(server, [Reply(200, content)])
    client = open_client(server)
    result = client.finish_job()
    with disk_full_after(size), pytest.raises(StorageError):
        result.save(tmp_path)
    assert files_in(tmp_path) == []
    check(result.save(tmp_path), tmp_path, content)


class FailingStorage:
    """A plugin that stores in a folder, and in which `at` ("check", "open", "write", "commit") goes wrong."""

    def __init__(self, folder: Path, at: str, act: Callable[[], None]) -> None:
        self.folder, self.at, self.act = Folder(folder), at, act
        self.threads: set[int] = set()

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        return self if url.startswith("trouble:") else None

    def check(self) -> None:
        self.happen("check")
        self.folder.check()

    def open(self, name: str, content_type: str) -> Writer:
        self.happen("open")
        return FailingWriter(self, self.folder.open(name, content_type))

    def happen(self, at: str) -> None:
        self.threads.add(threading.get_ident())
        if at == self.at:
            self.act()


class FailingWriter:
    def __init__(self, failing_storage: FailingStorage, writer: Writer) -> None:
        self.failing_storage, self.writer = failing_storage, writer

    def write(self, chunk: bytes) -> None:
        self.writer.write(chunk[:100])
        self.failing_storage.happen("write")
        self.writer.write(chunk[100:])

    def commit(self, sha256: str) -> Location:
        self.failing_storage.happen("commit")
        return self.writer.commit(sha256)

    def abort(self) -> None:
        self.failing_storage.threads.add(threading.get_ident())
        self.writer.abort()


def raise_error(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("at", ["open", "write", "commit"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), ValueError("x"), StorageError("full"), RecursionError()]
)
def test_storage_failure_is_a_storage_error(
    at: str, error: Exception, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, [Reply(200, MP4)])
    failing_storage = FailingStorage(tmp_path, at, raise_error(error))
    with pytest.raises(StorageError):
        open_client(server, plugins=[failing_storage]).save_job("trouble:")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("at", ["check", "open", "write", "commit"])
def test_interrupt_leaves_no_part(at: str, server: ScriptedServer, tmp_path: Path) -> None:
    """Of the client that blocks; an interrupt of an event loop cancels its tasks, which has tests of its own."""
    play(server, [Reply(200, MP4)])
    failing_storage = FailingStorage(tmp_path, at, raise_error(KeyboardInterrupt()))
    client = Kling(api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=[failing_storage])
    with client as kling, pytest.raises(KeyboardInterrupt):
        kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")
    assert files_in(tmp_path) == []


def test_first_file_stays_if_the_second_fails(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    images = [{"url": f"{server.url}/files/{n}"} for n in (1, 2)]
    files = lambda received: Reply(200, PNG if received.path.endswith("1") else HTML)  # noqa: E731
    server.play(gateway_script(result=[result_reply(images=images)], files=files))
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert [path.read_bytes() for path in files_in(tmp_path)] == [PNG]


def test_existing_file_outlives_a_failed_download(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    target = tmp_path / f"kling-2-{JOB}.mp4"
    target.write_bytes(b"before")
    play(server, [part(0, 5000), json_reply(404)])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert files_in(tmp_path) == [target]
    assert target.read_bytes() == b"before"


def wait_for_threads() -> None:
    """Wait for the worker threads of an event loop that has ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("AnyIO worker"):
            thread.join(10)


async def cancel_by_task(work: Callable[[], Any], reached: anyio.Event) -> None:
    """As `asyncio.timeout`, `wait_for` and task groups of asyncio do it."""
    task = asyncio.ensure_future(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_by_scope(work: Callable[[], Any], reached: anyio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await reached.wait()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("at", ["open", "write", "commit"])
@pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_scope])
def test_cancel_during_a_slow_write_leaves_no_part(
    at: str, cancel: Any, server: ScriptedServer, tmp_path: Path
) -> None:
    """The thread goes on after the task has been cancelled; what it does then must be undone too."""
    play(server, [Reply(200, MP4)])

    async def main() -> None:
        reached, go_on = anyio.Event(), threading.Event()

        def act() -> None:
            anyio.from_thread.run_sync(reached.set)
            assert go_on.wait(10)

        async def work() -> None:
            async with AsyncKling(
                api_key=KEY,
                base_url=server.url,
                clock=SimulatedClock(),
                plugins=[FailingStorage(tmp_path, at, act)],
            ) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")

        async def release() -> None:
            await reached.wait()
            for _ in range(20):  # let the cancellation do what it does first
                await anyio.lowlevel.checkpoint()
            go_on.set()

        async with anyio.create_task_group() as group:
            group.start_soon(release)
            await cancel(work, reached)

    anyio.run(main)
    wait_for_threads()
    # Whole is right too, when the file was being put in its place at that very moment.
    assert [path.read_bytes() for path in files_in(tmp_path)] in ([], [MP4])
    assert not [path for path in files_in(tmp_path) if path.suffix == ".part"]


@pytest.mark.parametrize("cancel", [cancel_by_task, cancel_by_scope])
def test_cancel_during_a_download_leaves_no_part(cancel: Any, server: ScriptedServer, tmp_path: Path) -> None:
    async def main() -> None:
        reached = anyio.Event()
        count = iter(range(10**9))

        class Watch(FailingStorage):
            def happen(self, at: str) -> None:
                if at == "write" and next(count) == 3:
                    anyio.from_thread.run_sync(reached.set)

        play(server, [Endless(MP4 * 50)])

        async def work() -> None:
            plugins = [Watch(tmp_path, "", lambda: None)]
            async with AsyncKling(
                api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=plugins
            ) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")

        await cancel(work, reached)

    anyio.run(main)
    wait_for_threads()
    assert files_in(tmp_path) == []


def test_async_storage_is_called_in_worker_threads_only(server: ScriptedServer, tmp_path: Path) -> None:
    """As hookspecs promises, so that plain blocking code is right in a plugin; to abort may take long too."""
    play(server, [part(0, 9000), Reply(200, HTML)])
    failing_storage = FailingStorage(tmp_path, "", lambda: None)

    async def main() -> int:
        async with AsyncKling(
            api_key=KEY, base_url=server.url, clock=SimulatedClock(), plugins=[failing_storage]
        ) as kling:
            with pytest.raises(StorageError):
                await kling.run("kling-2", prompt="a lighthouse", save_to="trouble:")
        return threading.get_ident()

    assert anyio.run(main) not in failing_storage.threads


# The flow alone: any way of cutting a file gives the file, or nothing.


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
            check(stop.value, folder, files_in(folder)[0].read_bytes())
            assert files_in(folder)[0].read_bytes() in (MP4, ALTERED)
            return
        except StorageError:
            assert files_in(folder) == []
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


def test_writer_aborted_twice_leaves_nothing(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "x")
    writer.write(b"x")
    writer.abort()
    writer.abort()
    assert files_in(tmp_path) == []


def test_parts_of_dead_processes_only_are_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / ".x.mp4.0123456789abcdef.part").write_bytes(MP4[:700])
    another = tmp_path / ".y.mp4.0123456789abcdef.part"
    another.write_bytes(MP4[:700])
    first, second = FileWriter(tmp_path / "x.mp4"), FileWriter(tmp_path / "x.mp4")
    assert len(files_in(tmp_path)) == 3
    for writer in (first, second):
        writer.write(MP4)
    for writer in (first, second):
        writer.commit("")
        assert (tmp_path / "x.mp4").read_bytes() == MP4
    assert files_in(tmp_path) == [another, tmp_path / "x.mp4"]


def test_concurrent_writers_of_one_file_leave_one(tmp_path: Path) -> None:
    """None takes the part of another for one that was left."""

    def write() -> None:
        for _ in range(50):
            writer = FileWriter(tmp_path / "x.mp4")
            writer.write(MP4)
            writer.commit("")

    with ThreadPoolExecutor(4) as pool:
        for writing in [pool.submit(write) for _ in range(4)]:
            writing.result()
    assert [path.read_bytes() for path in files_in(tmp_path)] == [MP4]
