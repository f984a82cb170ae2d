"""Whatever a gateway answers, a call ends with a result or a KlingError, and nothing else escapes."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kling_adapters import Artifact, Credits, JobStatus, KlingError, ResultData
from kling_adapters.builtin import log_notifier
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.protocol.collect import Destination, collect
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.failures import api_error, seconds_until_reset
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.history_rows import read_page
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.request_history import HistoryListing, HistoryUnavailable, find_row, list_rows
from kling_adapters.protocol.responses import read_credits, read_ended_job, read_request_id, read_status
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.wait import query_credits, query_status, wait
from tests.support.clients import OpenClient
from tests.support.scripted_flow import Key, run
from tests.support.scripted_server import JOB, Action, Hangup, Raw, Reply, ScriptedServer, gateway_script

GATEWAY = Gateway("https://gateway.example")
KINDS = ["video", "image", "audio", "text", None]

texts = st.text(max_size=20) | st.text(st.characters(), max_size=20)
urls = st.sampled_from(["https://", "http://", "https://h/", "https://[", "ftp://"]).flatmap(
    lambda start: texts.map(lambda rest: start + rest)
)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts | urls,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=6,
)


def documented_or_any(*right: Any) -> st.SearchStrategy[Any]:
    """One of the values that are documented, or any other."""
    return st.sampled_from(right) | values


metrics = st.fixed_dictionaries({}, optional={name: documented_or_any(1, 0.5) for name in ("cost", "remaining_credits", "inference_time", "queue_time", "total_time", "retry_count")})  # fmt: skip
file = st.fixed_dictionaries(
    {},
    optional={
        "url": urls | values,
        "content_type": documented_or_any("video/mp4"),
        "file_name": documented_or_any("x.mp4"),
        "file_size": documented_or_any(10),
    },
)
documented = st.fixed_dictionaries(
    {},
    optional={
        "status": documented_or_any("QUEUED", "PROCESSING", "COMPLETED", "COMPLETED", "FAILED"),
        "request_id": documented_or_any(JOB),
        "status_url": urls | values,
        "response_url": urls | values,
        "error": documented_or_any("no", "credits"),
        "error_description": values,
        "message": values,
        "output": urls | values | st.lists(urls | values, max_size=3),
        "video": file | values,
        "audio": file | values,
        "images": st.lists(file | values, max_size=3) | values,
        "metrics": metrics | values,
        "credits": documented_or_any(3),
        "free-credits": documented_or_any(3),
    },
)
bodies = (
    documented.map(lambda value: json.dumps({**value, "status": "COMPLETED"}).encode())
    | documented.map(lambda value: json.dumps(value).encode())
    | values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.integers(1, 3000).map(
        lambda depth: b'{"output":' + b"[" * depth + b"]" * depth + b',"status":"COMPLETED"}'
    )
)
statuses = st.sampled_from([200, 200, 200, 422, 429, 404, 401, 406, 500, 502, 504, 302]) | st.integers(
    100, 999
)
times = st.sampled_from(
    ["0", "5", "-1", "1e400", "9" * 6, "9" * 400, "\u00b2", "\u0663", "nan", "inf", "Mon, 02 Mar 2026 10:00:00 GMT",
     "Mon, 99 Foo 99999 99:99:99 +9999999999", "2026-03-02T10:00:00Z", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00", "1772445642", "177244564200000", "1.", ".", "", " ", ",", "1 2 3 4 5 6 7", "0000"]
) | st.text(st.characters(max_codepoint=255), max_size=40)  # fmt: skip
ranges = st.sampled_from(["bytes 0-9/10", "bytes 5-9/10", "bytes */10", "bytes " + "9" * 5000 + "-1/1", "bytes \u0660-\u0669/\u0661\u0660"])  # fmt: skip
headers = st.fixed_dictionaries(
    {},
    optional={
        "retry-after": times,
        "x-rate-limit-reset-at-utc": times,
        "date": times,
        "content-length": st.sampled_from(["0", "10", "-1", "\u00b2", "9" * 5000, "x", ""]),
        "content-range": ranges | times,
        "etag": st.sampled_from(['"a"', '"b"', 'W/"a"', "", "\u00e9"]),
        "content-encoding": st.sampled_from(["gzip", "identity", "br", ""]),
        "content-type": st.text(max_size=10),
    },
)
answers = st.builds(Answer, statuses, headers, bodies)
row = st.fixed_dictionaries(
    {},
    optional={
        "request_id": documented_or_any(JOB, "another"),
        "model_name": documented_or_any("kling-2"),
        "model_status": documented_or_any("COMPLETED", "FAILED", "PENDING"),
        "credits_deduction": documented_or_any(0.5, "0.5", 10**400),
        "request_body": documented_or_any({"prompt": "x"}, '{"prompt": "x"}'),
        "generation_url": urls | values,
        "error": documented_or_any("no"),
        "model_created": times | values,
    },
)
pages = st.fixed_dictionaries(
    {},
    optional={
        "generations": st.lists(row | values, max_size=4) | values,
        "pagination": st.fixed_dictionaries({}, optional={"has_next": st.booleans() | values}) | values,
    },
)
history_answers = answers | st.builds(
    Answer, st.just(200), headers, (pages | row | st.lists(row)).map(lambda value: json.dumps(value).encode())
)
outcomes = answers | answers | st.builds(Fault, st.text(max_size=10), st.booleans())
outcome_lists = st.lists(outcomes, max_size=8)
# The answers that end a call, when no other has.
END = [Answer(200, {}, json.dumps({"status": "COMPLETED", "request_id": JOB, "credits": 1}).encode())] * 40

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_text(thing: object) -> None:
    """It can be printed, as logs and reports do."""
    assert str(thing)
    assert repr(thing)


def make_completed(**body: Any) -> Answer:
    return Answer(200, {}, json.dumps({"status": "COMPLETED", **body}).encode())


@quick
@given(answers, st.sampled_from(KINDS))
@example(Answer(429, {"retry-after": "\u00b2"}, b""), None)
@example(make_completed(output="https://["), None)
@example(make_completed(output="https://a\u2100b/"), None)
@example(make_completed(metrics={"cost": 10**400}, credits=10**400), None)
@example(make_completed(request_id="\ud800"), None)
@example(Answer(200, {}, b"[" * 200_000), None)
def test_readers_accept_any_answer(answer: Answer, kind: Any) -> None:
    request_id = read_request_id(answer)
    assert request_id is None or (request_id.isprintable() and request_id.strip())
    assert GATEWAY.status(request_id or "x").url.startswith("https://gateway.example/v2/requests/")
    status, flow_result = read_status(answer), read_ended_job(JOB, None, kind, answer)
    assert status is None or isinstance(status.state, str)
    assert flow_result is None or isinstance(flow_result, ResultData | JobStatus)
    if isinstance(flow_result, ResultData):
        assert all(file.url.startswith(("https://", "http://")) for file in flow_result.artifacts)
        assert flow_result.images is not None
        check_text(flow_result.metrics)
    assert isinstance(read_credits(answer), Credits | None)
    seconds = seconds_until_reset(answer)
    assert seconds is None or 0 <= seconds < float("inf")
    check_text(api_error(answer, request_id))
    assert len(str(api_error(answer, JOB))) < 1500


@quick
@given(history_answers)
def test_history_reader_accepts_any_answer(answer: Answer) -> None:
    page = read_page(answer)
    if page is None:
        return
    assert len({row.request_id for row in page.rows}) == len(page.rows)
    for listed in page.rows:
        assert listed.request_id.isprintable()
        assert GATEWAY.request_row(listed.request_id).url.startswith(f"{GATEWAY.history_url}/")
        assert all(url.startswith(("https://", "http://")) and url.isprintable() for url in listed.urls)
        assert listed.cost is None or 0 <= listed.cost < float("inf")
        assert f"{listed.state}{listed.model}{listed.error}".isprintable()
        check_text(listed)


@quick
@given(st.lists(history_answers | st.builds(Fault, st.text(max_size=10), st.booleans()), max_size=8))
def test_history_flows_end_after_any_outcomes(script: list[Outcome]) -> None:
    unavailable: list[Outcome] = [Fault("down", sent=True)] * 400
    session = Session(GATEWAY, Key)
    flow_result = run(find_row(session, JOB), [*script, *unavailable])
    assert flow_result.error is None
    assert flow_result.value is None or flow_result.value.request_id == JOB
    flow_result = run(list_rows(session, "kling-2", 1.8e9), [*script, *unavailable])
    is_listing = isinstance(flow_result.value, HistoryListing)
    assert isinstance(flow_result.error, HistoryUnavailable) != is_listing


@quick
@given(outcome_lists)
def test_submit_ends_after_any_outcomes(script: list[Outcome]) -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", {}), [*script, *END])
    assert isinstance(flow_result.error, KlingError) or isinstance(flow_result.value, JobRef)


@quick
@given(outcome_lists, st.sampled_from([0.0, 60.0, None]), st.sampled_from(KINDS))
def test_wait_ends_after_any_outcomes(script: list[Outcome], timeout: float | None, kind: Any) -> None:
    flow_result = run(wait(Session(GATEWAY, Key), JobRef(JOB, None, None, kind), timeout), [*script, *END])
    assert isinstance(flow_result.error, KlingError) or isinstance(flow_result.value, ResultData)
    for event in flow_result.events:
        log_notifier.kling_event(event)


@quick
@given(outcome_lists)
def test_queries_end_after_any_outcomes(script: list[Outcome]) -> None:
    for flow in (
        query_credits(Session(GATEWAY, Key)),
        query_status(Session(GATEWAY, Key), JobRef(JOB)),
    ):
        flow_result = run(flow, [*script, *END])
        assert isinstance(flow_result.error, KlingError) or isinstance(flow_result.value, Credits | JobStatus)


@quick
@given(answers, st.sampled_from(KINDS), outcome_lists)
def test_collect_ends_after_any_outcomes(
    tmp_path_factory: pytest.TempPathFactory, answer: Answer, kind: Any, script: list[Outcome]
) -> None:
    result = read_ended_job(JOB, None, kind, Answer(200, {}, answer.body))
    if not isinstance(result, ResultData):
        return
    flow_result = run(
        collect(Session(GATEWAY, Key), result, Destination(Folder(tmp_path_factory.getbasetemp()))),
        [*script, *END * 3],
    )
    assert isinstance(flow_result.error, KlingError)


@quick
@given(
    st.lists(st.tuples(statuses, headers, st.lists(st.binary(max_size=30), max_size=3)), max_size=5),
    st.none() | st.integers(0, 60),
)
def test_download_accepts_any_response(
    tmp_path_factory: pytest.TempPathFactory,
    answered: list[tuple[int, dict[str, str], list[bytes]]],
    size: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    artifact = Artifact("https://files.example/x", "file", None, size)
    download = Download(artifact, "x.{}".format, Folder(folder))
    try:
        for status, response_headers, chunks in answered:
            if download.begin(status, response_headers):
                for chunk in chunks:
                    download.write(chunk)
            if download.is_complete():
                stored = download.commit()
                assert stored.size == len(stored.path.read_bytes()) == download.received
                return
    except KlingError:
        pass
    download.abort()
    assert list(folder.iterdir()) == []


wired = st.builds(
    Reply,
    st.sampled_from([200, 200, 200, 422, 429, 404, 500, 302, 999]),
    bodies,
    st.dictionaries(
        st.sampled_from(["content-type", "set-cookie", "location", "retry-after", "content-encoding", "date", "connection", "x-any"]),
        st.binary(max_size=20).map(lambda value: value.translate(None, b"\r\n\0")),
        max_size=3,
    ),
    chunked=st.booleans(),
    sent=st.none() | st.integers(0, 40),
    reset=st.booleans(),
)  # fmt: skip
actions: st.SearchStrategy[Action] = (
    wired
    | wired
    | st.builds(Raw, st.binary(max_size=60))
    | st.builds(Hangup, st.just(value=True), st.booleans())
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(actions, min_size=1, max_size=4))
def test_clients_survive_hostile_bytes(
    server: ScriptedServer, open_client: OpenClient, script: list[Action]
) -> None:
    server.play(gateway_script(submit=script, status=script, result=script))
    client = open_client(server)
    job = client.job(JOB)
    for call in (
        client.submit_job,
        partial(job.wait, 9),
        client.credits,
    ):
        try:
            call()
        except KlingError as error:
            check_text(error)
