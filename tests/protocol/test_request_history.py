"""The request history: addresses, tolerant rows, pages, and failures that have no effect on anything else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from kling_adapters import JobStatus, Metrics, ResultData, fingerprint_key
from kling_adapters.models import _gateway as facts
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.history_rows import HistoryRow, read_page, read_time
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.recall import read_row
from kling_adapters.protocol.request_history import (
    HISTORY_BUDGET,
    HistoryListing,
    HistoryUnavailable,
    find_row,
    list_rows,
)
from kling_adapters.protocol.session import Session
from tests.support.scripted_flow import FlowResult, Key, run

GATEWAY = Gateway("https://api.example.com")
SLUG = "kling-2"
JOB = "5f0c3c4e-8c1a-4a53-9f3b-3f1f6a6f2f11"
NOW = datetime.now(UTC).timestamp()
DAY = 86400.0
LOST = Fault("cut", sent=True)
ROW = {
    "request_id": JOB,
    "model_name": SLUG,
    "model_status": "COMPLETED",
    "credits_deduction": 0.5,
    "request_body": {"prompt": "a lighthouse"},
    "generation_url": "https://images.example.com/a.mp4",
    "model_created": "2026-11-29T12:00:00.000Z",
}
READ_ROW = HistoryRow(
    JOB,
    SLUG,
    "COMPLETED",
    0.5,
    {"prompt": "a lighthouse"},
    ("https://images.example.com/a.mp4",),
    None,
    datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp(),
)


@pytest.fixture
def session() -> Session:
    return Session(GATEWAY, Key)


def reply(value: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


def make_page(*rows: Any, has_next: bool | None = False) -> Answer:
    pages = {} if has_next is None else {"pagination": {"has_next": has_next}}
    return reply({"generations": rows, **pages})


def read_rows(value: Any) -> tuple[HistoryRow, ...] | None:
    page = read_page(reply(value))
    return None if page is None else page.rows


def read_one(**members: Any) -> HistoryRow:
    rows = read_rows([{**ROW, **members}])
    assert rows is not None
    [row] = rows
    return row


def list_all(session: Session, outcomes: Iterable[Outcome], **options: Any) -> FlowResult:
    return run(list_rows(session, SLUG, NOW - 60, **options), outcomes)


def test_addresses_of_the_gateway_of_segmind() -> None:
    gateway = Gateway(facts.BASE_URL)
    listed = gateway.request_history(2, 50, "2026-11-01", "2026-11-29", "kling-2", "PENDING")
    assert (listed.method, listed.body) == ("GET", None)
    assert listed.url == (
        f"{facts.HISTORY_URL}?page=2&per_page=50&from_date=2026-11-01&to_date=2026-11-29"
        "&model_name=kling-2&status=PENDING"
    )
    assert gateway.request_row(JOB).url == f"{facts.HISTORY_URL}/{JOB}"


def test_other_gateways_have_the_history_below_themselves() -> None:
    for base_url in ("http://127.0.0.1:9", "http://127.0.0.1:9/v1"):
        gateway = Gateway(base_url)
        path = "/inference-request/request-history"
        assert gateway.request_row("../a?b").url == f"http://127.0.0.1:9{path}/..%2Fa%3Fb"
        assert gateway.request_history().url == f"http://127.0.0.1:9{path}?page=1&per_page=100"


@pytest.mark.parametrize(
    ("url", "takes_key"),
    [
        (facts.HISTORY_URL, True),
        (f"{facts.HISTORY_URL}?page=1", True),
        (f"{facts.HISTORY_URL}/{JOB}", True),
        (f"{facts.HISTORY_URL}x", False),
        ("https://api.spotprod.segmind.com/inference-request/generations", False),
        ("https://api.spotprod.segmind.com.example.com/inference-request/request-history", False),
        (facts.HISTORY_URL.replace("https", "http"), False),
        (f"{facts.BASE_URL}/v2/kling-2", True),
        (f"{facts.BASE_URL}.example.com/", False),
    ],
)
def test_only_own_addresses_take_the_key(url: str, takes_key: bool) -> None:
    assert Gateway(facts.BASE_URL).takes_key(url) == takes_key


PLACES: list[Any] = [
    [ROW],
    ROW,
    {"generations": [ROW], "pagination": {"page": 1}},
    {"data": {"items": [ROW]}, "request_id": None},
    {"data": {"a": {"b": {"c": {"rows": [ROW]}}}}},
    {"generations": [{"request_id": 1.5, "request_body": [{"request_id": "fake"}]}, ROW]},
    {"generations": [[], None, 7, {"request_id": ["x"]}, ROW, ROW]},
]


@pytest.mark.parametrize("value", PLACES)
def test_rows_are_found_wherever_they_are(value: Any) -> None:
    assert read_rows(value) == (READ_ROW,)


@pytest.mark.parametrize("value", [[], {"generations": []}, {"data": {"rows": [], "error": None}}])
def test_empty_list_is_a_page_without_rows(value: Any) -> None:
    assert read_rows(value) == ()


@pytest.mark.parametrize(
    "answer",
    [
        reply({}),
        reply({"error": "no"}),
        reply(None),
        reply("rows"),
        reply({"generations": None}),
        reply({"generations": [{"id": JOB}]}),
        reply([ROW], 500),
        reply([ROW], 404),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"\xff\x00"),
        Answer(200, {}, b"[" * 100_000),
    ],
)
def test_anything_else_is_not_a_page(answer: Answer) -> None:
    assert read_page(answer) is None


def test_outputs_of_one_request_become_one_row() -> None:
    rows = read_rows([ROW, {**ROW, "generation_url": "https://images.example.com/b.mp4"}, ROW])
    assert rows is not None
    assert [row.urls for row in rows] == [
        ("https://images.example.com/a.mp4", "https://images.example.com/b.mp4")
    ]
    assert rows[0].url == "https://images.example.com/a.mp4"


@pytest.mark.parametrize(
    ("member", "value", "attribute", "expected"),
    [
        ("model_name", 7, "model", None),
        ("model_name", "a\x1b[2J", "model", None),
        ("model_name", "x" * 300, "model", None),
        ("model_status", "pending", "state", "PENDING"),
        ("model_status", "RETRYING", "state", "RETRYING"),
        ("model_status", None, "state", ""),
        ("credits_deduction", "0.125", "cost", 0.125),
        ("credits_deduction", 0, "cost", 0.0),
        ("credits_deduction", -1, "cost", None),
        ("credits_deduction", True, "cost", None),
        ("credits_deduction", 1e999, "cost", None),
        ("credits_deduction", "free", "cost", None),
        ("request_body", '{"prompt": "x"}', "body", {"prompt": "x"}),
        ("request_body", "prompt", "body", None),
        ("request_body", "[" * 100_000, "body", None),
        ("request_body", ["x"], "body", None),
        ("request_body", {"a": list(range(30_000))}, "body", None),
        ("generation_url", "javascript:alert(1)", "urls", ()),
        ("generation_url", "https://e.com/\n", "urls", ()),
        ("generation_url", f"https://e.com/{'x' * 5000}", "urls", ()),
        ("generation_url", ["https://e.com/a"], "urls", ()),
        ("error", "out of\x1b[31m memory", "error", "out of [31m memory"),
        ("error", "x" * 9000, "error", "x" * 2000),
        ("error", {"code": 7}, "error", None),
        ("model_created", "yesterday", "created", None),
        ("model_created", {}, "created", None),
    ],
)
def test_members_of_other_types_are_missing(member: str, value: Any, attribute: str, expected: Any) -> None:
    assert getattr(read_one(**{member: value}), attribute) == expected


def test_nested_body_is_bounded() -> None:
    body: dict[str, Any] = {}
    for _ in range(100):
        body = {"a": body}
    assert read_one(request_body=body).body is None
    assert read_one(request_body={"a": {"b": [1]}}).body == {"a": {"b": [1]}}


@pytest.mark.parametrize("request_id", ["", " ", "a\nb", "\x1b[2J", "x" * 3000, None, True, {}, ["x"], 1.5])
def test_unusable_ids_are_no_rows(request_id: Any) -> None:
    assert read_rows([{**ROW, "request_id": request_id}, ROW]) == (READ_ROW,)


def test_rows_of_an_answer_are_bounded() -> None:
    rows = read_rows([{**ROW, "request_id": str(number)} for number in range(3000)])
    assert rows is not None
    assert len(rows) == 2000
    assert read_rows([[]] * 1_000_000) == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.8e9, 1.8e9),
        (1_800_000_000_000, 1.8e9),
        (1_800_000_000_000_000, 1.8e9),
        ("1800000000", 1.8e9),
        ("2027-01-15T08:00:00Z", 1.8e9),
        ("2027-01-15T08:00:00.000000+00:00", 1.8e9),
        ("2027-01-15T13:30:00+05:30", 1.8e9),
        ("2027-01-15 08:00:00", 1.8e9),
        ("2027-01-15 08:00:00 UTC", 1.8e9),
        ("2027-01-15T08:00:00.123456789Z", pytest.approx(1.8e9, abs=1)),
        (0, None),
        (7, None),
        (-1.8e9, None),
        (1e30, None),
        ("0001-01-01T00:00:00+23:59", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_times_are_read_in_any_usual_form(value: Any, expected: Any) -> None:
    assert read_time(value) == expected


def test_row_of_a_request_is_found(session: Session) -> None:
    flow_result = run(find_row(session, JOB.upper()), [reply({"generation": ROW})])
    assert flow_result.value == READ_ROW
    [request] = flow_result.requests
    assert request.url == GATEWAY.request_row(JOB.upper()).url
    assert request.key == "SG_scripted"
    assert request.deadline == HISTORY_BUDGET


@pytest.mark.parametrize(
    "answer",
    [
        reply({"error": "not found"}, 404),
        reply({**ROW, "request_id": "another"}),
        reply([]),
        reply({"error": "no"}, 401),
        reply({"error": "no"}, 403),
        reply({"error": "no"}, 400),
    ],
)
def test_unknown_and_refused_request_has_no_row(session: Session, answer: Answer) -> None:
    flow_result = run(find_row(session, JOB), [answer])
    assert (flow_result.value, flow_result.error, flow_result.sent) == (None, None, 1)


@pytest.mark.parametrize("outcome", [LOST, reply({}, 500), reply({}, 429), reply({}), Answer(302, {}, b"")])
def test_failing_history_is_bounded_in_time(session: Session, outcome: Outcome) -> None:
    flow_result = run(find_row(session, JOB), [outcome] * 99)
    assert (flow_result.value, flow_result.error) == (None, None)
    assert flow_result.seconds < HISTORY_BUDGET + 0.001
    assert 1 < flow_result.sent < 10
    assert all((request.deadline or 99) <= HISTORY_BUDGET for request in flow_result.requests)


def test_failure_is_repeated(session: Session) -> None:
    flow_result = run(find_row(session, JOB), [LOST, reply({}, 502), reply(ROW)])
    assert flow_result.value == READ_ROW


def test_failures_do_not_slow_down_other_requests(session: Session) -> None:
    """The history may be on another host, whose limits are its own, and it may lie about them."""
    limited = Answer(429, {"retry-after": "3600"}, b"{}")
    run(find_row(session, JOB), [limited] * 99)
    limiter = session.limiter("SG_scripted")
    assert run(take(session), []).seconds == 0
    assert not limiter.may_block


def take(session: Session) -> Any:
    from kling_adapters.protocol.sending import take_submit_slot

    return take_submit_slot(session, "SG_scripted", float("inf"))


class RenewableKey(Key):
    """An Auth that learns of refused keys."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        self.refusals.append(key)
        return True


