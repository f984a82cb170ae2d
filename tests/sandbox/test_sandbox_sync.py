"""Synchronous calls: the response to the POST is the file."""

import threading
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import av
import httpx
import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_NO_CREDITS, KEY_RATE_LIMITED, Sandbox

Call = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("sandbox", [{"credits": 10.0, "timing": "polls:9"}], indirect=True)
def test_direct_video_has_its_account_in_headers(sandbox: Sandbox, http: httpx.Client) -> None:
    answer = http.post("/v1/kling-2", json={"prompt": "a panda", "duration": 10})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with av.open(BytesIO(answer.content), "r") as container:
        assert container.duration == 10 * av.time_base
    request_id = answer.headers["x-request-id"]
    assert float(answer.headers["x-cost"]) == 1.0 == sandbox.billed[request_id]
    assert float(answer.headers["x-remaining-credits"]) == 9.0 == sandbox.credits
    assert float(answer.headers["x-generation-time"]) >= 0
    assert int(answer.headers["x-seed-value"]) >= 0
    assert (sandbox.submits[-1].request_id, sandbox.submits[-1].is_complete) == (request_id, True)


def test_direct_run_has_no_record(http: httpx.Client) -> None:
    request_id = http.post("/v1/kling-2", json={"prompt": "x"}).headers["x-request-id"]
    for path in (
        f"/v2/requests/{request_id}",
        f"/v2/requests/{request_id}/status",
        f"/v1/requests/{request_id}",
    ):
        assert http.get(path).status_code == 404


def test_image_has_the_requested_seed(http: httpx.Client) -> None:
    body = {"prompt": "x", "image_urls": [], "output_format": "jpg"}
    answer = http.post("/v1/kling-o1", json=body)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("sandbox", [{"timing": "latency:1"}], indirect=True)
def test_it_answers_when_the_job_ends(sandbox: Sandbox, http: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(http.post("/v1/kling-2", json={"prompt": "x"})))
    asking.start()
    while not sandbox.billed:
        time.sleep(0.001)
    assert not answers
    sandbox.advance(300.73)
    asking.join(120)
    assert answers[0].headers["x-generation-time"] == str(round(300.73 * 0.9, 3))


def test_errors_are_those_of_a_submit(sandbox: Sandbox, http: httpx.Client) -> None:
    def status(slug: str, key: str | None = None, **params: Any) -> int:
        headers = {"x-api-key": sandbox.api_key if key is None else key}
        return http.post(f"/v1/{slug}", json=params, headers=headers).status_code

    assert status("kling-2", prompt="x", duration=7) == 400
    assert status("kling-2", "", prompt="x") == 401
    assert status("kling-9", prompt="x") == 404
    assert status("kling-2", KEY_NO_CREDITS, prompt="x") == 406
    assert status("kling-2", KEY_RATE_LIMITED, prompt="x") == 429
    assert http.post("/v1/kling-2", content=b"{}").status_code == 406
    assert http.get("/v1/kling-2").status_code == 405
    before = sandbox.credits
    failed = http.post("/v1/kling-2", json={"prompt": BLOCKED_TEXT})
    assert failed.status_code == 422
    assert failed.json()["status"] == "FAILED"
    assert "blocked" in failed.json()["error"]
    assert sandbox.credits == before
    assert not sandbox.billed
