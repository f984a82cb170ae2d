"""A gateway that means harm: it gets no key into other hands or into any text, nothing outside the target folder, no
more memory and time than is set, and a call that it answers ends as documented.

What single answers, addresses, ids and files do is in the other modules of this folder; here everything comes together.
"""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import KlingError, SubmitUncertain, WaitTimeout
from kling_adapters._http import exchange as _http
from kling_adapters.testing import MP4
from tests.support.clients import Client, OpenClient, unwrap
from tests.support.scripted_server import (
    JOB,
    KEY,
    Action,
    Drip,
    Endless,
    Raw,
    Reply,
    ScriptedServer,
    gateway_script,
    json_reply,
    result_reply,
    submit_reply,
)

SECRET = KEY.encode()
SPACES = gzip.compress(b" " * 4_000_000, 9)


def head(*lines: bytes, body: bytes = b"") -> Raw:
    return Raw(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body]))


def encoded_reply(body: bytes, encoding: str) -> Reply:
    return Reply(200, body, {"content-encoding": encoding})


ANSWERS: dict[str, Action] = {
    # Without end, or as good as.
    "endless body": Endless(b" " * 65536),
    "endless text in a value": Endless(b'{"status": "' + b"x" * 65536),
    "endless head": head(*(b"x-%d: %s" % (n, b"y" * 4000) for n in range(500))),
    "endless header": head(b"x: " + b"y" * 3_000_000),
    "endless interim answers": Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "length of a planet": head(b"content-length: " + b"9" * 4000, body=b"{}"),
    "length below zero": head(b"content-length: -5", body=b"{}"),
    "chunk of a planet": head(b"transfer-encoding: chunked", body=b"f" * 15 + b"\r\n{}"),
    # Bombs.
    "gzip bomb": encoded_reply(SPACES, "gzip"),
    "gzip bomb in two layers": encoded_reply(gzip.compress(SPACES, 9), "gzip, gzip"),
    "gzip bomb in two headers": head(
        b"content-encoding: gzip", b"content-encoding: gzip", body=gzip.compress(SPACES, 9)
    ),
    "gzip that is none": encoded_reply(b"{}", "gzip"),
    "gzip cut off": encoded_reply(gzip.compress(submit_reply().body)[:-12], "gzip"),
    "unheard-of packing": encoded_reply(b"{}", "zstd, br, x-own"),
    "deep lists": Reply(200, b"[" * 500_000),
    "deep objects": Reply(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep metrics": Reply(200, b'{"status":"COMPLETED","metrics":' + b"[" * 900 + b"]" * 900 + b"}"),
    "number of a planet": Reply(200, b'{"metrics":{"cost":' + b"9" * 100_000 + b"}}"),
    # The key, thrown back where a parser may quote it.
    "key as a header without a colon": head(b"x-echo " + SECRET),
    "key as the name of a header": head(SECRET + b" : x"),
    "key as a status": Raw(b"HTTP/1.1 " + SECRET + b" OK\r\n\r\n"),
    "key as a reason": Raw(b"HTTP/1.1 401 " + SECRET + b"\r\ncontent-length: 0\r\n\r\n"),
    "key as a length": head(b"content-length: " + SECRET),
    "key as a chunk": head(b"transfer-encoding: chunked", body=SECRET + b"\r\n\r\n"),
    "key as a coding": head(b"transfer-encoding: " + SECRET),
    "key as gzip": encoded_reply(SECRET, "gzip"),
    "key in packed words": Reply(
        400, gzip.compress(b'{"error": "no such key: %s"}' % SECRET), {"content-encoding": "gzip"}
    ),
    "key as a state": json_reply(200, {"status": KEY, "request_id": JOB}),
    "key in a challenge": json_reply(401, {"error": KEY}, {"www-authenticate": f'Basic realm="{KEY}"'}),
    # Lines in headers and words that steer a terminal.
    "folded headers": head(b"x: a", b" x-api-key: b", b"content-length: 2", body=b"{}"),
    "zero in a header": head(b"x: \0", b"content-length: 2", body=b"{}"),
    "bare line feeds": Raw(b"HTTP/1.1 200 OK\nx: y\n\n{}"),
    "two answers": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" * 2),
    "words for a terminal": json_reply(400, {"error": "\x1b[2J\x1b]0;gone\x07\r\nAll is well\u202e", "message": "\x9b1m"}),
    "failed for a terminal": json_reply(422, {"status": "FAILED", "error": "\x1b[2J\x08\r\nAll is well"}),
    "state for a terminal": json_reply(200, {"status": "\x1b[2J\u202e", "request_id": JOB}),
}  # fmt: skip

WRONG: list[Any] = [
    None,
    True,
    -1,
    1e308,
    10**400,
    "",
    "\0",
    [],
    [[]],
    {},
    {"url": {"url": []}},
    ["x", None, 7],
]
FIELDS = "request_id status output video images audio metrics error credits free-credits status_url response_url poll_url"
for value in WRONG:
    ANSWERS[f"all is {value!r:.20}"] = json_reply(200, dict.fromkeys(FIELDS.split(), value))