def test_refusal_is_not_reported_to_the_source_of_the_key() -> None:
    auth = RenewableKey()
    run(find_row(Session(GATEWAY, lambda: auth), JOB), [reply({}, 401)])
    assert auth.refusals == []


class BrokenAuth:
    """An Auth without a key."""

    def api_key(self) -> str:
        raise OSError("no key")


def test_missing_key_is_an_unavailable_history() -> None:
    session = Session(GATEWAY, BrokenAuth)
    assert run(find_row(session, JOB), []).value is None
    assert isinstance(list_all(session, []).error, HistoryUnavailable)


def test_turned_off_history_is_not_asked(session: Session) -> None:
    session.uses_history = False
    flow_result = run(find_row(session, JOB), [])
    assert (flow_result.value, flow_result.sent) == (None, 0)
    flow_result = list_all(session, [])
    assert isinstance(flow_result.error, HistoryUnavailable)
    assert flow_result.sent == 0


def test_pages_are_listed_to_the_last(session: Session) -> None:
    pages = [
        make_page(ROW, {**ROW, "request_id": "b"}, has_next=True),
        make_page({**ROW, "request_id": "b"}, {**ROW, "request_id": "c"}, has_next=True),
        make_page({**ROW, "request_id": "d"}),
    ]
    flow_result = list_all(session, pages)
    listing = flow_result.value
    assert isinstance(listing, HistoryListing)
    assert [row.request_id for row in listing.rows] == [JOB, "b", "c", "d"]
    assert listing.is_complete
    assert [f"page={number}&" in request.url for number, request in enumerate(flow_result.requests, 1)] == [
        True
    ] * 3


