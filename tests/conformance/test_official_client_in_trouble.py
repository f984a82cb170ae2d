"""The official client against errors, failures, deadlines and broken connections of the sandbox.

It validates nothing and repeats nothing: whatever a gateway answers comes out as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import (
    BLOCKED_TEXT,
    KEY_FORBIDDEN,
    KEY_NO_CREDITS,
    KEY_RATE_LIMITED,
    Fault,
    Sandbox,
)
from segmind import AsyncJob, InferenceFailed, InferenceTimeout, SegmindClient
from segmind.exceptions import SegmindError
from segmind.files import Files

from .conftest import Connect, SandboxTime, Since, check

BadDay = Callable[..., Since]
Slow = tuple[Sandbox, SandboxTime]

PROMPT = {"prompt": "x"}
SUBMITS = ["run", "run_sync", "submit_async"]
STRANGER = "SG_ffffffffffffffff"


def refused(call: Callable[..., Any], *args: Any, **params: Any) -> SegmindError:
    with pytest.raises(SegmindError) as caught:
        call(*args, **params)
    return caught.value


@pytest.mark.parametrize("call", SUBMITS)
@pytest.mark.parametrize(
    ("key", "slug", "params", "status", "words"),
    [
        (None, "kling-2", {"prompt": "x", "duration": 7}, 400, "duration"),
        (None, "kling-o1", {"prompt": "x"}, 400, "image_urls"),
        (None, "kling-3-pro-image2video", {"prompt": "x", "start_image_url": ""}, 400, "start_image_url"),
        (None, "kling-2", {"prompt": "x", "mood": "sad"}, 400, "mood"),
        (STRANGER, "kling-2", PROMPT, 401, "key"),
        (KEY_FORBIDDEN, "kling-2", PROMPT, 403, "permitted"),
        (None, "kling-9", PROMPT, 404, "kling-9"),
        (KEY_NO_CREDITS, "kling-2", PROMPT, 406, "credits"),
        (KEY_RATE_LIMITED, "kling-2", PROMPT, 429, "limit"),
    ],
)
def test_refused_submit_raises(
    sandbox: Sandbox,
    connect: Connect,
    call: str,
    key: str | None,
    slug: str,
    params: dict[str, Any],
    status: int,
    words: str,
) -> None:
    since = Since(sandbox)
    error = refused(getattr(connect(sandbox, key), call), slug, **params)
    assert error.status == status
    assert words in (error.detail or "")
    assert error.to_dict() == {"status": status, "detail": error.detail}
    assert all(str(part) in text for part in (status, error.detail) for text in (str(error), repr(error)))
    assert (since.requests, since.billed) == (1, set())


@pytest.mark.parametrize("call", SUBMITS)
@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("405", 405, None),
        ("410", 410, "retired"),
        ("429", 429, "limit"),
        ("500", 500, "Internal Server Error"),
        ("502", 502, "Bad Gateway"),
        ("504", 504, "Gateway Timeout"),
        ("html", 502, None),
    ],
)
def test_submit_under_faults_is_sent_once(
    sandbox: Sandbox,
    connect: Connect,
    bad_day: BadDay,
    call: str,
    fault: str,
    status: int,
    words: str | None,
) -> None:
    since = bad_day(Fault(fault, nth=1))
    error = refused(getattr(connect(sandbox), call), "kling-2", **PROMPT)
    assert error.status == status
    # A page has no words for it.
    assert error.detail is None if words is None else words in (error.detail or "")
    assert since.requests == 1
    # What makes a 504 dangerous.
    assert len(since.billed) == (status == 504)


@pytest.mark.parametrize("key", ["", STRANGER])
def test_invalid_key_raises(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    client = SegmindClient(key, f"{sandbox.base_url}/v1")
    with client._client:
        assert refused(client.submit_async, "kling-2", **PROMPT).status == 401


def test_wrong_verb_is_an_error_without_text(sandbox: Sandbox, connect: Connect) -> None:
    error = refused(connect(sandbox)._request, "GET", "/kling-2")
    assert (error.status, error.detail) == (405, None)


def test_foreign_and_unknown_jobs_are_404(sandbox: Sandbox, connect: Connect) -> None:
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    with Sandbox() as second:
        elsewhere = connect(second)
        urls = {
            name: getattr(job, name).replace(sandbox.base_url, second.base_url)
            for name in ("status_url", "response_url")
        }
        lost = AsyncJob(job.request_id, **urls, submit_response={}, _client=elsewhere)
        for call in (lost.status, lost.result, lost.wait):
            assert refused(call).status == 404
    keyless = AsyncJob(job.request_id, job.status_url, job.response_url, {}, connect(sandbox, STRANGER))
    assert refused(keyless.wait).status == 401


def test_failed_job_raises(sandbox: Sandbox, connect: Connect) -> None:
    client, before = connect(sandbox), sandbox.credits
    job = client.submit_async("kling-2", prompt=BLOCKED_TEXT)
    with pytest.raises(InferenceFailed) as caught:
        job.wait()
    error = caught.value
    assert "blocked" in (error.detail or "")
    assert error.status is None
    # Both addresses answer 422, and the client takes the body all the same.
    assert error.status_body == job.status() == job.result()
    assert error.status_body["status"] == "FAILED"
    assert error.status_body["request_id"] == job.request_id
    assert {"inference_time", "queue_time", "total_time"} == error.status_body["metrics"].keys()
    with pytest.raises(InferenceFailed, match="blocked"):
        client.run("kling-2", prompt=BLOCKED_TEXT)
    failed = refused(client.run_sync, "kling-2", prompt=BLOCKED_TEXT)
    assert (failed.status, failed.detail) == (422, error.detail)
    assert sandbox.credits == before


def test_job_survives_wait_timeout(connect: Connect, slow: Slow) -> None:
    sandbox, time = slow
    since = Since(sandbox)
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    with pytest.raises(InferenceTimeout) as caught:
        job.wait(timeout=90, interval=20)
    error = caught.value
    assert error.request_id == job.request_id
    assert error.elapsed_s == 100 == sum(time.slept)
    assert error.status is None
    assert job.request_id in str(error)
    assert job.status()["status"] == "PROCESSING"
    check(job.wait())
    assert since.billed == {job.request_id}


def test_wait_of_zero_seconds_polls_once(connect: Connect, slow: Slow) -> None:
    sandbox, time = slow
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    since = Since(sandbox)
    with pytest.raises(InferenceTimeout):
        job.wait(timeout=0)
    assert (since.requests, time.slept) == (1, [])


def test_run_times_out_on_slow_model(connect: Connect, slow: Slow) -> None:
    sandbox, time = slow
    since = Since(sandbox)
    with pytest.raises(InferenceTimeout) as caught:
        connect(sandbox).run("long")
    assert caught.value.elapsed_s == time.now == 600
    assert since.billed == {caught.value.request_id}


def test_expired_record_is_404(connect: Connect, slow: Slow) -> None:
    sandbox, _ = slow
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    check(job.wait(interval=100))
    sandbox.advance(3600)
    for call in (job.status, job.result, job.wait):
        error = refused(call)
        assert error.status == 404
        assert "expired" in (error.detail or "")


@pytest.mark.parametrize(
    ("fault", "status"), [("404", 404), ("429", 429), ("500", 500), ("502", 502), ("504", 504), ("html", 502)]
)
@pytest.mark.parametrize("path", ["/v2/requests/*/status", "/v2/requests/*"])
def test_one_bad_answer_ends_a_wait_and_not_the_job(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, fault: str, status: int, path: str
) -> None:
    # The second pattern matches both; the result is asked for when the status has been.
    since = bad_day(Fault(fault, method="GET", path=path, nth=1 if path.endswith("status") else 2))
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    assert refused(job.wait).status == status
    check(job.wait())
    assert since.billed == {job.request_id}


@pytest.mark.parametrize("fault", ["flap", "garbage", "type", "restart"])
def test_wait_survives_poll_faults(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    SandboxTime(sandbox, monkeypatch)
    bad_day(Fault(fault, path="/v2/requests/*/status", nth=1))
    check(connect(sandbox).submit_async("kling-2", **PROMPT).wait())


@pytest.mark.parametrize("call", SUBMITS)
@pytest.mark.parametrize(("fault", "billed"), [("reset-early", 0), ("reset-late", 1), ("truncate", 1)])
def test_broken_submit_raises_transport_error(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, call: str, fault: str, billed: int
) -> None:
    since = bad_day(Fault(fault, method="POST"))
    with pytest.raises(httpx.TransportError):
        getattr(connect(sandbox), call)("kling-2", **PROMPT)
    assert since.requests == 1
    assert len(since.billed) == billed


@pytest.mark.parametrize("fault", ["reset-early", "reset-late", "reset", "truncate"])
def test_broken_poll_ends_the_wait(sandbox: Sandbox, connect: Connect, bad_day: BadDay, fault: str) -> None:
    bad_day(Fault(fault, method="GET", path="/v2/*", nth=1))
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    with pytest.raises(httpx.TransportError):
        job.wait()
    check(job.wait())


@pytest.mark.parametrize("call", ["run", "submit_async"])
def test_submit_with_unreadable_response_is_billed(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, call: str
) -> None:
    since = bad_day(Fault("garbage", method="POST"))
    with pytest.raises(ValueError, match=r"codec|JSON"):
        getattr(connect(sandbox), call)("kling-2", **PROMPT)
    assert len(since.billed) == 1


@pytest.mark.parametrize("call", SUBMITS)
def test_late_submit_response_times_out(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, call: str
) -> None:
    bad_day(Fault("latency", seconds=3600))
    with pytest.raises(httpx.ReadTimeout):
        getattr(connect(sandbox, timeout=0.05), call)("kling-2", **PROMPT)


def test_late_poll_response_times_out(sandbox: Sandbox, connect: Connect, bad_day: BadDay) -> None:
    bad_day(Fault("latency", method="GET", seconds=3600))
    job = connect(sandbox).submit_async("kling-2", **PROMPT)
    hasty = AsyncJob(job.request_id, job.status_url, job.response_url, {}, connect(sandbox, timeout=0.05))
    with pytest.raises(httpx.ReadTimeout):
        hasty.wait()
    bad_day()
    check(job.wait())


def test_abandoned_direct_run_is_billed(connect: Connect, slow: Slow) -> None:
    sandbox, _ = slow
    since = Since(sandbox)
    # Long enough for the submit to arrive on a busy machine.
    with pytest.raises(httpx.ReadTimeout):
        connect(sandbox, timeout=2).run_sync("kling-2", **PROMPT)
    assert len(since.billed) == 1
    sandbox.advance(400)  # else its call would keep the sandbox from stopping


@pytest.fixture
def to_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send uploads to the sandbox; the client has a built-in address."""
    monkeypatch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)


