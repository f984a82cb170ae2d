"""Promise 1, no double bill: a submit is repeated only when it provably started nothing.

Every case says how the connection goes, which error comes out, and how many POSTs may have reached the gateway.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_adapters import (
    BadGateway,
    BadRequest,
    ConfigError,
    Forbidden,
    InsufficientCredits,
    KlingError,
    MethodNotAllowed,
    ModelRetired,
    NotAcceptable,
    NotFound,
    RateLimited,
    ServerError,
    SubmitUncertain,
    TransportError,
    Unauthorized,
    Unprocessable,
)
from kling_adapters._http import exchange as _http
from kling_adapters.api_errors import ApiError
from kling_adapters.models._gateway import STATUSES
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.submit import submit
from tests.support.clients import OpenClient
from tests.support.scripted_flow import Key, run
from tests.support.scripted_server import (
    JOB,
    Action,
    Hangup,
    Raw,
    Reply,
    ScriptedServer,
    Silence,
    json_reply,
    submit_reply,
)

NOTHING = r"(?i)no job was started"
PERHAPS = r"(?s)may have started a .* job that will be billed.*not repeated"
HTML = Reply(200, b"<html><body>Welcome</body></html>", {"content-type": "text/html"})


@dataclass(frozen=True)
class Case:
    name: str
    script: Sequence[Action]
    posts: int
    error: type[KlingError] | None = None
    says: str = NOTHING


def refused_case(status: int, error: type[KlingError], message: str = "no") -> Case:
    return Case(f"{status} {message}", [json_reply(status, {"error": message}), submit_reply()], 1, error)


def uncertain_case(name: str, answer: Action) -> Case:
    return Case(name, [answer, submit_reply()], 1, SubmitUncertain, PERHAPS)


IDS: list[Any] = [1.5, None, True, [], {}, [JOB], "", "  ", "a\nb", "a\0b", "\ud800"]
SOON = {"retry-after": "3"}

CASES = [
    Case("accepted", [submit_reply()], 1),
    # The connection.
    uncertain_case("reset before the request is read", Hangup(read=False, reset=True)),
    uncertain_case("closed before the request is read", Hangup(read=False)),
    uncertain_case("closed after the request", Hangup()),
    uncertain_case("reset after the request", Hangup(reset=True)),
    uncertain_case("half an answer", Reply(200, submit_reply().body, announce=5000, sent=20)),
    uncertain_case("half an answer, which is JSON", Reply(200, submit_reply().body, announce=5000)),
    uncertain_case("half an answer, then reset", Reply(200, submit_reply().body, announce=5000, reset=True)),
    uncertain_case("half an answer in chunks", Reply(200, submit_reply().body, chunked=True, sent=20)),
    uncertain_case("half a refusal", Reply(500, b'{"error": "no"}', announce=5000)),
    uncertain_case("half a status line", Raw(b"HTTP/1.1 20")),
    uncertain_case("no HTTP", Raw(b"\x00\xff\x16\x03 whatever\r\n\r\n")),
    uncertain_case("status that is not a number", Raw(b"HTTP/1.1 abc OK\r\n\r\n")),
    uncertain_case("status 000", Raw(b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n")),
    uncertain_case("two lengths", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}")),
    uncertain_case("switching protocols", Raw(b"HTTP/1.1 101 Switching\r\n\r\n")),
    uncertain_case("only a 100", Raw(b"HTTP/1.1 100 Continue\r\n\r\n")),
    uncertain_case("broken compression", Reply(200, submit_reply().body, {"content-encoding": "gzip"})),
    uncertain_case("more than any answer has", Reply(200, b" " * (_http.MAX_ANSWER_BYTES + 1))),
    # A 2xx that is of no use.
    uncertain_case("2xx without an id", json_reply(200, {"status": "QUEUED"})),
    *(uncertain_case(f"2xx with the id {value!r}", submit_reply(value)) for value in IDS),
    uncertain_case("2xx with an empty body", Reply(200)),
    uncertain_case("204", Raw(b"HTTP/1.1 204 No Content\r\n\r\n")),
    uncertain_case("2xx with garbage", Reply(200, b"\x80\xff\x00{")),
    uncertain_case("2xx with HTML", HTML),
    uncertain_case("2xx nested deeply", Reply(200, b"[" * 200_000)),
    uncertain_case("2xx with an id nested deeply", Reply(200, b'{"request_id":' + b"[" * 900 + b"]" * 900 + b"}")),
    uncertain_case("2xx with a list", json_reply(200, [{"request_id": JOB}])),
    uncertain_case("2xx with an endless number", Reply(200, b'{"request_id": ' + b"9" * 5000 + b"}")),
    Case("201 with an id", [json_reply(201, {"request_id": JOB})], 1),
    # Redirects are neither followed nor repeated.
    *(
        uncertain_case(f"{status} to elsewhere", json_reply(status, {"request_id": JOB}, {"location": "/v2/elsewhere"}))
        for status in (300, 301, 302, 303, 304, 307, 308)
    ),
    *(
        uncertain_case(f"302 to {place}", json_reply(302, {"request_id": JOB}, {"location": place}))
        for place in ("mailto:x", "https://xn--a/", "http://[::1", "https://a..b/")
    ),
    # Refusals.
    refused_case(400, BadRequest),
    refused_case(401, Unauthorized),
    refused_case(403, Forbidden),
    refused_case(404, NotFound),
    refused_case(405, MethodNotAllowed),
    Case("405 as HTML", [Reply(405, HTML.body, HTML.headers), submit_reply()], 1, MethodNotAllowed),
    refused_case(406, NotAcceptable, "wrong content type"),
    refused_case(406, InsufficientCredits, "Insufficient credits"),
    refused_case(406, InsufficientCredits, "Your balance is too low"),
    refused_case(410, ModelRetired),
    refused_case(418, ApiError),
    refused_case(422, Unprocessable),
    refused_case(451, ApiError),
    # Server errors that the documentation says to retry, and those it does not.
    Case("500 then accepted", [json_reply(500), submit_reply()], 2),
    Case("502 then accepted", [json_reply(502), submit_reply()], 2),
    Case("500, 502, 429 then accepted", [json_reply(500), json_reply(502), json_reply(429), submit_reply()], 4),
    Case("500 for ever", [json_reply(500, {"error": "no"})] * 20, 4, ServerError),
    Case("502 for ever", [Reply(502, HTML.body)] * 20, 4, BadGateway),
    uncertain_case("504", json_reply(504, {"error": "timeout"})),
    uncertain_case("501", json_reply(501)),
    uncertain_case("503", json_reply(503)),
    uncertain_case("599", json_reply(599)),
    Case("500 then cut", [json_reply(500), Hangup(), submit_reply()], 2, SubmitUncertain, PERHAPS),
    Case("429 then 504", [json_reply(429, None, SOON), json_reply(504), submit_reply()], 2, SubmitUncertain, PERHAPS),
    # Rate limits.
    Case("429 with Retry-After", [json_reply(429, None, SOON), submit_reply()], 2),
    Case(
        "429 with Retry-After as a date",
        [
            json_reply(
                429,
                None,
                {"retry-after": "Mon, 02 Mar 2026 10:00:20 GMT", "date": "Mon, 02 Mar 2026 10:00:00 GMT"},
            ),
            submit_reply(),
        ],
        2,
    ),
    Case("429 with nothing", [json_reply(429), submit_reply()], 2),
    Case("429 with a Retry-After that is nonsense", [json_reply(429, None, {"retry-after": "soon"})] * 2 + [submit_reply()], 3),
    Case(
        "429 with a Retry-After of strange digits", [json_reply(429, None, {"retry-after": b"\xb2"}), submit_reply()], 2
    ),
    Case("429 with a reset far away", [json_reply(429, None, {"retry-after": "86400"}), submit_reply()], 1, RateLimited),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_submit_is_sent_as_often_as_it_is_safe(
    case: Case, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(case.script)
    client = open_client(server)
    if case.error is None:
        assert client.submit_job().request_id == JOB
    else:
        with pytest.raises(KlingError, match=case.says) as caught:
            client.submit_job()
        assert type(caught.value) is case.error
    # What was hung up on unread was a POST too.
    unread = sum(isinstance(action, Hangup) and not action.read for action in case.script)
    assert len(server.posts) + unread == case.posts
    assert {received.path for received in server.requests} <= {"/v2/kling-2"}


def test_every_row_of_the_table_has_a_case() -> None:
    tried = {action.status for case in CASES for action in case.script if isinstance(action, Reply)}
    assert set(STATUSES) <= tried


def test_refused_connection_is_retried(open_client: OpenClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = open_client(f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError, match=NOTHING):
        client.submit_job()
    assert 1 <= len(client.clock.slept) <= 5


def test_late_gateway_gets_one_job(open_client: OpenClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = open_client(f"http://127.0.0.1:{port}")
    sleep = client.clock.sleep
    with ExitStack() as stack:
        late: list[ScriptedServer] = []

        def come_up(seconds: float) -> None:
            sleep(seconds)
            if len(client.clock.slept) == 2:
                late.append(stack.enter_context(ScriptedServer([submit_reply()], port)))

        client.clock.sleep = come_up  # type: ignore[method-assign]
        assert client.submit_job().request_id == JOB
        assert [len(server.posts) for server in late] == [1]


def test_unresolved_host_is_a_transport_error(open_client: OpenClient) -> None:
    with pytest.raises(TransportError, match=NOTHING):
        open_client("https://nothing.invalid").submit_job()


def test_failed_handshake_starts_no_job(server: ScriptedServer, open_client: OpenClient) -> None:
    """A failed handshake sent nothing."""
    server.play(repeat(Hangup(read=False)))
    with pytest.raises(TransportError, match=NOTHING):
        open_client(server.url.replace("http:", "https:")).submit_job()
    assert server.posts == []


def test_missing_answer_is_uncertain(
    server: ScriptedServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "_SUBMIT_SECONDS", dict.fromkeys(("connect", "write", "read"), 0.2))
    server.play([Silence(), submit_reply()])
    with pytest.raises(SubmitUncertain, match=PERHAPS):
        open_client(server).submit_job()
    assert len(server.posts) == 1


def test_each_submit_opens_a_connection(server: ScriptedServer, open_client: OpenClient) -> None:
    """One that was idle may be closed while the request is on its way; the outcome would be uncertain."""
    server.play([submit_reply()] * 3)
    client = open_client(server)
    for _ in range(3):
        client.submit_job()
    assert len({received.connection for received in server.posts}) == 3


@pytest.mark.parametrize("headers", [{}, SOON, {"x-rate-limit-reset-at-utc": "1"}, {"retry-after": "0"}])
def test_endless_rate_limit_ends_the_submit(
    headers: dict[str, str], server: ScriptedServer, open_client: OpenClient
) -> None:
    """A reset that has passed, in a header that is late or from a wrong clock, must not become a storm of submits."""
    server.play(lambda _: json_reply(429, {"error": "slow down"}, headers))
    client = open_client(server)
    with pytest.raises(RateLimited, match=NOTHING):
        client.submit_job()
    # The waits after a 429 are 300 s together; each attempt also waits for its slot.
    assert 60 < sum(client.clock.slept) <= 360
    assert 4 <= len(server.posts) <= 100


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "42"}, 42),
        ({"x-rate-limit-reset-at-utc": "2026-03-02T10:00:42Z"}, 42),
        ({"x-rate-limit-reset-at-utc": "2026-03-02T10:00:42"}, 42),
        ({"x-rate-limit-reset-at-utc": "2026-03-02T11:00:42+01:00"}, 42),
        ({"x-rate-limit-reset-at-utc": "1772445642"}, 42),
        ({"x-rate-limit-reset-at-utc": "1772445642000"}, 42),
        ({"retry-after": "42", "x-rate-limit-reset-at-utc": "never"}, 42),
    ],
)
def test_reset_is_read_by_the_clock_of_the_gateway(
    headers: dict[str, str], seconds: float, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play([json_reply(429, None, {"date": "Mon, 02 Mar 2026 10:00:00 GMT", **headers}), submit_reply()])
    client = open_client(server)
    client.submit_job()
    assert len(client.clock.slept) == 1
    assert seconds <= client.clock.slept[0] <= seconds + 5


@pytest.mark.parametrize("slug", ["k" * 70_000, "\ud800"])
def test_unsendable_request_is_not_uncertain(
    slug: str, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play([submit_reply()])
    client = open_client(server)
    with pytest.raises(KlingError) as caught:
        client.submit_raw(slug, {})
    assert not isinstance(caught.value, SubmitUncertain)
    assert server.posts == []


@pytest.mark.parametrize("url", ["https://127.0.0.1:99999", "https://127.0.0.1:port"])
def test_invalid_base_url_is_config_error(url: str, open_client: OpenClient) -> None:
    with pytest.raises(ConfigError):
        open_client(url).submit_job()


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "nonsense://127.0.0.1:1"), ("SSL_CERT_FILE", "/no/such/file")]
)
def test_unusable_environment_is_config_error(
    name: str, value: str, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever httpx makes of it, it is said as an error of ours, and nothing was sent."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError):
        open_client("https://nothing.invalid").submit_job()


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "xn--a", "\u2488.com"])
def test_invalid_host_starts_no_job(host: str, open_client: OpenClient) -> None:
    with pytest.raises(TransportError, match=NOTHING):
        open_client(f"https://{host}").submit_job()


SAFE = [
    Fault("refused", sent=False),
    *(Answer(status, {}, b"") for status in (429, 500, 502)),
    Answer(429, {"retry-after": "1"}, b""),
]
UNSAFE = [
    Fault("cut", sent=True),
    *(Answer(status, {}, b"{}") for status in (200, 202, 301, 400, 401, 404, 406, 422, 503, 504, 599)),
    Answer(200, {}, b'{"request_id": "x"}'),
]
GATEWAY = Gateway("https://gateway.example")


@given(st.lists(st.sampled_from(SAFE), max_size=6), st.sampled_from(UNSAFE))
def test_no_submit_follows_an_uncertain_outcome(before: list[Outcome], after: Outcome) -> None:
    flow_result = run(
        submit(Session(GATEWAY, Key), "kling-2", {}),
        [*before, after, Answer(200, {}, b'{"request_id": "second"}')],
    )
    assert flow_result.sent <= len(before) + 1
    assert getattr(flow_result.value, "request_id", None) != "second"


@given(st.lists(st.sampled_from(SAFE), min_size=80, max_size=80))
def test_submit_ends_after_its_budget(before: list[Outcome]) -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", {}), before)
    assert isinstance(flow_result.error, KlingError)
    assert not isinstance(flow_result.error, SubmitUncertain)
    assert flow_result.seconds <= 300 + 4 * 33
