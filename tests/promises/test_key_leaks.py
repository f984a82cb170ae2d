"""Promise 5 once more, from the other side: everything a run leaves behind is searched for the key it was made with.

What the key did in the gateway's own headers is in test_key_destinations.py. Here it is searched for whole, in pieces and
in other spellings, in what was logged, raised, shown, exported, printed and written; also where the gateway repeats it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
from kling_keypool import Keypool
from kling_opentelemetry import OpenTelemetry
from kling_webhook import Webhook
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kling_adapters import Kling, KlingError, events
from kling_adapters.hookspecs import hookimpl
from kling_adapters.testing import MP4, PNG, SimulatedClock
from tests.support.clients import Client, OpenClient, unwrap
from tests.support.http_library import HTTPCORE
from tests.support.scripted_server import (
    JOB,
    Action,
    Hangup,
    Raw,
    Reply,
    Request,
    ScriptedServer,
    Silence,
    failure_reply,
    gateway_script,
    json_reply,
    repeat_last,
    result_reply,
    status_reply,
    submit_reply,
)

# Not all letters, so that its spellings differ.
KEY = "SG_7d1f/5be2+90aa&c43%8e6b=f0"
PIECE = 12
Script: TypeAlias = Mapping[str, Sequence[Action]]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def spellings(key: str) -> list[bytes]:
    """Every piece of a key, and all of it as it may be spelt in URLs, in JSON, in headers and in dumps."""
    whole = key.encode()
    pieces = [whole[start : start + PIECE] for start in range(len(whole) - PIECE + 1)]
    # Where it stands among other bytes decides how base64 spells it.
    coded = [base64.b64encode(b"-" * shift + whole)[shift + (shift > 0) : -4] for shift in range(3)]
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in key).encode()
    return [*pieces, *coded, quote(key).encode(), quote(key, safe="").encode(), whole.hex().encode(), escaped]


SPELLINGS = spellings(KEY)


def holds_key(data: bytes | str) -> bool:
    if isinstance(data, str):
        data = data.encode("utf-8", "backslashreplace")
    return any(spelling in data for spelling in SPELLINGS)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"key {KEY[:12]}...",
        f"...{KEY[-12:]}",
        quote(KEY, safe=""),
        f"?key={quote(KEY)}",
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.b64encode(f":{KEY}:".encode()).decode(),
        KEY.encode().hex(),
    ],
)
def test_search_finds_a_planted_key(text: str) -> None:
    assert holds_key(text)
    assert holds_key(text.encode())


class Evidence:
    """What a run left behind, by name. `keep` calls something, and takes what it returns or raises."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, bytes | str]] = []

    def keep(self, call: Callable[[], Any]) -> Any:
        try:
            result = call()
        except (KlingError, KeyboardInterrupt) as error:
            result = error
        self.show(unwrap(result))
        return result

    def show(self, thing: object) -> None:
        name = type(thing).__name__
        self.texts += [(f"str of {name}", str(thing)), (f"repr of {name}", repr(thing))]
        if isinstance(thing, BaseException):
            self.texts.append((f"vars of {name}", repr(vars(thing))))
            shown = traceback.TracebackException.from_exception(thing, capture_locals=True)
            self.texts.append((f"traceback of {name}", "".join(shown.format())))
        with suppress(Exception):  # few things can be pickled
            self.texts.append((f"pickle of {name}", pickle.dumps(thing)))
        if isinstance(thing, list | tuple):
            for item in thing:
                self.show(item)

    def read(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            self.texts.append((f"name of {path}", str(path)))
            if path.is_file():
                self.texts.append((str(path), path.read_bytes()))

    def add_logs(self, records: list[logging.LogRecord]) -> None:
        for record in records:
            text = f"{record.getMessage()} {record.msg!r} {record.args!r} {record.exc_text} {vars(record)}"
            self.texts.append((f"log of {record.name}", text))
            if record.exc_info and record.exc_info[1]:
                self.show(record.exc_info[1])

    def check(self) -> None:
        leaks = [(name, text) for name, text in self.texts if holds_key(text)]
        assert not leaks, "\n".join(f"{name}: {text[:2000]!r}" for name, text in leaks[:3])


class Host:
    """A client and everything that can be plugged into it: a pool of keys, webhooks, traces and metrics."""

    def __init__(self, open_client: OpenClient, url: str, receiver: ScriptedServer, folder: Path) -> None:
        self.events: list[events.Event] = []
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.plugins = [
            Keypool(),
            Webhook(
                receiver.url, secret=SECRET, dead_letters=folder / "letters.jsonl", clock=SimulatedClock()
            ),
            OpenTelemetry(tracer_provider=traces, meter_provider=MeterProvider([self._metrics]), params=True),
            self,
        ]
        journal = folder / "state" / "journal.sqlite3"
        self.client = open_client(url, api_key=None, plugins=self.plugins, journal=journal)

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        self.events.append(event)

    def show(self, evidence: Evidence) -> None:
        for thing in (self.client.kling, *self.plugins, *self.client.kling.plugins, *self.events):
            evidence.show(thing)
        for span in self._spans.get_finished_spans():
            evidence.texts.append(("span", span.to_json()))
        data = self._metrics.get_metrics_data()
        evidence.texts.append(("metrics", data.to_json() if data else ""))


def call_everything(kling: Client, folder: Path, evidence: Evidence) -> None:
    """Every call of a client, whatever comes of it."""
    keep = evidence.keep
    films = folder / "films"
    job = keep(lambda: kling.submit("kling-2", prompt="a lighthouse"))
    if not isinstance(job, BaseException):
        keep(job.status)
        keep(lambda: list(job.events()))
    # Another one, because its end is known now.
    job = keep(lambda: kling.submit_raw("kling-9", {"start_image": "https://example.com/a.png"}))
    if not isinstance(job, BaseException):
        result = keep(lambda: job.wait(30))
        if not isinstance(result, BaseException):
            keep(lambda: result.save(films))
    keep(lambda: kling.submit("kling-bloombloom", image=PNG))
    keep(lambda: kling.run_sync("kling-2", prompt="a lighthouse", save_to=films, timeout=20))
    keep(kling.credits)
    requests = [{"model": "kling-2", "prompt": "a lighthouse"}, {"model": "kling-2", "duration": 7}]
    keep(lambda: list(kling.map(requests, name="films", save_to=films)))
    keep(lambda: list(kling.resume(save_to=films)))
    keep(kling.entries)
    keep(lambda: kling.job(JOB).status())
    ask_history(kling, evidence)
    keep(lambda: kling.submit("kling-2", prompt=7))
    keep(lambda: kling.submit("kling-0", prompt="a lighthouse"))
    keep(lambda: kling.submit_raw("../kling", {}))
    keep(lambda: kling.run("kling-2", prompt="a lighthouse", save_to="nowhere://x"))


def ask_history(kling: Client, evidence: Evidence) -> None:
    """Every call that reads the request history by itself."""
    evidence.keep(kling.reconcile)
    evidence.keep(lambda: kling.estimate("kling-2", prompt="a lighthouse"))
    evidence.keep(lambda: kling.usage(0.0))


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is where a user has it, and in no variable of a test."""
    monkeypatch.setenv("SEGMIND_API_KEYS", KEY)
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    for name in ("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def check_destinations(gateway: ScriptedServer, *file_hosts: ScriptedServer) -> None:
    def describe(received: Request) -> str:
        return f"{received.path} { {**received.headers, 'x-api-key': ''} } {received.body.decode('latin-1')}"

    assert {received.headers.get("x-api-key") for received in gateway.requests} <= {KEY, None}
    assert any("x-api-key" in received.headers for received in gateway.requests)
    assert not any(holds_key(describe(received)) for received in gateway.requests)
    for server in file_hosts:
        assert not any(holds_key(repr(received)) for received in server.requests)


# Longer than a question is repeated, shorter than a job is waited for.
LONG, DONE = 8, status_reply("COMPLETED")
ECHO = f"no such key: {KEY}"
ESCAPED = SPELLINGS[-1]
LIVES: dict[str, Script] = {
    "good": {},
    "limited": {"submit": [json_reply(429), json_reply(500), submit_reply()], "status": [json_reply(429), status_reply("COMPLETED")]},
    **{str(code): {"submit": [json_reply(code, {"error": "no"})]} for code in (401, 404, 406, 418, 429, 504)},
    "hung": {"submit": [Hangup()]},
    "failed": {"status": [failure_reply()]},
    "expired": {"status": [json_reply(404)]},
    "lost": {"status": [Hangup(reset=True)] * LONG + [DONE]},
    "no file": {"files": [json_reply(404)]},
    "no video": {"files": [Reply(200, b"<html>" * 200)]},
    "half a video": {"files": [Reply(200, MP4, announce=len(MP4) + 1)]},
}  # fmt: skip
ECHOES: dict[str, Script] = {
    **{f"{code} with it": {"submit": [json_reply(code, {"error": ECHO})]} for code in (400, 403, 406, 500, 504)},
    "in other words": {"submit": [json_reply(401, {"message": ECHO, "error_description": ECHO, KEY: KEY})]},
    "a page": {"submit": [Reply(502, f"<html>{ECHO}".encode(), {"content-type": "text/html"})]},
    "escaped": {"submit": [Reply(401, b'{"error": "' + ESCAPED + b'"}')]},
    "escaped a little": {"submit": [Reply(401, json.dumps({"error": KEY}).replace("/", "\\/").encode())]},
    "in wide letters": {"submit": [Reply(401, json.dumps({"error": KEY}).encode("utf-16"))]},
    "as the id": {"submit": [submit_reply(KEY)]},
    "as the state": {"status": [status_reply(KEY), status_reply("COMPLETED")]},
    "as the reason": {"status": [failure_reply(ECHO)]},
    "as the output": {"result": [result_reply(KEY, prompt=KEY, video={"url": f"/files/x.mp4?{KEY}", "file_name": KEY})]},
    "a poll that is none": {"status": [Reply(200, KEY.encode())] * LONG + [DONE]},
}  # fmt: skip
# The row of the lost submit.
LOST = {
    "request_id": "job-9",
    "model_name": "kling-2",
    "model_status": KEY,
    "request_body": {"prompt": "a lighthouse"},
    "error": ECHO,
    "generation_url": f"https://e.com/{KEY}",
    "model_created": time.time(),
}
ROW = {"request_id": JOB, "model_name": KEY, "model_status": KEY, "request_body": {KEY: KEY}, "error": ECHO}
HISTORIES: dict[str, Script] = {
    "rows": {"submit": [Hangup()], "history": [json_reply(200, {"generations": [{**ROW, "generation_url": f"https://e.com/{KEY}"}]})]},
    "the job": {"submit": [Hangup()], "history": [json_reply(200, {"generations": [LOST]})]},
    "ids": {"submit": [Hangup()], "history": [json_reply(200, {"generations": [{**ROW, "request_id": KEY}]})]},
    "a refusal": {"submit": [Hangup()], "history": [json_reply(401, {"error": ECHO})]},
    "a page": {"submit": [Hangup()], "history": [Reply(200, KEY.encode())]},
    "a redirect": {"submit": [Hangup()], "history": [Reply(302, b"", {"location": f"/elsewhere?key={KEY}"})]},
}  # fmt: skip
HEADS: dict[str, Script] = {
    "a header": {"submit": [json_reply(401, {"error": "no"}, {"x-request-id": KEY, "x-api-key": KEY})]},
    "a limit": {"submit": [json_reply(429, None, {"retry-after": KEY, "x-rate-limit-reset-at-utc": KEY})]},
    "a redirect": {"status": [Reply(302, b"", {"location": f"/elsewhere?key={KEY}"})] * LONG + [DONE]},
    "no head": {"submit": [Raw(b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n")]},
    "no HTTP": {"submit": [Raw(KEY.encode() * 3)]},
    "no status": {"status": [Raw(b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n")] * LONG + [DONE]},
    "a file that is none": {"files": [Raw(b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n")]},
    "a file elsewhere": {"files": [Reply(302, b"", {"location": f"http://127.0.0.1:1/{KEY}"})]},
    "a strange file": {"files": [Reply(206, MP4, {"content-range": KEY, "content-type": KEY})]},
    "a cookie": {"status": [json_reply(200, {"status": "COMPLETED"}, {"set-cookie": f"session={KEY}"})]},
}


def play(server: ScriptedServer, script: Script) -> None:
    history = repeat_last(script.get("history", [json_reply(404, {"error": "no"})]))
    script = {kind: actions for kind, actions in script.items() if kind != "history"}
    output = server.url + "/files/x.mp4"
    ids = [JOB, *(f"job-{number}" for number in range(20))]
    described = {
        "submit": list(map(submit_reply, ids)),
        "result": [result_reply(output, video={"url": output})],
        **script,
    }
    answer = gateway_script(**described)

    def act(received: Request) -> Action:
        if received.path == "/upload-asset" and "submit" not in script:
            return json_reply(200, {"file_urls": [f"{server.url}/assets/x.png"]})
        if received.path == "/v1/get-user-credits" and "status" not in script:
            return json_reply(200, {"credits": 7})
        if received.path == "/v1/kling-2" and "submit" not in script:
            return Reply(200, MP4, {"content-type": "video/mp4", "x-request-id": "job-sync", "x-cost": "0.5"})
        if received.path.startswith("/inference-request/"):
            return next(history)
        return answer(received)

    server.play(act)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "script",
    [*LIVES.values(), *ECHOES.values(), *HISTORIES.values(), *HEADS.values()],
    ids=[*LIVES, *ECHOES, *(f"history with {name}" for name in HISTORIES), *HEADS],
)
def test_client_leaves_the_key_nowhere(
    script: Script,
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    play(server, script)
    second_server.play(lambda _: Reply(204))
    evidence = Evidence()
    with caplog.at_level(logging.DEBUG):
        host = Host(open_client, server.url, second_server, tmp_path)
        call_everything(host.client, tmp_path, evidence)
        host.client.close()
    host.show(evidence)
    evidence.add_logs(caplog.records)
    evidence.read(tmp_path)
    evidence.texts += [("output", text) for text in capfd.readouterr()]
    evidence.check()
    check_destinations(server, second_server)
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"kling_adapters", HTTPCORE}
    assert second_server.requests
    paths = {request.path.partition("?")[0] for request in server.requests if "x-api-key" in request.headers}
    assert "/inference-request/request-history" in paths or "history" not in script


@pytest.mark.usefixtures("environment")
def test_interrupted_client_does_not_show_the_key(server: ScriptedServer, tmp_path: Path) -> None:
    """Within httpx: the traceback that an application reports has the variables of its functions, too."""
    server.play([Silence()])
    evidence = Evidence()

    def interrupt() -> None:
        while not server.requests:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with Kling(base_url=server.url, journal=tmp_path / "journal.sqlite3") as kling:
        error = evidence.keep(lambda: kling.submit("kling-2", prompt="a lighthouse"))
    assert isinstance(error, KeyboardInterrupt)
    assert HTTPCORE in "".join(traceback.format_exception(error))
    evidence.read(tmp_path)
    evidence.check()


class RefusedPool:
    """A pool of keys that all have been refused, one of which is none."""

    @hookimpl
    def kling_auth(self) -> RefusedPool:
        return self

    def keys(self) -> list[str]:
        return [KEY]

    def api_key(self) -> str:
        return f"{KEY}\n"

    def accepted(self, key: str, request_id: str) -> None: ...

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return False

    def key_of(self, request_id: str) -> str | None:
        return None


def test_empty_pool_does_not_show_its_keys(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    evidence = Evidence()
    client = open_client(server, api_key=None, plugins=[RefusedPool()], journal=tmp_path / "journal.sqlite3")
    call_everything(client, tmp_path, evidence)
    evidence.check()
    assert server.requests == []


def test_command_leaves_the_key_nowhere(server: ScriptedServer, tmp_path: Path) -> None:
    play(server, {})
    (tmp_path / "films.jsonl").write_text('{"model": "kling-2", "prompt": "a lighthouse"}\n')
    evidence = Evidence()

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", *words],
            cwd=tmp_path,
            env={
                **os.environ,
                **dict.fromkeys(("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"), str(tmp_path)),
                "KLING_JOURNAL": str(tmp_path / "journal.sqlite3"),
                "SEGMIND_API_KEY": KEY,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        evidence.texts += [(f"output of {words}", done.stdout), (f"errors of {words}", done.stderr)]
        return done.stdout + done.stderr

    def kling(*words: str) -> str:
        return run("from kling_adapters.cli import main; main()", *words)

    gateway = ("--base-url", server.url)
    film = ("kling-2", "prompt=a lighthouse", *gateway)
    assert JOB in kling("-v", "run", *film, "--save-to", "films", "--json")
    assert "1 completed" in kling("-v", "batch", "films.jsonl", *gateway)
    assert JOB in kling("jobs", "--json")
    assert "env_auth" in kling("plugins")
    play(server, {"submit": [json_reply(401, {"error": ECHO})]})
    assert "no such key: [key]" in kling("-v", "run", *film)
    play(server, {"submit": [Hangup()], "history": [json_reply(401, {"error": ECHO})]})
    assert "may have started" in kling("-v", "run", *film)
    for words in (("-v", "reconcile", *gateway), ("jobs", "--uncertain"), ("-v", "usage", *gateway)):
        assert "no such key: [key]" in kling(*words)
    code = f"from kling_adapters import Kling; Kling(base_url={server.url!r}).submit('kling-2', prompt='x')"
    assert "Traceback" in run(code)
    evidence.read(tmp_path)
    evidence.check()
    check_destinations(server)