@pytest.mark.usefixtures("to_sandbox")
@pytest.mark.parametrize(
    ("name", "error"), [("missing.png", FileNotFoundError), (".", ValueError), ("a.txt", ValueError)]
)
def test_invalid_picture_is_not_sent(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "a.txt").write_text("x")
    before = len(sandbox.requests)
    with pytest.raises(error):
        connect(sandbox).files.upload(tmp_path / name)
    assert len(sandbox.requests) == before


@pytest.mark.usefixtures("to_sandbox")
def test_refused_upload_raises(sandbox: Sandbox, connect: Connect, picture: Path, tmp_path: Path) -> None:
    before = sandbox.uploads
    (tmp_path / "empty.png").touch()
    error = refused(connect(sandbox).files.upload, [picture, tmp_path / "empty.png"])
    assert (error.status, error.detail) == (
        400,
        "A file of 0 bytes is not accepted: expected 1 to 104857600 bytes",
    )
    assert refused(connect(sandbox).files.upload, []).status == 400
    assert refused(connect(sandbox, STRANGER).files.upload, picture).status == 401
    assert refused(connect(sandbox, KEY_FORBIDDEN).files.upload, picture).status == 403
    assert sandbox.uploads == before


@pytest.mark.usefixtures("to_sandbox")
@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500), ("502", 502), ("504", 504)])
def test_upload_under_faults_is_repeated(
    sandbox: Sandbox, connect: Connect, bad_day: BadDay, picture: Path, fault: str, status: int
) -> None:
    since = bad_day(Fault(fault, nth=1))
    files = connect(sandbox).files
    assert refused(files.upload, picture).status == status
    assert since.requests == 1
    assert len(files.upload(picture)["file_urls"]) == 1
