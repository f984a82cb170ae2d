"""kling-webhook: delivery to a real server, verified by the official library."""

from __future__ import annotations

import json
import logging
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import kling_webhook
import pytest
import standardwebhooks
from kling_sandbox import Sandbox
from kling_webhook import Webhook

from kling_adapters import AsyncKling, ConfigError, Kling
from kling_adapters.events import (
    Completed,
)
from kling_adapters.testing import SimulatedClock
from tests.plugins.webhook.conftest import (
    BODY,
    EVENTS,
    SECOND_SECRET,
    SECRET,
    Receiver,
    StoppableClock,
    drain,
    make_events,
    make_result,
    make_webhook,
    read_letters,
    serve_receiver,
    sign_request,
    unreachable_url,
)
from tests.support.waiting import wait_until

README = Path(kling_webhook.__file__).parents[1].joinpath("README.md").read_text("utf-8")


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_receiver_gets_all_events_of_job(
    kind: type[Kling | AsyncKling], receiver: Receiver, letters: Path, tmp_path: Path
) -> None:
    prompt = "a private prompt"
    plugin = Webhook(receiver.url, secret=[SECRET, SECOND_SECRET])

    async def main(sandbox: Sandbox) -> str:
        options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        client = kind(**options, clock=SimulatedClock(), plugins=[plugin])
        arguments: dict[str, Any] = {"prompt": prompt, "save_to": tmp_path / "out"}
        if isinstance(client, Kling):
            with client:
                return client.run("kling-2", **arguments).request_id
        async with client:
            return (await client.run("kling-2", **arguments)).request_id

    with Sandbox(timing="polls:2") as sandbox:
        request_id = anyio.run(main, sandbox)
    kinds = [kind for _, kind in receiver.events]
    assert kinds[0] == "submitted"
    assert kinds[-2:] == ["completed", "stored"]
    assert {job for job, _ in receiver.events} == {request_id}
    for headers, body in receiver.requests:
        for secret in (SECRET, SECOND_SECRET):
            payload = standardwebhooks.Webhook(secret).verify(body, headers)
            assert payload["data"]["model"] == "kling-2"
        request_text = body.decode() + str(headers)
        assert not any(word in request_text for word in (sandbox.api_key, prompt, SECRET, SECOND_SECRET))
    stored = json.loads(receiver.requests[-1][1])["data"]["files"][0]
    assert stored["url"].startswith("file:")
    assert stored["size"] > 0
    assert not letters.exists()


def test_readme_table_matches_payloads(receiver: Receiver, letters: Path) -> None:
    plugin = make_webhook(receiver.url)
    for event in EVENTS.values():
        plugin.kling_event(event)
        plugin.kling_close()
    rows = re.findall(r"^\| `kling\.job\.(\w+)` \|[^|]*\| ?(.*)\|$", README, re.MULTILINE)
    assert [kind for kind, _ in rows] == list(EVENTS) == [kind for _, kind in receiver.events]
    for (kind, cell), (_, body) in zip(rows, receiver.requests, strict=True):
        payload = json.loads(body)
        assert set(payload) == {"type", "timestamp", "data"}
        assert datetime.fromisoformat(payload["timestamp"]).tzinfo == UTC
        data = payload["data"]
        documented = re.findall(r"`(\w+)`", cell)
        inner = [name for file in data.get("files", ()) for name in file] + ["cost"] * (kind == "completed")
        assert set(documented) == {*data, *inner} - {"request_id", "model"}, kind
        assert "secret prompt" not in body.decode()


def test_only_text_output_is_sent(receiver: Receiver, letters: Path) -> None:
    plugin = make_webhook(receiver.url)
    for output in ("a text", {"prompt": "a secret prompt"}):
        plugin.kling_event(Completed("r1", "kling-2", make_result(output=output), 1))
    plugin.kling_close()
    assert [json.loads(body)["data"]["output"] for _, body in receiver.requests] == ["a text", None]


def test_plugin_without_url_does_nothing(letters: Path) -> None:
    before = threading.active_count()
    plugin = Webhook()
    plugin.kling_event(EVENTS["completed"])
    plugin.kling_close()
    assert threading.active_count() == before
    assert not letters.parent.exists()


