"""Promise 5, the key goes home only: to the gateway's own origin, and into no text of any kind."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import (
    AsyncKling,
    BadRequest,
    ConfigError,
    JobFailed,
    Kling,
    KlingError,
    StorageError,
    SubmitUncertain,
    TransportError,
    Unauthorized,
    WaitTimeout,
    events,
)
from kling_adapters.hookspecs import hookimpl
from kling_adapters.testing import MP4
from tests.support.clients import Client, OpenClient, unwrap
from tests.support.http_library import HTTPCORE
from tests.support.scripted_server import (
    JOB,
    KEY,
    Action,
    Hangup,
    Reply,
    Request,
    ScriptedServer,
    failure_reply,
    gateway_script,
    json_reply,
    result_reply,
    status_reply,
    submit_reply,
)


def holds_key(received: Request) -> bool:
    return any(
        KEY in part
        for part in (
            received.path,
            *received.headers,
            *received.headers.values(),
            received.body.decode("latin-1"),
        )
    )


@pytest.fixture
def check_traffic(server: ScriptedServer, second_server: ScriptedServer) -> Callable[[], None]:
    """Afterwards: the key went to the gateway with each of its own calls, and never anywhere else."""

    def check() -> None:
        assert not any(holds_key(received) for received in second_server.requests)
        for received in server.requests:
            assert received.headers.get("x-api-key", "") == (
                "" if received.path.startswith("/files/") else KEY
            )
            assert KEY not in received.path
            assert "authorization" not in received.headers
            assert "cookie" not in received.headers or KEY not in received.headers["cookie"]

    return check


def test_addresses_in_answers_are_not_called(
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    check_traffic: Callable[[], None],
) -> None:
    second_server.play(gateway_script())
    away = {
        "status_url": f"{second_server.url}/v2/requests/{JOB}/status",
        "response_url": f"{second_server.url}/v2/requests/{JOB}",
        "poll_url": f"{second_server.url}/v1/requests/{JOB}",
    }
    server.play(
        gateway_script(
            submit=[json_reply(200, {"request_id": JOB, **away})],
            status=[
                json_reply(200, {"status": "QUEUED", **away}),
                json_reply(200, {"status": "COMPLETED", **away}),
            ],
            result=[
                result_reply(
                    second_server.url + "/files/x.mp4",
                    video={"url": second_server.url + "/files/x.mp4"},
                    **away,
                )
            ],
        )
    )
    open_client(server).save_job(tmp_path)
    assert [received.path for received in second_server.requests] == ["/files/x.mp4"]
    check_traffic()


def test_gateway_files_are_fetched_without_the_key(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path, check_traffic: Callable[[], None]
) -> None:
    server.play(gateway_script(result=[result_reply(server.url + "/files/x.mp4")]))
    open_client(server).save_job(tmp_path)
    assert [received.path for received in server.requests][-1] == "/files/x.mp4"
    check_traffic()


def test_redirects_to_the_gateway_do_not_get_the_key(
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    check_traffic: Callable[[], None],
) -> None:
    second_server.play(lambda _: Reply(302, b"", {"location": server.url + "/files/x.mp4"}))
    server.play(gateway_script(result=[result_reply(second_server.url + "/x.mp4")]))
    open_client(server).save_job(tmp_path)
    check_traffic()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", ["submit", "status", "result"])
def test_redirects_of_gateway_calls_are_not_followed(
    kind: str,
    status: int,
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    check_traffic: Callable[[], None],
) -> None:
    second_server.play(gateway_script())
    moved = Reply(status, b"", {"location": second_server.url + "/v2/elsewhere"})
    script: dict[str, Any] = {kind: [moved]}
    server.play(gateway_script(**script))
    with pytest.raises(KlingError):
        open_client(server).finish_job(timeout=20)
    assert second_server.requests == []
    check_traffic()


def test_cookies_of_the_gateway_are_not_sent(
    server: ScriptedServer, second_server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Both stubs are one host to a cookie, which knows no ports; a session is a key too."""
    cookie = {"set-cookie": "session=secret; Path=/"}
    server.play(
        gateway_script(
            status=[json_reply(200, {"status": "COMPLETED"}, cookie)],
            result=[result_reply(second_server.url + "/x.mp4")],
        )
    )
    second_server.play(lambda _: Reply(200, MP4))
    open_client(server).save_job(tmp_path)
    assert "secret" not in second_server.requests[0].headers.get("cookie", "")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_does_not_get_the_key_of_a_local_gateway(
    variable: str,
    server: ScriptedServer,
    second_server: ScriptedServer,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain http is allowed to this machine because there is no one on the way; a proxy would be."""
    monkeypatch.setenv(variable, second_server.url)
    server.play(gateway_script())
    second_server.play(gateway_script())
    open_client(server).finish_job()
    assert second_server.requests == []


@pytest.mark.parametrize("answer", [json_reply(407), json_reply(502), Hangup(), Hangup(reset=True)])
def test_proxy_sees_only_the_name_of_the_gateway(
    answer: Action, second_server: ScriptedServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", second_server.url)
    second_server.play([answer] * 8)
    with pytest.raises((TransportError, SubmitUncertain)):
        open_client("https://gateway.example").submit_job()
    assert {received.method for received in second_server.requests} == {"CONNECT"}
    assert not any(holds_key(received) for received in second_server.requests)


class EventRecorder:
    """A plugin that hears every event."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        self.events.append(event)


def collect_visible(client: Client, folder: Path) -> list[object]:
    """Everything a user gets to see of one job, good or bad."""
    results: list[object] = [client, client.kling, client.clock, client.kling.plugins]

    def keep(call: Callable[[], Any]) -> Any:
        try:
            value = call()
        except KlingError as error:
            value = error
        results.append(unwrap(value))
        return value

    job = keep(client.submit_job)
    if isinstance(job, KlingError):
        return results
    keep(job.status)
    keep(client.credits)
    result = keep(lambda: job.wait(30))
    if not isinstance(result, KlingError):
        keep(lambda: result.save(folder))
    return results


LIVES: list[tuple[str, dict[str, list[Action]], type[KlingError] | None]] = [
    ("good", {"status": [status_reply("QUEUED"), json_reply(500), status_reply("COMPLETED")]}, None),
    ("unauthorized", {"submit": [json_reply(401, {"error": "bad key"})]}, Unauthorized),
    ("uncertain", {"submit": [Hangup()]}, SubmitUncertain),
    ("limited", {"submit": [json_reply(429), json_reply(500), submit_reply()]}, None),
    ("failed", {"status": [failure_reply()]}, JobFailed),
    ("hung", {"status": [Hangup(reset=True)]}, WaitTimeout),
    ("refused", {"status": [json_reply(401)]}, Unauthorized),
    ("no file", {"files": [json_reply(404)]}, StorageError),
    ("redirected", {"status": [Reply(302, b"", {"location": "/elsewhere"})]}, WaitTimeout),
]


@pytest.mark.parametrize(("script", "error"), [life[1:] for life in LIVES], ids=[life[0] for life in LIVES])
def test_no_text_holds_the_key(
    script: dict[str, Any],
    error: type[KlingError] | None,
    server: ScriptedServer,
    open_client: OpenClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.play(gateway_script(result=[result_reply(server.url + "/files/x.mp4")], **script))
    recorder = EventRecorder()
    with caplog.at_level(logging.DEBUG):
        results = collect_visible(open_client(server, plugins=[recorder]), tmp_path)
    assert error is None or any(type(thing) is error for thing in results)
    assert not any(KEY in str(thing) + repr(thing) for thing in [*results, *recorder.events])
    for thing in results:
        if isinstance(thing, BaseException):
            assert KEY not in "".join(traceback.format_exception(thing))
            assert KEY not in repr(vars(thing)) + repr(thing.args)
    assert {record.name.partition(".")[0] for record in caplog.records} >= {HTTPCORE}
    for record in caplog.records:
        assert KEY not in f"{record.getMessage()} {record.args!r} {record.exc_text}"
    assert KEY not in "".join(path.name for path in tmp_path.rglob("*"))


ECHO = f"no such key: {KEY}"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"submit": [json_reply(401, {"error": ECHO})]}, Unauthorized),
        ({"submit": [json_reply(400, {"message": ECHO})]}, BadRequest),
        ({"status": [json_reply(401, {"error_description": ECHO})]}, Unauthorized),
        ({"status": [failure_reply(ECHO)]}, JobFailed),
    ],
)
def test_key_repeated_by_the_gateway_is_masked(
    script: dict[str, Any],
    error: type[KlingError],
    server: ScriptedServer,
    open_client: OpenClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Error messages are what people paste into reports; many services quote the key they refuse."""
    server.play(gateway_script(**script))
    recorder = EventRecorder()
    client = open_client(server, plugins=[recorder])
    with caplog.at_level(logging.DEBUG, "kling_adapters"), pytest.raises(error) as caught:
        client.finish_job()
    assert "no such key" in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert KEY not in repr(recorder.events) + caplog.text


@pytest.mark.parametrize("key", ["1", "a", "QUEUED", "request_id", '"', "{", ":", "output"])
def test_short_key_does_not_garble_answers(key: str, server: ScriptedServer, open_client: OpenClient) -> None:
    """A sandbox may take any key, and whatever keeps a key out of messages must not change what was paid for."""
    server.play(
        gateway_script(
            status=[status_reply("QUEUED"), status_reply("COMPLETED")],
            result=[result_reply("a text: QUEUED 1")],
        )
    )
    client = open_client(server, api_key=key)
    result = client.finish_job()
    assert (result.request_id, result.output) == (JOB, "a text: QUEUED 1")


BAD_KEYS = [f"{KEY}\n", f"{KEY}\r\nx-evil: 1", f"{KEY} ", f" {KEY}", f"{KEY}\0", f"{KEY}é", f"{KEY}\u200b", f"\t{KEY}", f"{KEY}\x7f", f"{KEY}\ud800"]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_invalid_key_is_a_config_error(
    key: str, server: ScriptedServer, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.play([submit_reply()])
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as caught:
        open_client(server, api_key=key).submit_job()
    assert server.requests == []
    assert KEY not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize("key", ["", None])
def test_missing_key_is_a_config_error(
    key: str | None, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play([submit_reply()])
    with pytest.raises(ConfigError, match="SEGMIND_API_KEY"):
        open_client(server, api_key=key).submit_job()
    assert server.requests == []


class KeyPlugin:
    def __init__(self, key: Any) -> None:
        self.key = key

    @hookimpl
    def kling_auth(self, gateway: str) -> KeyPlugin:
        return self

    def api_key(self) -> Any:
        return self.key


@pytest.mark.parametrize("key", ["", *BAD_KEYS[:3], None, KEY.encode(), 7])
def test_plugin_without_a_key_is_a_config_error(
    key: Any, server: ScriptedServer, open_client: OpenClient
) -> None:
    """A request without a key would be refused in the gateway's words; better in ours, and before it is sent."""
    server.play([submit_reply()])
    with pytest.raises(ConfigError) as caught:
        open_client(server, api_key=None, plugins=[KeyPlugin(key)]).submit_job()
    assert server.requests == []
    assert KEY not in "".join(traceback.format_exception(caught.value))


REFUSED = [
    "http://gateway.example",
    "http://192.168.0.1:8080",
    "http://0.0.0.0",
    "http://localhost.example",
    "http://127.0.0.1.example",
    "http://127.0.0.1@gateway.example",
    "http://gateway.example#127.0.0.1",
    "http://gateway.example\\@127.0.0.1",
    "http://[::2]",
    "https://user@gateway.example",
    "https://user:word@gateway.example",
    "https://:word@gateway.example",
    "https://@gateway.example",
    "https://gateway.example?x=1",
    "https://gateway.example/?",
    "https://gateway.example#x",
    "https://gateway.example#",
    "https://",
    "https:///v2",
    "https://gateway.example:port",
    "https://gateway.example:99999",
    "https://gate\nway.example",
    "https://[::1",
    "ftp://gateway.example",
    "file:///etc",
    "gateway.example",
    "//gateway.example",
    "",
]


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_unsafe_gateway_addresses_are_refused(kind: type[Kling | AsyncKling], url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(api_key=KEY, base_url=url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("url", ["{}", "{}/", "{}/v1", "{}/v2", "{}/v2/", "{}/v1/"])
def test_safe_gateway_addresses_are_accepted(
    url: str, server: ScriptedServer, open_client: OpenClient, check_traffic: Callable[[], None]
) -> None:
    server.play(gateway_script())
    open_client(url.format(server.url)).finish_job()
    assert [received.path.partition("?")[0] for received in server.requests] == [
        "/v2/kling-2",
        f"/v2/requests/{JOB}/status",
        f"/v2/requests/{JOB}",
    ]
    check_traffic()
