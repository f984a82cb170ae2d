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
from tests.support.stub import JOB, Action, Hangup, Raw, Reply, Stub, failed, finished, gateway, reply, state

HTML = Reply(200, b"<html>down for maintenance</html>", {"content-type": "text/html"})
MISSING = reply(404, {"error": "not found"})

# Every one of these must leave the job where it is.
FAULTS: dict[str, Action] = {
    "500": reply(500, {"error": "oops"}),
    "502 as HTML": Reply(502, HTML.body),
    "503": reply(503),
    "504": reply(504),
    "599": reply(599),
    "408": reply(408),
    "425": reply(425),
    "429": reply(429),
    "429 with Retry-After": reply(429, None, {"retry-after": "7"}),
    "429 with nonsense": reply(429, None, {"retry-after": b"\xb2", "x-rate-limit-reset-at-utc": "-"}),
    "404": MISSING,
    "422 as HTML": Reply(422, HTML.body),
    "reset": Hangup(reset=True),
    "closed": Hangup(),
    "half an answer": Reply(200, state("COMPLETED").body, announce=900, sent=10),
    "half an answer, reset": Reply(200, state("COMPLETED").body, announce=900, reset=True),
    "no HTTP": Raw(b"\x00\x01\x02\r\n\r\n"),
    "HTML": HTML,
    "empty": Reply(200),
    "204": Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "garbage": Reply(200, b"\xff\xfe\x00"),
    "nested deeply": Reply(200, b"[" * 200_000),
    "a list": reply(200, []),
    "no status": reply(200, {"request_id": JOB}),
    "a status that is not a text": state({"COMPLETED": True}),
    "an unknown state": state("WARMING_UP"),
    "302": reply(302, {"status": "COMPLETED"}, {"location": "/elsewhere"}),
    "broken compression": Reply(200, state("COMPLETED").body, {"content-encoding": "gzip"}),
    "a broken cookie": reply(500, None, {"set-cookie": "\x01=;;; expires=Wdy, 99 Foo 99999 99:99:99; max-age=x"}),
}  # fmt: skip


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", FAULTS)
def test_wait_survives_a_faulty_status(name: str, times: int, stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(status=[*[FAULTS[name]] * times, state("PROCESSING"), state("COMPLETED")]))
    assert open_client(stub).finish_job().request_id == JOB
    assert len(stub.posts) == 1
    assert "/elsewhere" not in {received.path for received in stub.gets}


@pytest.mark.parametrize("name", FAULTS)
def test_wait_survives_a_faulty_result(name: str, stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(result=[FAULTS[name], FAULTS[name], finished("a text")]))
    assert open_client(stub).finish_job().output == "a text"


def test_wait_survives_every_fault_in_a_row(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(status=[*FAULTS.values(), state("QUEUED"), *FAULTS.values(), state("COMPLETED")]))
    assert open_client(stub).finish_job(timeout=1e6).request_id == JOB


def test_result_in_an_earlier_state_is_repeated(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(result=[state("PROCESSING"), state("QUEUED"), finished("a text")]))
    assert open_client(stub).finish_job().output == "a text"


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
    script = [*asking, answer(state("COMPLETED")), *fetching, answer(finished("a text"))]
    flow_result = run(wait(Session(GATEWAY, Key), REF, 1e6), script)
    assert flow_result.error is None
    assert flow_result.value.output == "a text"
    assert flow_result.sent == len(script)


