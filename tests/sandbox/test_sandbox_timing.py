"""States over time in the three modes, on the clock of the sandbox."""

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from kling_sandbox import BLOCKED_TEXT, Sandbox

Call = Callable[..., dict[str, Any]]
IMAGE = "https://example.com/a.png"
pytestmark = pytest.mark.usefixtures("still_clock")


def states(http: httpx.Client, job: dict[str, str], count: int) -> list[str]:
    return [http.get(job["status_url"]).json()["status"] for _ in range(count)]


def test_at_once(http: httpx.Client, submit: Call) -> None:
    assert states(http, submit("kling-2", prompt="x"), 2) == ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize(
    ("sandbox", "expected"),
    [
        ({"timing": "polls:0"}, ["COMPLETED"] * 4),
        ({"timing": "polls:1"}, ["QUEUED", "COMPLETED", "COMPLETED", "COMPLETED"]),
        ({"timing": "polls:3"}, ["QUEUED", "PROCESSING", "PROCESSING", "COMPLETED"]),
    ],
    indirect=["sandbox"],
)
def test_after_polls(http: httpx.Client, submit: Call, expected: list[str]) -> None:
    assert states(http, submit("kling-2", prompt="x"), 4) == expected


@pytest.mark.parametrize("sandbox", [{"timing": "polls:1"}], indirect=True)
def test_result_request_is_not_a_poll(http: httpx.Client, submit: Call) -> None:
    job = submit("kling-2", prompt="x")
    running = {
        "status": "QUEUED",
        "request_id": job["request_id"],
        "status_url": job["status_url"],
        "response_url": job["response_url"],
        "metrics": {},
    }
    for _ in range(3):
        response = http.get(job["response_url"])
        assert response.status_code == 200
        assert response.json() == running
    assert http.get(job["status_url"]).json() == running
    assert states(http, job, 1) == ["COMPLETED"]


@pytest.mark.parametrize("sandbox", [{"timing": "latency:2"}], indirect=True)
@pytest.mark.parametrize(
    ("slug", "params", "latency"),
    [
        ("kling-2", {"prompt": "x"}, 300.73),
        ("kling-bloombloom", {"image": IMAGE}, 193.06),
        ("kling-2.5-turbo", {"prompt": "x"}, 60.0),
    ],
)
def test_latency_is_documented_and_scaled(
    sandbox: Sandbox, http: httpx.Client, submit: Call, slug: str, params: dict[str, str], latency: float
) -> None:
    job = submit(slug, **params)
    assert states(http, job, 1) == ["QUEUED"]
    sandbox.advance(latency / 2)
    assert states(http, job, 1) == ["PROCESSING"]
    sandbox.advance(latency * 1.5 - 5)
    assert states(http, job, 1) == ["PROCESSING"]
    sandbox.advance(5)
    assert states(http, job, 1) == ["COMPLETED"]
    metrics = http.get(job["response_url"]).json()["metrics"]
    assert metrics["total_time"] == pytest.approx(2 * latency, abs=0.01)
    assert metrics["queue_time"] + metrics["inference_time"] == pytest.approx(metrics["total_time"], abs=0.01)


@pytest.mark.parametrize("sandbox", [{"timing": "polls:2"}], indirect=True)
def test_failing_job_runs_first(http: httpx.Client, submit: Call) -> None:
    assert states(http, submit("kling-2", prompt=BLOCKED_TEXT), 3) == ["QUEUED", "PROCESSING", "FAILED"]


@pytest.mark.parametrize(
    ("sandbox", "running"),
    [({"timing": "polls:9"}, 0), ({"timing": "latency:20"}, 20 * 300.73)],
    indirect=["sandbox"],
)
def test_hour_of_a_record_begins_at_the_end_of_the_job(
    sandbox: Sandbox, http: httpx.Client, submit: Call, running: float
) -> None:
    job = submit("kling-2", prompt="x")
    sandbox.advance(running + 3595)
    assert http.get(job["status_url"]).status_code == 200
    sandbox.advance(5)
    assert http.get(job["status_url"]).status_code == 404


@pytest.mark.parametrize("seconds", [-1, 1e10, math.inf, math.nan])
def test_advance_out_of_range_is_value_error(sandbox: Sandbox, seconds: float) -> None:
    with pytest.raises(ValueError, match="advance must be"):
        sandbox.advance(seconds)


@pytest.mark.parametrize(
    "timing",
    [
        "",
        "now",
        "at-once:1",
        "polls",
        "polls:",
        "polls:-1",
        "polls:1.5",
        "latency:x",
        "latency:nan",
        "latency:inf",
        "latency:-1",
    ],
)
def test_invalid_timing_is_value_error(timing: str) -> None:
    with pytest.raises(ValueError, match=r"latency|float"):
        Sandbox(timing=timing)


@pytest.mark.parametrize("sandbox", [{"timing": "latency:2"}], indirect=True)
def test_file_request_waits_for_a_file_that_is_being_rendered(
    sandbox: Sandbox, http: httpx.Client, submit: Call
) -> None:
    job = submit("kling-2", prompt="a picture that no other test has")
    # The first request starts the rendering.
    assert states(http, job, 1) == ["QUEUED"]
    sandbox.advance(700)
    assert http.get(f"/media/{job['request_id']}.mp4").status_code == 200
