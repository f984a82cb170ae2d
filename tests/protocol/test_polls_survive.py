"""Promise 4, polls survive faults: whatever happens to a GET, the job is asked for again until the deadline."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_adapters import (
    ApiError,
    Forbidden,
    JobExpired,
    JobFailed,
    ModelRetired,
    RateLimited,
    TransportError,
    Unauthorized,
    WaitTimeout,
    events,
)
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import wait
from tests.support.clients import OpenClient
from tests.support.scripted_flow import Key, run
from tests.support.scripted_server import (
    JOB,
    Action,
    Hangup,
    Raw,
    Reply,
    ScriptedServer,
    failure_reply,
    gateway_script,
    json_reply,
    result_reply,
    status_reply,
)

HTML = Reply(200, b"<html>down for maintenance</html>", {"content-type": "text/html"})
MISSING = json_reply(404, {"error": "not found"})

# Every one of these must leave the job where it is.
FAULTS: dict[str, Action] = {
    "500": json_reply(500, {"error": "oops"}),
    "502 as HTML": Reply(502, HTML.body),
    "503": json_reply(503),
    "504": json_reply(504),
    "599": json_reply(599),
    "408": json_reply(408),
    "425": json_reply(425),
    "429": json_reply(429),
    "429 with Retry-After": json_reply(429, None, {"retry-after": "7"}),
    "429 with nonsense": json_reply(429, None, {"retry-after": b"\xb2", "x-rate-limit-reset-at-utc": "-"}),
    "404": MISSING,
    "422 as HTML": Reply(422, HTML.body),
    "reset": Hangup(reset=True),
    "closed": Hangup(),
    "half an answer": Reply(200, status_reply("COMPLETED").body, announce=900, sent=10),
    "half an answer, reset": Reply(200, status_reply("COMPLETED").body, announce=900, reset=True),
    "no HTTP": Raw(b"\x00\x01\x02\r\n\r\n"),
    "HTML": HTML,
    "empty": Reply(200),
    "204": Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "garbage": Reply(200, b"\xff\xfe\x00"),
    "nested deeply": Reply(200, b"[" * 200_000),
    "a list": json_reply(200, []),
    "no status": json_reply(200, {"request_id": JOB}),
    "a status that is not a text": status_reply({"COMPLETED": True}),
    "an unknown state": status_reply("WARMING_UP"),
    "302": json_reply(302, {"status": "COMPLETED"}, {"location": "/elsewhere"}),
    "broken compression": Reply(200, status_reply("COMPLETED").body, {"content-encoding": "gzip"}),
    "a broken cookie": json_reply(500, None, {"set-cookie": "\x01=;;; expires=Wdy, 99 Foo 99999 99:99:99; max-age=x"}),
}  # fmt: skip


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", FAULTS)
def test_wait_survives_a_faulty_status(
    name: str, times: int, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(
        gateway_script(
            status=[*[FAULTS[name]] * times, status_reply("PROCESSING"), status_reply("COMPLETED")]
        )
    )
    assert open_client(server).finish_job().request_id == JOB
    assert len(server.posts) == 1
    assert "/elsewhere" not in {received.path for received in server.gets}


@pytest.mark.parametrize("name", FAULTS)
def test_wait_survives_a_faulty_result(name: str, server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(result=[FAULTS[name], FAULTS[name], result_reply("a text")]))
    assert open_client(server).finish_job().output == "a text"


def test_wait_survives_every_fault_in_a_row(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(
        gateway_script(
            status=[*FAULTS.values(), status_reply("QUEUED"), *FAULTS.values(), status_reply("COMPLETED")]
        )
    )
    assert open_client(server).finish_job(timeout=1e6).request_id == JOB


def test_result_in_an_earlier_state_is_repeated(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(
        gateway_script(result=[status_reply("PROCESSING"), status_reply("QUEUED"), result_reply("a text")])
    )
    assert open_client(server).finish_job().output == "a text"


def answer(action: Action) -> Outcome:
    if isinstance(action, Reply) and action.announce == -1:
        headers = {k: v if isinstance(v, str) else v.decode("latin-1") for k, v in action.headers.items()}
        return Answer(action.status, headers, action.body)
    return Fault("cut", sent=True)


GATEWAY = Gateway("https://gateway.example")
REF = JobRef(JOB, "kling-2", 300.0, "video")
SURVIVED = [answer(FAULTS[name]) for name in FAULTS if name not in ("404", "broken compression")]


@given(
    st.lists(st.sampled_from(SURVIVED), max_size=25),
    st.lists(st.sampled_from(SURVIVED), max_size=2),
    st.integers(0, 2),
    st.randoms(use_true_random=False),
)
def test_wait_survives_any_mix_of_faults(
    asking: list[Outcome], fetching: list[Outcome], missing: int, random: Any
) -> None:
    asking = [*asking, *[answer(MISSING)] * missing]
    random.shuffle(asking)
    script = [*asking, answer(status_reply("COMPLETED")), *fetching, answer(result_reply("a text"))]
    flow_result = run(wait(Session(GATEWAY, Key), REF, 1e6), script)
    assert flow_result.error is None
    assert flow_result.value.output == "a text"
    assert flow_result.sent == len(script)


@given(
    st.lists(st.sampled_from([answer(status_reply("QUEUED")), *SURVIVED]), min_size=1, max_size=5),
    st.floats(0, 4000),
)
def test_wait_lasts_exactly_until_the_timeout(again: list[Outcome], timeout: float) -> None:
    """The pace is bounded on both sides: every 35 s at least, and a second apart on the average."""
    flow_result = run(wait(Session(GATEWAY, Key), REF, timeout), (again[i % len(again)] for i in range(5000)))
    assert isinstance(flow_result.error, WaitTimeout)
    assert timeout - 0.001 <= flow_result.seconds <= timeout + 0.001
    assert flow_result.error.seconds == pytest.approx(flow_result.seconds)
    assert 1 + timeout / 200 <= flow_result.sent <= 3 + timeout * 1.2


@pytest.mark.parametrize("headers", [{"retry-after": "0"}, {"x-rate-limit-reset-at-utc": "1"}])
def test_past_reset_does_not_speed_polls_up(headers: dict[str, str]) -> None:
    limited = Answer(429, headers, b"")
    flow_result = run(wait(Session(GATEWAY, Key), REF, 900), (limited for _ in range(5000)))
    assert isinstance(flow_result.error, WaitTimeout)
    assert flow_result.sent < 300


def test_polls_respect_and_remember_rate_limits() -> None:
    queued, limited = answer(status_reply("QUEUED")), Answer(429, {"retry-after": "50"}, b"")
    first_wait = run(
        wait(Session(GATEWAY, Key), REF, 900),
        [queued] * 3 + [limited] + [answer(status_reply("COMPLETED")), answer(result_reply())],
    )
    assert first_wait.seconds > 50

    def count_polls_of_another_job(limits: int) -> int:
        session = Session(GATEWAY, Key)
        run(wait(session, REF, 900), [limited] * limits + [answer(failure_reply())])
        return run(wait(session, REF, 60), [queued] * 5000).sent

    assert count_polls_of_another_job(6) < count_polls_of_another_job(0) / 2


@pytest.mark.parametrize(
    "status", [status_reply("QUEUED"), status_reply("?"), MISSING, json_reply(500), Hangup(), HTML]
)
def test_timeout_zero_polls_once(status: Action, server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(status=[status]))
    client = open_client(server)
    with pytest.raises(WaitTimeout):
        client.finish_job(timeout=0)
    assert len(server.gets) == 1
    assert client.clock.slept == []


def test_timeout_zero_fetches_a_ready_result(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(result=[json_reply(500), Hangup(), result_reply("a text")]))
    assert open_client(server).finish_job(timeout=0).output == "a text"


def test_job_of_a_wait_timeout_can_be_waited_for(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(status=[status_reply("PROCESSING")]))
    client = open_client(server)
    job = client.submit_job()
    with pytest.raises(WaitTimeout, match=rf"(?s){JOB}.*continues") as caught:
        job.wait(30)
    assert caught.value.job.request_id == job.request_id == caught.value.request_id == JOB  # type: ignore[union-attr]
    server.play(gateway_script(status=[status_reply("COMPLETED")], result=[result_reply("a text")]))
    assert client.view(caught.value.job).wait().output == "a text"
    # And once it is there, it is there.
    queries = len(server.gets)
    assert client.view(caught.value.job).wait().output == "a text"
    assert len(server.gets) == queries
    assert len(server.posts) == 1


def test_unfetched_result_is_not_lost(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(result=[json_reply(500)]))
    client = open_client(server)
    job = client.submit_job()
    with pytest.raises(WaitTimeout) as caught:
        job.wait(20)
    assert sum(client.clock.slept) >= 20
    server.play(gateway_script(result=[result_reply("a text")]))
    assert client.view(caught.value.job).wait().output == "a text"


@pytest.mark.parametrize("where", ["status", "result"])
def test_three_404_expire_a_job(where: str, server: ScriptedServer, open_client: OpenClient) -> None:
    script: dict[str, Any] = {where: [MISSING]}
    server.play(gateway_script(**script))
    with pytest.raises(JobExpired, match=JOB):
        open_client(server).finish_job()
    queries = [
        received for received in server.gets if received.path.endswith("/status") == (where == "status")
    ]
    assert len(queries) == 3


@pytest.mark.parametrize("where", ["status", "result"])
@pytest.mark.parametrize(
    "how",
    [
        failure_reply("too rude"),
        json_reply(200, {"status": "FAILED", "error": "too rude"}),
        json_reply(422, {"error": "too rude"}),
    ],
)
def test_failed_job_gives_its_reason(
    where: str, how: Action, server: ScriptedServer, open_client: OpenClient
) -> None:
    script: dict[str, Any] = {where: [how]}
    server.play(gateway_script(**script))
    with pytest.raises(JobFailed, match=r"too rude.*not billed") as caught:
        open_client(server).finish_job()
    assert caught.value.message == "too rude"
    assert len(server.posts) == 1


@pytest.mark.parametrize("where", ["status", "result"])
@pytest.mark.parametrize("timeout", [0, None])
@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden), (410, ModelRetired)])
def test_refusal_ends_the_wait_at_once(
    where: str,
    timeout: float | None,
    status: int,
    error: type[ApiError],
    server: ScriptedServer,
    open_client: OpenClient,
) -> None:
    """Asking again would not help, and saying that the job has not ended would send the caller the wrong way."""
    script: dict[str, Any] = {where: [json_reply(status, {"error": "bad key"})]}
    server.play(gateway_script(**script))
    client = open_client(server)
    with pytest.raises(error, match=f"{JOB} is not affected"):
        client.finish_job(timeout)
    assert client.clock.slept == []


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ({}, events.Completed),
        ({"status": [status_reply("QUEUED"), failure_reply()]}, events.Failed),
        ({"result": [failure_reply()]}, events.Failed),
        ({"status": [status_reply("QUEUED"), MISSING]}, events.Expired),
        ({"result": [MISSING]}, events.Expired),
    ],
)
def test_events_end_with_the_end_of_the_job(
    script: dict[str, Any], last: type[object], server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(gateway_script(**script))
    client = open_client(server)
    assert isinstance(list(client.submit_job().events())[-1], last)


def test_events_report_each_state_once(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(
        gateway_script(status=[*map(status_reply, ["QUEUED", "QUEUED", "?", "?", "PROCESSING", "COMPLETED"])])
    )
    client = open_client(server)
    reported = list(client.submit_job().events())
    assert [event.state for event in reported if isinstance(event, events.StateChanged)] == [
        "QUEUED",
        "?",
        "PROCESSING",
    ]


def test_failing_notifier_harms_no_job(server: ScriptedServer, open_client: OpenClient) -> None:
    from kling_adapters.hookspecs import hookimpl

    class Broken:
        @hookimpl
        def kling_event(self, event: object) -> None:
            raise RuntimeError(event)

    server.play(
        gateway_script(
            status=[status_reply("QUEUED"), status_reply("COMPLETED")], result=[result_reply("a text")]
        )
    )
    assert open_client(server, plugins=[Broken()]).finish_job().output == "a text"


@pytest.mark.parametrize("method", ["status", "credits"])
def test_single_query_is_repeated_for_half_a_minute(
    method: str, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(
        lambda _: (
            json_reply(429) if len(server.gets) < 3 else json_reply(200, {"status": "QUEUED", "credits": 3})
        )
    )
    client = open_client(server)
    ask = client.job(JOB).status if method == "status" else client.credits
    assert getattr(ask(), "state" if method == "status" else "credits") in ("QUEUED", 3)
    for fault, error in ((json_reply(429), RateLimited), (Hangup(), TransportError), (HTML, TransportError)):
        server.play(lambda _, fault=fault: fault)  # type: ignore[misc]
        client.clock.slept.clear()
        with pytest.raises(error):
            ask()
        assert sum(client.clock.slept) == pytest.approx(30, abs=1)