def texts(thing: Any) -> str:
    """Everything a person may get to see of it."""
    if isinstance(thing, BaseException):
        return "".join(traceback.format_exception(thing)) + repr(vars(thing)) + str(thing)
    return str(thing) + repr(thing)


def is_plain(text: str) -> bool:
    return all(letter.isprintable() for line in text.split("\n") for letter in line)


def call_everything(client: Client, folder: Path) -> list[Any]:
    """Call whatever there is to call; what comes back, or is raised as documented."""
    job = client.job(JOB)
    calls: list[Callable[[], Any]] = [
        client.submit_job,
        client.credits,
        job.status,
        lambda: job.wait(40),
        lambda: job.wait(40).save(folder),
    ]
    results: list[Any] = []
    for call in calls:
        try:
            results.append(unwrap(call()))
        except KlingError as error:
            results.append(error)
    return results


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_hostile_answers_harm_no_client(
    answer: Action,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To every request the same; so that each reader gets it."""
    monkeypatch.setattr(_http, "MAX_ANSWER_BYTES", 1_000_000)
    target = tmp_path / "target"
    server.play(lambda _: answer)
    client = open_client(server)
    with caplog.at_level(logging.DEBUG, "kling_adapters"):
        results = call_everything(client, target)
    assert isinstance(results[-1], KlingError)
    shown = "".join(map(texts, results))
    assert KEY not in shown + caplog.text
    for error in results:
        assert not isinstance(error, KlingError) or is_plain(str(error))
    assert is_plain(caplog.text)
    assert [path for path in tmp_path.rglob("*") if path != target] == []
    assert len(server.posts) == 1


def test_combined_hostile_answers_harm_no_client(
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It accepts, names other hosts and hostile files, and redirects; the file is stored where it should be."""
    away = dict.fromkeys(
        ("status_url", "response_url", "poll_url"), f"{second_server.url}/v2/requests/{JOB}?key={KEY}"
    )
    evil = {"set-cookie": f"key={KEY}; Path=/", "refresh": f"0; url={second_server.url}", "link": f"<{second_server.url}>; rel=next",
            "content-disposition": 'attachment; filename="../../outside.mp4"', "x-api-key": KEY}  # fmt: skip
    name = "../../outside.mp4"
    video = {
        "url": f"{server.url}/files/..%2f..%2foutside.mp4",
        "file_name": name,
        "content_type": "../../text/x",
    }
    server.play(
        gateway_script(
            submit=[json_reply(200, {"request_id": "../../../outside", **away}, evil)],
            status=[Reply(307, b"", {"location": second_server.url, **evil}), json_reply(200, {"status": "COMPLETED", **away}, evil)],
            result=[result_reply(video["url"], video=video, file_name=name, **away)],
            files=lambda _: Reply(302, b"", {"location": f"{second_server.url}/files/%2e%2e/x?key=1", **evil}),
        )
    )  # fmt: skip
    second_server.play(lambda _: Reply(200, MP4, evil))
    target = tmp_path / "a" / "target"
    client = open_client(server)
    with caplog.at_level(logging.DEBUG, "kling_adapters"):
        [saved] = client.save_job(target)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [saved.path]
    assert saved.path.parent == target
    assert saved.path.read_bytes() == MP4
    assert len(second_server.requests) == 1
    assert not any(KEY in repr(received) for received in second_server.requests)
    assert KEY not in caplog.text


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "MAX_ANSWER_SECONDS", 0.3)


@pytest.mark.usefixtures("short_timeout")
def test_dripping_answer_is_abandoned(open_client: OpenClient) -> None:
    """Each drop comes in time, and so no timeout of a read ever ends it."""
    with ScriptedServer(lambda _: Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b" ")) as server:
        client = open_client(server)
        began = time.monotonic()
        with pytest.raises(SubmitUncertain, match="took longer"):
            client.submit_job()
        with pytest.raises(WaitTimeout):
            client.job(JOB).wait(1)
        assert time.monotonic() - began < 20


BOMB = """
import gzip, resource, sys
from itertools import repeat
from tests.support.scripted_server import *
from kling_adapters import Kling, KlingError
from kling_adapters.testing import SimulatedClock

with ScriptedServer(gateway_script(submit=[Reply(200, bytes.fromhex(sys.argv[1]), {"content-encoding": sys.argv[2]})])) as server:
    with Kling(api_key=KEY, base_url=server.url, clock=SimulatedClock(), journal=None) as kling:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            kling.submit("kling-2", prompt="x")
        except KlingError as error:
            print(type(error).__name__)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("layers", [1, 2])
def test_decompression_bomb_is_refused(layers: int) -> None:
    """150 MB of spaces, in one layer or in two of some hundred bytes: in a process of its own, measured."""
    body = gzip.compress(b" " * 150 * 1024**2, 9)
    for _ in range(layers - 1):
        body = gzip.compress(body, 9)
    command = [sys.executable, "-c", BOMB, body[:60_000].hex(), ", ".join(["gzip"] * layers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    name, kilobytes = done.stdout.split()
    assert name == "SubmitUncertain"
    assert int(kilobytes) < 80_000