def test_pages_without_an_end_are_listed_until_an_empty_one(session: Session) -> None:
    flow_result = list_all(session, [make_page(ROW, has_next=None), make_page(has_next=None)])
    assert (flow_result.value.rows, flow_result.value.is_complete) == ((READ_ROW,), True)


def test_repeated_page_ends_the_listing_as_incomplete(session: Session) -> None:
    flow_result = list_all(session, [make_page(ROW, has_next=True)] * 99)
    assert (flow_result.value.rows, flow_result.value.is_complete) == ((READ_ROW,), False)
    assert flow_result.sent == 2


def test_endless_pages_are_bounded(session: Session) -> None:
    pages = (make_page({**ROW, "request_id": str(number)}, has_next=True) for number in range(10_000))
    flow_result = list_all(session, pages)
    assert not flow_result.value.is_complete
    assert flow_result.sent == 50
    pages = (make_page({**ROW, "request_id": str(number)}, has_next=True) for number in range(10_000))
    flow_result = list_all(session, pages, limit=3)
    assert (len(flow_result.value.rows), flow_result.value.is_complete) == (3, False)
    assert flow_result.sent == 4


def test_other_models_are_not_listed(session: Session) -> None:
    rows = [
        {**ROW, "request_id": "turbo", "model_name": "kling-2.5-turbo"},
        {**ROW, "request_id": "unnamed", "model_name": None},
        {**ROW, "request_id": "capital", "model_name": "Kling-2"},
    ]
    flow_result = list_all(session, [make_page(*rows)])
    assert [row.request_id for row in flow_result.value.rows] == ["unnamed", "capital"]
    assert "model_name=kling-2" in flow_result.requests[0].url
    flow_result = run(list_rows(session, None, NOW), [make_page(*rows)])
    assert len(flow_result.value.rows) == 3
    assert "model_name" not in flow_result.requests[0].url