@given(
    st.lists(st.sampled_from([answer(state("QUEUED")), *SURVIVED]), min_size=1, max_size=5),
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
    queued, limited = answer(state("QUEUED")), Answer(429, {"retry-after": "50"}, b"")
    first_wait = run(
        wait(Session(GATEWAY, Key), REF, 900),
        [queued] * 3 + [limited] + [answer(state("COMPLETED")), answer(finished())],
    )
    assert first_wait.seconds > 50

    def count_polls_of_another_job(limits: int) -> int:
        session = Session(GATEWAY, Key)
        run(wait(session, REF, 900), [limited] * limits + [answer(failed())])
        return run(wait(session, REF, 60), [queued] * 5000).sent

    assert count_polls_of_another_job(6) < count_polls_of_another_job(0) / 2


@pytest.mark.parametrize("status", [state("QUEUED"), state("?"), MISSING, reply(500), Hangup(), HTML])
def test_timeout_zero_polls_once(status: Action, stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(status=[status]))
    client = open_client(stub)
    with pytest.raises(WaitTimeout):
        client.finish_job(timeout=0)
    assert len(stub.gets) == 1
    assert client.clock.slept == []


def test_timeout_zero_fetches_a_ready_result(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(result=[reply(500), Hangup(), finished("a text")]))
    assert open_client(stub).finish_job(timeout=0).output == "a text"


def test_job_of_a_wait_timeout_can_be_waited_for(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(status=[state("PROCESSING")]))
    client = open_client(stub)
    job = client.submit_job()
    with pytest.raises(WaitTimeout, match=rf"(?s){JOB}.*continues") as caught:
        job.wait(30)
    assert caught.value.job.request_id == job.request_id == caught.value.request_id == JOB  # type: ignore[union-attr]
    stub.play(gateway(status=[state("COMPLETED")], result=[finished("a text")]))
    assert client.view(caught.value.job).wait().output == "a text"
    # And once it is there, it is there.
    queries = len(stub.gets)
    assert client.view(caught.value.job).wait().output == "a text"
    assert len(stub.gets) == queries
    assert len(stub.posts) == 1


def test_unfetched_result_is_not_lost(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(result=[reply(500)]))
    client = open_client(stub)
    job = client.submit_job()
    with pytest.raises(WaitTimeout) as caught:
        job.wait(20)
    assert sum(client.clock.slept) >= 20
    stub.play(gateway(result=[finished("a text")]))
    assert client.view(caught.value.job).wait().output == "a text"


@pytest.mark.parametrize("where", ["status", "result"])
def test_three_404_expire_a_job(where: str, stub: Stub, open_client: OpenClient) -> None:
    script: dict[str, Any] = {where: [MISSING]}
    stub.play(gateway(**script))
    with pytest.raises(JobExpired, match=JOB):
        open_client(stub).finish_job()
    queries = [received for received in stub.gets if received.path.endswith("/status") == (where == "status")]
    assert len(queries) == 3


@pytest.mark.parametrize("where", ["status", "result"])
@pytest.mark.parametrize(
    "how",
    [
        failed("too rude"),
        reply(200, {"status": "FAILED", "error": "too rude"}),
        reply(422, {"error": "too rude"}),
    ],
)
def test_failed_job_gives_its_reason(where: str, how: Action, stub: Stub, open_client: OpenClient) -> None:
    script: dict[str, Any] = {where: [how]}
    stub.play(gateway(**script))
    with pytest.raises(JobFailed, match=r"too rude.*not billed") as caught:
        open_client(stub).finish_job()
    assert caught.value.message == "too rude"
    assert len(stub.posts) == 1


@pytest.mark.parametrize("where", ["status", "result"])
@pytest.mark.parametrize("timeout", [0, None])
@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden), (410, ModelRetired)])
def test_refusal_ends_the_wait_at_once(
    where: str, timeout: float | None, status: int, error: type[ApiError], stub: Stub, open_client: OpenClient
) -> None:
    """Asking again would not help, and saying that the job has not ended would send the caller the wrong way."""
    script: dict[str, Any] = {where: [reply(status, {"error": "bad key"})]}
    stub.play(gateway(**script))
    client = open_client(stub)
    with pytest.raises(error, match=f"{JOB} is not affected"):
        client.finish_job(timeout)
    assert client.clock.slept == []


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ({}, events.Completed),
        ({"status": [state("QUEUED"), failed()]}, events.Failed),
        ({"result": [failed()]}, events.Failed),
        ({"status": [state("QUEUED"), MISSING]}, events.Expired),
        ({"result": [MISSING]}, events.Expired),
    ],
)
def test_events_end_with_the_end_of_the_job(
    script: dict[str, Any], last: type[object], stub: Stub, open_client: OpenClient
) -> None:
    stub.play(gateway(**script))
    client = open_client(stub)
    assert isinstance(list(client.submit_job().events())[-1], last)


def test_events_report_each_state_once(stub: Stub, open_client: OpenClient) -> None:
    stub.play(gateway(status=[*map(state, ["QUEUED", "QUEUED", "?", "?", "PROCESSING", "COMPLETED"])]))
    client = open_client(stub)
    reported = list(client.submit_job().events())
    assert [event.state for event in reported if isinstance(event, events.StateChanged)] == [
        "QUEUED",
        "?",
        "PROCESSING",
    ]


def test_failing_notifier_harms_no_job(stub: Stub, open_client: OpenClient) -> None:
    from kling_adapters.hookspecs import hookimpl

    class Broken:
        @hookimpl
        def kling_event(self, event: object) -> None:
            raise RuntimeError(event)

    stub.play(gateway(status=[state("QUEUED"), state("COMPLETED")], result=[finished("a text")]))
    assert open_client(stub, plugins=[Broken()]).finish_job().output == "a text"


@pytest.mark.parametrize("method", ["status", "credits"])
def test_single_query_is_repeated_for_half_a_minute(method: str, stub: Stub, open_client: OpenClient) -> None:
    stub.play(lambda _: reply(429) if len(stub.gets) < 3 else reply(200, {"status": "QUEUED", "credits": 3}))
    client = open_client(stub)
    ask = client.job(JOB).status if method == "status" else client.credits
    assert getattr(ask(), "state" if method == "status" else "credits") in ("QUEUED", 3)
    for fault, error in ((reply(429), RateLimited), (Hangup(), TransportError), (HTML, TransportError)):
        stub.play(lambda _, fault=fault: fault)  # type: ignore[misc]
        client.clock.slept.clear()
        with pytest.raises(error):
            ask()
        assert sum(client.clock.slept) == pytest.approx(30, abs=1)
