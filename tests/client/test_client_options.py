"""Options of the clients: transport, proxy, default timeout, tags, and slugs of run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.models import Kling2
from kling_adapters.testing import FakeGateway
from tests.support.batches import Gateway, Runner, gateway, path, run
from tests.support.clients import OpenClient
from tests.support.scripted_server import ScriptedServer, json_reply

__all__ = ["gateway", "path", "run"]

PROMPT = {"prompt": "x"}


class Recording(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Records each request and sends it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._sync, self._async = httpx.HTTPTransport(), httpx.AsyncHTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._sync.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await self._async.handle_async_request(request)

    def close(self) -> None:
        self._sync.close()

    async def aclose(self) -> None:
        await self._async.aclose()


def test_transport_sends_gateway_requests_but_no_downloads(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    transport = Recording()

    before = len(sandbox.requests)
    with open_client(sandbox, transport=transport) as kling:
        result = kling.run("kling-2", prompt="x", save_to=tmp_path)
        assert result.saved[0].path.exists()
    received = sandbox.requests[before:]
    assert [request.url.path for request in transport.requests] == [
        request.path for request in received if not request.path.startswith("/media/")
    ]
    assert len(transport.requests) < len(received)
    assert all(request.headers["x-api-key"] == sandbox.api_key for request in transport.requests)


@pytest.mark.parametrize("status", [302, 307])
def test_transport_gets_no_request_for_a_redirect(
    open_client: OpenClient, sandbox: Sandbox, status: int
) -> None:
    requests: list[httpx.Request] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"})

    with (
        open_client(
            "https://gateway.example", transport=httpx.MockTransport(redirect), journal=None
        ) as kling,
        pytest.raises(ka.SubmitUncertain),
    ):
        kling.submit("kling-2", prompt="x")
    assert [request.url.host for request in requests] == ["gateway.example"]


def test_connect_error_of_a_transport_repeats_the_submit(open_client: OpenClient, sandbox: Sandbox) -> None:
    failures: list[type[httpx.TransportError]] = [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError]

    def fail(request: httpx.Request) -> httpx.Response:
        raise failures.pop(0)("failed", request=request)

    with (
        open_client(sandbox, transport=httpx.MockTransport(fail), journal=None) as kling,
        pytest.raises(ka.SubmitUncertain),
    ):
        kling.submit("kling-2", prompt="x")
    assert failures == []


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transport": 5}, "transport is of type int; expected an object with the method handle_"),
        ({"proxy": 5}, "proxy is of type int; expected the URL of a proxy"),
        ({"proxy": "http://user:12/word@proxy.example"}, "proxy is not the address of a proxy. Set it to"),
        (
            {"proxy": "http://proxy.example", "base_url": "http://127.0.0.1:1"},
            "proxy cannot be used with http:",
        ),
        (
            {"proxy": "http://proxy.example", "transport": Recording()},
            "Pass either proxy or transport, not both",
        ),
        ({"timeout": 0}, "timeout is 0; expected a number of seconds"),
        ({"timeout": "60"}, "timeout is '60'; expected a number of seconds"),
    ],
)
def test_wrong_option_is_a_config_error(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ka.ConfigError) as caught:
        kind(**{"base_url": "https://gateway.example", **options})
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("Nothing was sent")
    assert "word@" not in str(caught.value)


def test_transport_of_the_other_client_is_a_config_error() -> None:
    with pytest.raises(ka.ConfigError, match="expected an object with the method handle_request,"):
        Kling(transport=httpx.AsyncHTTPTransport())  # type: ignore[arg-type]
    with pytest.raises(ka.ConfigError, match="expected an object with the method handle_async_request,"):
        AsyncKling(transport=httpx.HTTPTransport())  # type: ignore[arg-type]


def test_proxy_replaces_those_of_the_environment(
    open_client: OpenClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer() as proxy, ScriptedServer() as environment_proxy:
        monkeypatch.setenv("HTTPS_PROXY", environment_proxy.url)
        monkeypatch.setenv("NO_PROXY", "gateway.example")
        proxy.play([json_reply(407)] * 20)
        with (
            open_client("https://gateway.example", proxy=proxy.url, journal=None) as kling,
            pytest.raises(ka.TransportError),
        ):
            kling.credits()
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        assert not any(sandbox.api_key in str(request) for request in proxy.requests)
        assert environment_proxy.requests == []


def test_timeout_of_the_client_is_the_default(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox, timeout=0.001) as kling:
        first, second = [kling.submit("kling-2", prompt="x") for _ in range(2)]
        for call in (
            first.wait,
            kling.job(second.request_id).wait,
            lambda: kling.run("kling-2", prompt="x"),
        ):
            with pytest.raises(ka.WaitTimeout) as caught:
                call()
            assert caught.value.seconds < 1
        assert first.wait(900).request_id == first.request_id


def test_timeout_of_a_call_replaces_that_of_the_client(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox, timeout=0.001) as kling:
        assert kling.run("kling-2", prompt="x", timeout=900).output


def test_tag_is_kept_with_the_entry(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        kling.submit("kling-2", prompt="x", tag="submit")
        kling.submit_model("kling-2", PROMPT, tag="submit_model")
        kling.submit_raw("kling-2", PROMPT, tag="submit_raw")
        kling.run(Kling2(prompt="x"), tag="run")
        kling.run_model("kling-2", PROMPT, tag="run_model")
        kling.run_direct("kling-2", prompt="x", tag="run_direct")
        kling.submit("kling-2", prompt="x")
        tags = [entry.tag for entry in kling.entries()]
    assert tags == ["submit", "submit_model", "submit_raw", "run", "run_model", "run_direct", None]


@pytest.mark.parametrize("call", ["submit", "run", "run_direct"])
def test_wrong_tag_is_refused(open_client: OpenClient, sandbox: Sandbox, call: str) -> None:
    with open_client(sandbox) as kling:
        for tag in (5, "", " ", "\ud800"):
            with pytest.raises(ka.ConfigError, match=r"^tag is .*; expected text"):
                getattr(kling, call)("kling-2", prompt="x", tag=tag)


def test_tag_of_a_batch_is_kept_with_each_entry(run: Runner, gateway: Gateway) -> None:
    requests = [{"model": "kling-2", "prompt": "a"}, {"model": "kling-2", "prompt": "b"}]
    for _ in range(2):
        # Unlike a name, a tag does not keep requests from being submitted again.
        assert len(run("map", requests, tag="order 7", max_cost=2, allow_unknown_cost=1)) == 2
    assert sorted(gateway.submits) == ["a", "a", "b", "b"]
    with pytest.raises(ka.ConfigError, match="Pass either name or tag, not both"):
        run("map", requests, name="films", tag="order 7")
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=run.journal) as kling:
        assert {entry.tag for entry in kling.entries()} == {"order 7"}


def test_tag_like_that_of_a_batch_belongs_to_no_batch(run: Runner, gateway: Gateway) -> None:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=run.journal) as kling:
        kling.submit("kling-2", prompt="a", tag="films#1")
        kling.run("kling-2", prompt="a", tag="films#1")
    assert (
        len(run("map", [{"model": "kling-2", "prompt": "a"}], name="films", max_cost=1, allow_unknown_cost=1))
        == 1
    )


def test_slug_of_run_time_is_validated(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        for slug, entry in kling.catalog.items():
            if entry.json_schema()["additionalProperties"]:
                continue  # a partial model accepts an unknown parameter
            with pytest.raises(ka.ParamsInvalid, match="nothing_known"):
                kling.submit_model(slug, {"nothing_known": 1})
        assert kling.submit_model("kling-2", PROMPT, extra=None).model == "kling-2"
        assert kling.run_model("kling-2", PROMPT).model == "kling-2"
        with pytest.raises(ka.UnknownModel):
            kling.run_model("kling-22", PROMPT)
        with pytest.raises(ka.ConfigError, match="params is of type list; expected a mapping"):
            kling.submit_model("kling-2", [("prompt", "x")])
        with pytest.raises(ka.ConfigError, match="model is 5; expected the slug"):
            kling.run_model(5, PROMPT)


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_run_sync_is_another_name_of_run_direct(kind: type[Kling | AsyncKling]) -> None:
    assert kind.run_sync is kind.run_direct


def test_resume_reports_the_entries_that_it_found(run: Runner, gateway: Gateway, tmp_path: Path) -> None:
    requests = [{"model": "kling-2", "prompt": str(number)} for number in range(3)]
    run("map", requests[:1])
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=run.journal) as kling:
        jobs = [kling.submit(Kling2(prompt=request["prompt"])) for request in requests[1:]]
    calls: list[tuple[ka.JournalEntry, ...]] = []
    before = len(gateway.requests)

    def on_start(entries: tuple[ka.JournalEntry, ...]) -> None:
        assert len(gateway.requests) == before
        calls.append(entries)

    outcomes = run("resume", on_start=on_start)
    [entries] = calls
    assert [entry.request_id for entry in entries] == [job.request_id for job in jobs]
    assert {outcome.index for outcome in outcomes} == {entry.id for entry in entries}
    run("resume", save_to=tmp_path / "out", on_start=calls.append)
    assert len(calls[-1]) == 3
    with pytest.raises(ka.ConfigError, match="on_start is 5; expected a function"):
        run("resume", on_start=5)


def test_transport_answers_a_whole_job_without_a_server() -> None:
    with FakeGateway() as gateway:
        base_url = gateway.base_url

    def answer(request: httpx.Request) -> httpx.Response:
        answer = gateway.answer(request.method, request.url.path, dict(request.headers), request.content)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    client = Kling(
        base_url=base_url, api_key=gateway.api_key, journal=None, transport=httpx.MockTransport(answer)
    )
    with client as kling:
        assert kling.run("kling-2", prompt="x").video is not None


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_invalid_history_setting_is_config_error(
    monkeypatch: pytest.MonkeyPatch, kind: type[Kling | AsyncKling]
) -> None:
    with pytest.raises(ka.ConfigError, match="history is 'no'; expected True or False"):
        kind(history="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("KLING_HISTORY", "off")
    with pytest.raises(ka.ConfigError, match="KLING_HISTORY is 'off'; expected 1 or 0"):
        kind()
    kind(history=True)


@pytest.mark.parametrize("client", [Kling, AsyncKling])
@pytest.mark.parametrize("rate_limit", [0, -1, 0.5, True, "5", float("nan"), float("inf"), 1e9, [5]])
def test_invalid_rate_limit_is_refused(client: Any, rate_limit: Any) -> None:
    with pytest.raises(ka.ConfigError, match=r"rate_limit is .*; expected a number of requests a minute"):
        client(api_key="SG_x", rate_limit=rate_limit)


@pytest.mark.parametrize("text", ["0", "five", "nan", "1e9", "-5"])
def test_invalid_rate_limit_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KLING_RATE_LIMIT", text)
    expected = r"the environment variable KLING_RATE_LIMIT is .*; expected a number of requests a minute"
    for client in (Kling, AsyncKling):
        with pytest.raises(ka.ConfigError, match=expected):
            client(api_key="SG_x")
        client(api_key="SG_x", rate_limit=5)


def test_rate_limit_of_the_environment_spaces_requests(
    open_client: OpenClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_RATE_LIMIT", " 5 ")
    with open_client(sandbox, journal=None) as client:
        for _ in range(3):
            client.credits()
        assert client.clock.slept == pytest.approx([12.24, 12.24])


def test_given_rate_limit_spaces_requests(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox, rate_limit=5, journal=None) as client:
        for _ in range(3):
            client.credits()
        assert client.clock.slept == pytest.approx([12.24, 12.24])


def test_poll_without_a_slot_in_time_is_not_sent(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox, rate_limit=1, journal=None) as client:
        job = client.submit("kling-2", prompt="x")
        before = len(sandbox.requests)
        with pytest.raises(ka.WaitTimeout, match="rate limit of this key"):
            job.wait(timeout=30)
        assert len(sandbox.requests) == before