@pytest.mark.parametrize("outcome", [reply({}, 401), LOST])
def test_page_that_cannot_be_read_is_unavailable(session: Session, outcome: Outcome) -> None:
    flow_result = list_all(session, [make_page(ROW, has_next=True), *[outcome] * 99])
    assert isinstance(flow_result.error, HistoryUnavailable)
    assert str(flow_result.error)


def days_of(flow_result: FlowResult) -> list[list[str]]:
    return [[part for part in request.url.split("&") if "_date=" in part] for request in flow_result.requests]


def format_day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def test_days_have_a_day_more_on_each_side(session: Session) -> None:
    flow_result = list_all(session, [make_page()])
    assert days_of(flow_result) == [[f"from_date={format_day(NOW - DAY - 60)}"]]
    since, until = NOW - 9 * DAY, NOW - 5 * DAY
    flow_result = run(list_rows(session, SLUG, since, until), [make_page()])
    assert days_of(flow_result) == [
        [f"from_date={format_day(since - DAY)}", f"to_date={format_day(until + DAY)}"]
    ]


def test_long_windows_are_several_queries(session: Session) -> None:
    flow_result = run(list_rows(session, SLUG, NOW - 70 * DAY), [make_page()] * 9)
    days = days_of(flow_result)
    assert len(days) == 3
    assert days[-1][0] == f"from_date={format_day(NOW - 71 * DAY)}"
    assert [first[0][10:] for first in days[:-1]] == [second[1][8:] for second in days[1:]]
    assert flow_result.value.is_complete


