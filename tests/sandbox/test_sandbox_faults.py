"""The effect of each fault on the wire, and the record of the sandbox."""

from __future__ import annotations

import json
import math
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from kling_sandbox import Fault, Faults, Sandbox

Call = Callable[..., dict[str, Any]]
BODY = {"prompt": "x"}


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A shared sandbox, or a separate one for a test with arguments."""
    with Sandbox(**getattr(request, "param", {})) as running:
        yield running


@pytest.fixture(autouse=True)
def peace(sandbox: Sandbox) -> Iterator[None]:
    """Remove the faults after each test."""
    yield
    sandbox.faults = Faults()


def break_(sandbox: Sandbox, kind: str, **how: Any) -> None:
    sandbox.faults = Faults([Fault(kind, **how)])


def connect(sandbox: Sandbox) -> socket.socket:
    parts = urlsplit(sandbox.base_url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def head(sandbox: Sandbox, path: str, method: str = "GET", length: int = 0) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"x-api-key: {sandbox.api_key}"]
    lines += ["content-type: application/json", f"content-length: {length}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode()


def exchange(sandbox: Sandbox, request: bytes) -> tuple[bytes, bool]:
    """Return the received bytes, and whether the connection was reset instead of closed."""
    with connect(sandbox) as raw:
        raw.sendall(request)
        data = b""
        while True:
            try:
                more = raw.recv(65536)
            except ConnectionResetError:
                return data, True
            if not more:
                return data, False
            data += more


def posted(sandbox: Sandbox) -> bytes:
    body = json.dumps(BODY).encode()
    return head(sandbox, "/v2/kling-2", "POST", len(body)) + body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 410, 429, 500, 502, 503, 599])
def test_status_fault_starts_no_job(sandbox: Sandbox, http: httpx.Client, status: int) -> None:
    break_(sandbox, str(status))
    before = sandbox.credits
    answer = http.post("/v2/kling-2", json=BODY)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert ("credits" in answer.json()["error"]) == (status == 406)
    assert (sandbox.submits[-1].request_id, sandbox.submits[-1].is_complete) == (None, True)
    assert sandbox.credits == before


def test_405_and_html_errors_are_pages(sandbox: Sandbox, http: httpx.Client) -> None:
    for kind, status in (("405", 405), ("html", 502)):
        break_(sandbox, kind)
        answer = http.get("/v1/get-user-credits")
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.text.startswith("<!doctype html>")


def test_retired_model_is_410_in_both_versions(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "410", path="/v[12]/kling-2")
    assert [http.post(f"/v{n}/kling-2", json=BODY).status_code for n in (1, 2)] == [410, 410]
    assert http.post("/v2/kling-2.5-turbo", json=BODY).status_code == 200


def test_429_has_the_time_of_its_reset(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "429", nth=2, burst=3, path="/v1/get-user-credits")
    before = datetime.now(UTC)
    answers = [http.get("/v1/get-user-credits") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429, 200, 200]
    reset = datetime.fromisoformat(answers[1].headers["x-rate-limit-reset-at-utc"])
    assert before + timedelta(seconds=1) <= reset <= datetime.now(UTC) + timedelta(seconds=1)


def test_latency(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "latency", seconds=0.2)
    began = time.monotonic()
    assert http.get("/v1/get-user-credits").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_reset_early_does_not_wait_for_the_body(sandbox: Sandbox) -> None:
    break_(sandbox, "reset-early")
    started = len(sandbox.billed)
    assert exchange(sandbox, head(sandbox, "/v2/kling-2", "POST", 1000)) == (b"", True)
    submit = sandbox.submits[-1]
    assert (submit.json, submit.request_id, submit.status, submit.is_complete) == (None, None, None, False)
    assert len(sandbox.billed) == started


def test_reset_late_starts_a_job_without_response(sandbox: Sandbox) -> None:
    break_(sandbox, "reset-late")
    assert exchange(sandbox, posted(sandbox)) == (b"", True)
    submit = sandbox.submits[-1]
    assert submit.json == BODY
    assert sandbox.billed[submit.request_id or ""] == 0.5
    assert (submit.status, submit.is_complete) == (None, False)


@pytest.mark.parametrize("at", [0, 1, 20, 150])
def test_reset_after_so_many_bytes_of_the_answer(sandbox: Sandbox, at: int) -> None:
    break_(sandbox, "reset", at=at)
    data, was_reset = exchange(sandbox, posted(sandbox))
    assert was_reset
    assert len(data) == at
    assert b"HTTP/1.1 200 OK\r\n".startswith(data[:17])
    submit = sandbox.submits[-1]
    assert submit.request_id in sandbox.billed
    assert (submit.status, submit.is_complete) == (200 if at else None, False)


def test_reset_in_the_middle_of_the_body(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "reset")
    with pytest.raises(httpx.ReadError):
        http.get("/v1/get-user-credits")


@pytest.mark.parametrize("at", [None, 0, 5000])
def test_truncated_download_raises(sandbox: Sandbox, run: Call, at: int | None) -> None:
    path = urlsplit(run("kling-2", prompt="cut")["output"]).path
    whole = httpx.get(sandbox.base_url + path).content
    break_(sandbox, "truncate", at=at, path="/media/*")
    data, was_reset = exchange(sandbox, head(sandbox, path))
    top, _, body = data.partition(b"\r\n\r\n")
    assert not was_reset
    assert b"content-length: %d" % len(whole) in top
    assert body == whole[: len(whole) // 2 if at is None else at]
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        httpx.get(sandbox.base_url + path)
    # The rest can be cut, too.
    data, _ = exchange(sandbox, head(sandbox, path).replace(b"host:", b"range: bytes=100-\r\nhost:"))
    assert data.startswith(b"HTTP/1.1 206 Partial Content\r\n")


@pytest.mark.parametrize("at", [None, 10, 10_000])
def test_wrong_content_length_is_an_error(sandbox: Sandbox, at: int | None) -> None:
    truth = httpx.get(f"{sandbox.base_url}/samples/a.png?size=64x64").content
    break_(sandbox, "length", at=at)
    data, _ = exchange(sandbox, head(sandbox, "/samples/a.png?size=64x64"))
    top, _, body = data.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % (len(truth) // 2 if at is None else at) in top + b"\r\n"
    assert body == truth
    assert not sandbox.requests[-1].is_complete


def test_wrong_content_type_is_sent(sandbox: Sandbox) -> None:
    truth = httpx.get(f"{sandbox.base_url}/samples/b.png?size=64x64")
    break_(sandbox, "type")
    answer = httpx.get(f"{sandbox.base_url}/samples/b.png?size=64x64")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == truth.content
    assert sandbox.requests[-1].is_complete


def test_garbage_and_504_come_after_the_job_was_started(sandbox: Sandbox, http: httpx.Client) -> None:
    for kind, status in (("garbage", 200), ("504", 504)):
        break_(sandbox, kind)
        answer = http.post("/v2/kling-2", json=BODY)
        assert answer.status_code == status
        submit = sandbox.submits[-1]
        assert (submit.status, submit.is_complete) == (status, True)
        assert submit.request_id in sandbox.billed
        if kind == "garbage":
            with pytest.raises(ValueError, match=r"codec|JSON"):
                answer.json()


def test_failed_fault_fails_the_job(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "failed", nth=2)
    jobs = [http.post("/v2/kling-2", json=BODY).json() for _ in range(2)]
    http.get("/v1/get-user-credits")
    assert [http.get(job["status_url"]).status_code for job in jobs] == [200, 422]
    assert http.get(jobs[1]["response_url"]).json()["error"] == "The worker failed."
    assert jobs[1]["request_id"] not in sandbox.billed
    break_(sandbox, "failed")
    assert http.post("/v1/kling-2", json=BODY).status_code == 422


@pytest.mark.parametrize(
    ("sandbox", "expected"),
    [
        ({"timing": "polls:2"}, ["QUEUED", "PROCESSING", "QUEUED", "PROCESSING", "COMPLETED"]),
        ({"timing": "at-once"}, ["COMPLETED", "COMPLETED", "QUEUED", "COMPLETED", "COMPLETED"]),
    ],
    indirect=["sandbox"],
)
def test_restart_fault_queues_the_job(
    sandbox: Sandbox, http: httpx.Client, submit: Call, expected: list[str]
) -> None:
    job = submit("kling-2", prompt="x")
    break_(sandbox, "restart", nth=3)
    assert [http.get(job["status_url"]).json()["status"] for _ in expected] == expected


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("sandbox", [{"timing": "latency:1"}], indirect=True)
def test_restarted_job_takes_its_full_time(sandbox: Sandbox, http: httpx.Client, submit: Call) -> None:
    job = submit("kling-2", prompt="x")
    sandbox.advance(200)
    break_(sandbox, "restart", nth=1)
    states = [http.get(job["status_url"]).json()["status"]]
    for _ in range(2):
        sandbox.advance(200)
        states.append(http.get(job["status_url"]).json()["status"])
    assert states == ["QUEUED", "PROCESSING", "COMPLETED"]
    assert http.get(job["response_url"]).json()["metrics"]["total_time"] == pytest.approx(500.73, abs=0.001)


@pytest.mark.parametrize("sandbox", [{"timing": "polls:3"}], indirect=True)
def test_flap_fault_changes_the_state(sandbox: Sandbox, http: httpx.Client, submit: Call) -> None:
    job = submit("kling-2", prompt="x")
    break_(sandbox, "flap", burst=4, nth=1)
    states = [http.get(job["status_url"]).json()["status"] for _ in range(5)]
    assert states == ["PROCESSING", "QUEUED", "QUEUED", "PROCESSING", "COMPLETED"]
    break_(sandbox, "flap", nth=1)
    assert [http.get(job["response_url"]).json()["status"] for _ in range(2)] == ["PROCESSING", "COMPLETED"]


def test_only_matching_requests_are_counted(sandbox: Sandbox, http: httpx.Client) -> None:
    break_(sandbox, "502", method="POST", path="/v2/kling-2*", nth=2)
    http.get("/v1/get-user-credits")
    statuses = [http.post("/v2/kling-2", json=BODY).status_code for _ in range(3)]
    assert statuses == [200, 502, 200]
    assert [entry.fault for entry in sandbox.submits[-3:]] == ["", "502", ""]


def outcomes(sandbox: Sandbox, seed: int) -> list[str]:
    faults = [Fault("500", rate=0.2), Fault("reset-late", rate=0.2), Fault("429", rate=0.1, burst=2)]
    sandbox.faults = Faults(faults, seed)
    before = len(sandbox.requests)
    for _ in range(60):
        try:
            httpx.get(f"{sandbox.base_url}/samples/c.png?size=16x16")
        except httpx.ReadError:
            assert sandbox.requests[-1].fault == "reset-late"
    return [entry.fault for entry in sandbox.requests[before:]]


def test_equal_seeds_give_equal_faults(sandbox: Sandbox) -> None:
    first, again, second = (outcomes(sandbox, seed) for seed in (7, 7, 8))
    assert first == again != second
    assert set(first) == {"", "500", "reset-late", "429"}


def test_faults_are_independent() -> None:
    alone = Faults([Fault("500", rate=0.3)], 1)
    after = Faults([Fault("500", rate=0.3), Fault("latency", rate=0.5)], 1)
    for _ in range(200):
        single, combined = alone.strike("GET", "/"), after.strike("GET", "/")
        assert (single is not None) == (combined is not None and combined.kind == "500")


def test_rates_are_kept() -> None:
    faults = Faults([Fault("500", rate=0.1), Fault("reset", rate=0.05)], 3)
    struck = Counter(fault.kind for _ in range(10_000) if (fault := faults.strike("GET", "/")))
    assert 900 < struck["500"] < 1100
    assert 380 < struck["reset"] < 520


def test_disconnect_during_body_starts_no_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Sandbox() as sandbox:
        with connect(sandbox) as raw:
            raw.sendall(head(sandbox, "/v2/kling-2", "POST", 1000) + b'{"prompt"')
        while not sandbox.submits:
            time.sleep(0.001)
    [submit] = sandbox.submits
    assert (submit.json, submit.request_id, submit.is_complete) == (None, None, False)
    assert not caplog.records


WRONG: list[dict[str, Any]] = [
    {"kind": "nothing"},
    {"kind": "200"},
    {"kind": "600"},
    {"kind": "500", "rate": 1.5},
    {"kind": "500", "rate": -1},
    {"kind": "500", "nth": 0},
    {"kind": "500", "burst": 0},
    {"kind": "reset", "at": -1},
    {"kind": "latency", "seconds": -1},
    {"kind": "500", "rate": "often"},
    {"kind": "500", "rate": True},
    {"kind": "500", "path": 7},
    {"kind": "500", "nth": 1.5},
    {"kind": "latency", "seconds": math.inf},
    {"kind": "500", "when": 1},
    {"rate": 1},
    {},
]


@pytest.mark.parametrize("value", WRONG, ids=json.dumps)
def test_invalid_fault_is_value_error(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fault|at least"):
        Fault.read(value)


def test_command_line_has_its_documented_form() -> None:
    assert Fault.parse("reset-late") == Fault("reset-late")
    text = "502:rate=0.1,method=POST,path=/v2/*,nth=3,burst=2,seconds=1"
    assert Fault.parse(text) == Fault("502", 0.1, "POST", "/v2/*", 3, 2, None, 1)
    for wrong in ("", "500:rate", "500:rate=x", "500:nth=1,"):
        with pytest.raises(ValueError, match=r"fault"):
            Fault.parse(wrong)


def test_assigned_list_of_faults_is_used(sandbox: Sandbox) -> None:
    url, headers = f"{sandbox.base_url}/v1/get-user-credits", {"x-api-key": sandbox.api_key}
    sandbox.faults = [Fault("503")]
    assert httpx.get(url, headers=headers).status_code == 503
    sandbox.faults = ()
    assert httpx.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize("faults", [["500"], [None], "500", [{"kind": "500"}]])
def test_anything_but_faults_is_refused(sandbox: Sandbox, faults: Any) -> None:
    with pytest.raises(TypeError, match=r'faults must be Fault objects, such as Fault\("500"\), not'):
        Sandbox(faults=faults)
    with pytest.raises(TypeError, match="faults must be Fault objects"):
        sandbox.faults = faults
    assert not sandbox.faults.faults