def test_environment_configures_plugin(
    receiver: Receiver, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{SECOND_SECRET} {SECRET}")
    with Sandbox() as sandbox, Kling(base_url=sandbox.base_url, api_key=sandbox.api_key) as kling:
        kling.submit("kling-2", prompt="x")
    [(headers, body)] = receiver.requests
    standardwebhooks.Webhook(SECRET).verify(body, headers)
    standardwebhooks.Webhook(SECOND_SECRET).verify(body, headers)


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("http://hooks.example.com/tok3n", SECRET, "must be https"),
        ("http://user:tok3n@10.0.0.1/", SECRET, "must be https"),
        ("http://127.0.0.1.example.com/tok3n", SECRET, "must be https"),
        ("ftp://127.0.0.1/tok3n", SECRET, "must be https"),
        ("tok3n", SECRET, "must be https"),
        ("https://tok3n\x00/", SECRET, "must be https"),
        ("https://tok3n..example/", SECRET, "must be https"),
        (f"https://tok3n{'a' * 60}.example/", SECRET, "must be https"),
        ("https://xn--tok3n/", SECRET, "must be https"),
        ("https://h:tok3n/", SECRET, "must be https"),
        ("https://example.com/", "", "no secret to sign with"),
        ("https://example.com/", "tok3n", "secret 1 of the webhook"),
        ("https://example.com/", [SECRET, "tok3n and other text that is not base64"], "secret 2 of the"),
        ("https://example.com/", "whsec_dG9rM24=", "secret 1 of the webhook"),
    ],
)
def test_invalid_configuration_error_hides_secrets(
    letters: Path, caplog: pytest.LogCaptureFixture, url: str, secret: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        Webhook(url, secret=secret)
    assert "tok3n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_invalid_configuration_breaks_plugin(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", "http://hooks.example.com/tok3n")
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    with Kling() as kling:
        [info] = [info for info in kling.plugins if info.name == "webhook"]
    assert info.state == "broken"
    assert "must be https" in info.reason
    assert "tok3n" not in info.reason


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_temporary_failure_is_retried_with_backoff(receiver: Receiver, letters: Path, status: int) -> None:
    answers = iter([status] * 5)
    receiver.answer = lambda _: next(answers, 204)
    clock = SimulatedClock()
    plugin = make_webhook(receiver.url, clock=clock)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert len(receiver.requests) == 6
    assert len(set(receiver.ids)) == 1
    for slept, delay in zip(clock.slept, (1, 4, 16, 64, 256), strict=True):
        assert delay / 2 <= slept <= delay
    assert not letters.exists()


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
def test_permanent_failure_is_not_retried(receiver: Receiver, letters: Path, status: int) -> None:
    receiver.answer = lambda _: status
    plugin = make_webhook(receiver.url)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert receiver.paths == ["/hook"]
    [letter] = read_letters(letters)
    assert f"the receiver returned status {status}" in letter["reason"]


def test_retries_keep_order_of_job(receiver: Receiver, letters: Path) -> None:
    fails = iter([503, 204, 500, 500, 204, 404, 204])
    receiver.answer = lambda _: next(fails)
    plugin = make_webhook(receiver.url)
    for event in make_events("a", "submitted", "state_changed", "completed", "stored"):
        plugin.kling_event(event)
    drain(plugin)
    kinds = [kind for _, kind in receiver.events]
    assert kinds == ["submitted"] * 2 + ["state_changed"] * 3 + ["completed", "stored"]
    assert [letter["payload"]["type"] for letter in read_letters(letters)] == ["kling.job.completed"]


def test_failing_job_does_not_delay_others(receiver: Receiver, letters: Path) -> None:
    release = threading.Event()
    statuses = iter([503])

    def answer(payload: dict[str, Any]) -> int:
        match payload["data"]["request_id"]:
            case "fails":
                return next(statuses, 204)
            case "hangs":
                release.wait(30)
        return 204

    receiver.answer = answer
    clock = StoppableClock()
    plugin = make_webhook(receiver.url, clock=clock)
    plugin.kling_event(make_events("fails", "submitted")[0])
    assert clock.stopped.wait(30)
    for event in (
        make_events("fails", "completed")
        + make_events("hangs", "submitted", "completed")
        + make_events("fine", "completed")
    ):
        plugin.kling_event(event)
    wait_until(lambda: ("fine", "completed") in receiver.events)
    assert ("fails", "completed") not in receiver.events
    assert ("hangs", "completed") not in receiver.events
    release.set()
    clock.go.set()
    drain(plugin)
    for job in ("fails", "hangs"):
        kinds = [kind for request_id, kind in receiver.events if request_id == job]
        assert kinds in (["submitted", "submitted", "completed"], ["submitted", "completed"])
    assert not letters.exists()


def test_logs_reprs_and_files_hide_secrets(
    receiver: Receiver, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//user:hunter2pass@") + "/tok3n-path?key=tok3n-query"
    answers = iter([503, 301, 410, 204])
    receiver.answer = lambda _: next(answers)
    plugin = make_webhook(url)
    for event in make_events("a", "submitted", "completed", "stored"):
        plugin.kling_event(event)
    down = make_webhook(unreachable_url() + "/tok3n-path")
    down.kling_event(EVENTS["completed"])
    drain(plugin)
    drain(down)
    assert receiver.paths == ["/hook/tok3n-path?key=tok3n-query"] * 4
    assert receiver.requests[0][0]["authorization"].startswith("Basic ")
    # The log of the receiver itself may contain its URL.
    messages = [
        f"{record.getMessage()} {record.exc_text}"
        for record in caplog.records
        if "uvicorn" not in record.name
    ]
    text = "\n".join(messages) + letters.read_text() + repr(plugin) + repr(down)
    assert "webhook msg_" in text
    for secret in (SECRET, SECRET[6:], "hunter2pass", "tok3n-path", "tok3n-query", "hunter-body"):
        assert secret not in text


def test_readme_examples_run(
    letters: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, app = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, Any] = {"secret": SECRET}
    exec(app, namespace)
    monkeypatch.chdir(tmp_path)
    with serve_receiver(namespace["app"]) as origin, Sandbox() as sandbox:
        client = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r}, "
        code = sender.replace("https://example.com", origin).replace("Kling(plugins", f"{client}plugins")
        exec(code, {"secret": SECRET})
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines][-2:] == ["kling.job.completed", "kling.job.stored"]
        assert httpx.post(f"{origin}/hooks/kling", content=b"{}").status_code == 401
        forged = sign_request(secret=SECOND_SECRET)
        response = httpx.post(f"{origin}/hooks/kling", content=BODY.encode(), headers=forged.headers)
        assert response.status_code == 401
    assert not letters.exists()