class Pool(Key):
    """A pool of keys of several accounts."""

    def keys(self) -> list[str]:
        return ["SG_one", "SG_two"]

    def accepted(self, key: str, request_id: str) -> None: ...

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return False

    def key_of(self, request_id: str) -> str | None:
        return {"two": "SG_two"}.get(request_id)


def test_pool_asks_with_the_key_of_the_account() -> None:
    session = Session(GATEWAY, Pool)
    flow_result = list_all(session, [make_page(ROW)], fingerprint=fingerprint_key("SG_two"))
    assert [request.key for request in flow_result.requests] == ["SG_two"]
    assert [request.key for request in run(find_row(session, "two"), [reply([])]).requests] == ["SG_two"]
    assert list_all(session, [make_page(ROW)]).requests[0].key == Pool().api_key()
    flow_result = list_all(session, [], fingerprint=fingerprint_key("SG_three"))
    assert isinstance(flow_result.error, HistoryUnavailable)
    assert flow_result.sent == 0


URL = "https://files.example.com/a.mp4"


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (
            HistoryRow("job", "kling-2", "FAILED", 0.5, error="blocked"),
            JobStatus("FAILED", Metrics(cost=0.5), "blocked"),
        ),
        (HistoryRow("job", "kling-2", "PENDING", 0.5), JobStatus("PROCESSING", Metrics(cost=0.5))),
        (HistoryRow("job", "kling-2", "ELSEWHERE"), None),
        (HistoryRow("job", "kling-2", "COMPLETED"), None),
    ],
)
def test_row_without_an_output_is_a_status(row: HistoryRow, status: JobStatus | None) -> None:
    assert read_row(row, "kling-o1", "video") == status


@pytest.mark.parametrize(
    ("urls", "output"), [((URL,), URL), ((URL, f"{URL}?2"), [URL, f"{URL}?2"])], ids=["one", "two"]
)
@pytest.mark.parametrize(("model", "expected"), [("kling-2", "kling-2"), (None, "kling-o1")])
def test_row_with_outputs_is_a_result(
    urls: tuple[str, ...], output: Any, model: str | None, expected: str
) -> None:
    result = read_row(HistoryRow("job", model, "COMPLETED", 0.5, urls=urls), "kling-o1", "video")
    assert isinstance(result, ResultData)
    assert (result.request_id, result.model, result.output) == ("job", expected, output)
    assert result.body == {
        "status": "COMPLETED", "request_id": "job", "output": output, "metrics": {"cost": 0.5},
    }  # fmt: skip
    assert tuple(artifact.url for artifact in result.artifacts) == urls
