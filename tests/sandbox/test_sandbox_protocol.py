"""Bodies, paths and state of the gateway, over plain HTTP."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import API_KEY, BLOCKED_TEXT, Sandbox
from kling_sandbox.rendering.renderer import Renderer

HOUR = 3600

Call = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("own_name", ["127.0.0.1:{port}", "localhost:{port}", "10.0.0.7:80"])
def test_submit_returns_reachable_urls(sandbox: Sandbox, http: httpx.Client, own_name: str) -> None:
    host = own_name.format(port=sandbox.base_url.rpartition(":")[2])
    response = http.post("/v2/kling-2", json={"prompt": "x"}, headers={"Host": host})
    body = response.json()
    request_id = body["request_id"]
    assert str(uuid.UUID(request_id)) == request_id
    assert body == {
        "request_id": request_id,
        "status": "QUEUED",
        "poll_url": f"http://{host}/v1/requests/{request_id}",
        "status_url": f"http://{host}/v2/requests/{request_id}/status",
        "response_url": f"http://{host}/v2/requests/{request_id}",
    }


def test_status_of_a_finished_job(http: httpx.Client, submit: Call) -> None:
    job = submit("kling-2", prompt="x")
    response = http.get(job["status_url"])
    assert response.status_code == 200
    assert response.json() == {
        "status": "COMPLETED",
        "request_id": job["request_id"],
        "metrics": {"inference_time": 0.0},
    }


@pytest.mark.parametrize("sandbox", [{"credits": 10.0, "timing": "latency:0"}], indirect=True)
def test_result_of_a_video(sandbox: Sandbox, http: httpx.Client, submit: Call) -> None:
    job = submit("kling-2", prompt="a panda", duration=10)
    body = http.get(job["response_url"]).json()
    url = f"{sandbox.base_url}/media/{job['request_id']}.mp4"
    size = len(http.get(url).content)
    assert body == {
        "status": "COMPLETED",
        "request_id": job["request_id"],
        "output": url,
        "video": {
            "url": url,
            "content_type": "video/mp4",
            "file_name": f"{job['request_id']}.mp4",
            "file_size": size,
        },
        "seed": body["seed"],
        "prompt": "a panda",
        "metrics": {
            "cost": 1.0,
            "remaining_credits": 9.0,
            "queue_time": 0.0,
            "inference_time": 0.0,
            "total_time": 0.0,
        },
    }
    assert http.get(job["poll_url"]).json() == body


def test_result_of_an_image(run: Call) -> None:
    body = run("kling-o1", prompt="@Image1", image_urls=["https://example.com/cat.png"], output_format="jpg")
    (image,) = body["images"]
    assert "video" not in body
    assert body["output"] == image["url"]
    assert image["content_type"] == "image/jpeg"
    assert image["file_name"].endswith(".jpg")


def test_no_prompt_in_the_result_of_a_model_without_one(run: Call) -> None:
    assert "prompt" not in run("kling-bloombloom", image="https://example.com/rose.png")


@pytest.mark.parametrize("sandbox", [{"credits": 3.0}], indirect=True)
def test_credits_decrease_with_outputs(sandbox: Sandbox, http: httpx.Client, run: Call, submit: Call) -> None:
    assert http.get("/v1/get-user-credits").json() == {"credits": 3.0, "free-credits": 0.0}
    metrics = run("kling-2", prompt="x", duration=5)["metrics"]
    assert sandbox.credits == 3.0 - metrics["cost"] == metrics["remaining_credits"]
    before = http.get("/v1/get-user-credits").json()
    http.get(submit("kling-2", prompt=f"{BLOCKED_TEXT} x")["status_url"])
    assert http.get("/v1/get-user-credits").json() == before


def test_failed_job_is_422_without_a_cost(http: httpx.Client, submit: Call) -> None:
    job = submit("kling-bloombloom", image=f"https://example.com/{BLOCKED_TEXT}.png")
    for address in ("status_url", "response_url"):
        response = http.get(job[address])
        assert response.status_code == 422
        body = response.json()
        assert body["status"] == "FAILED"
        assert body["request_id"] == job["request_id"]
        assert "blocked" in body["error"]
        assert "cost" not in body["metrics"]


def test_broken_rendering_fails_unbilled(
    sandbox: Sandbox, http: httpx.Client, submit: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr("kling_sandbox.rendering.renderer.Renderer.render", broken)
    before = sandbox.credits
    job = submit("kling-2", prompt="x")
    for _ in range(2):
        assert http.get(job["status_url"]).status_code == 422
    assert sandbox.credits == before


@pytest.mark.usefixtures("still_clock")
def test_record_and_file_expire(sandbox: Sandbox, http: httpx.Client, submit: Call) -> None:
    job = submit("kling-o1", prompt="x", image_urls=[])
    url = http.get(job["response_url"]).json()["output"]
    sandbox.advance(HOUR - 10)
    assert http.get(job["status_url"]).status_code == 200
    sandbox.advance(10)
    for address in ("status_url", "response_url"):
        response = http.get(job[address])
        assert response.status_code == 404
        assert "expired" in response.json()["error"]
    assert http.get(url).status_code == 200
    sandbox.advance(7 * 24 * HOUR)
    assert http.get(url).status_code == 404


def test_media_can_be_read_in_ranges_and_without_a_key(sandbox: Sandbox, run: Call) -> None:
    url = run("kling-2", prompt="x")["output"]
    with httpx.Client() as anybody:
        whole = anybody.get(url)
        assert whole.headers["accept-ranges"] == "bytes"
        part = anybody.get(url, headers={"Range": "bytes=100-199"})
        assert part.status_code == 206
        assert part.content == whole.content[100:200]
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
        rest = anybody.get(url, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
        assert rest.content == whole.content[100:]
        assert anybody.get(url, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
        assert anybody.head(url).headers["content-length"] == str(len(whole.content))
        assert anybody.get(url.removesuffix(".mp4") + ".png").status_code == 404


def test_equal_parameters_are_rendered_once(http: httpx.Client, run: Call) -> None:
    first, second = (http.get(run("kling-2", prompt="once")["output"]) for _ in range(2))
    assert first.headers["etag"] == second.headers["etag"]
    assert first.content == second.content
    second_prompt = http.get(run("kling-2", prompt="twice")["output"])
    assert second_prompt.content != first.content


def test_rendering_does_not_hold_up_other_requests(
    http: httpx.Client, submit: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    render, go_on = Renderer.render, threading.Event()

    def wait_and_render(*args: Any) -> Path:
        assert go_on.wait(60)
        return render(*args)

    monkeypatch.setattr(Renderer, "render", wait_and_render)
    job = submit("kling-2", prompt="x")
    order: list[str] = []

    def wait() -> None:
        http.get(job["status_url"])
        order.append("video")

    waiting = threading.Thread(target=wait)
    waiting.start()
    http.get("/v1/get-user-credits")
    order.append("credits")
    go_on.set()
    waiting.join()
    assert order == ["credits", "video"]


@pytest.mark.parametrize("duration", ["5", 5, "10"])
def test_text_form_of_integer_is_accepted(run: Call, duration: object) -> None:
    assert run("kling-2.5-turbo", prompt="x", duration=duration)["metrics"]["cost"] == int(str(duration)) / 10


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("sandbox", [{"rate_limit": 2}], indirect=True)
def test_rate_limit_has_reset_time_and_counts_submits(
    sandbox: Sandbox, http: httpx.Client, submit: Call
) -> None:
    job = submit("kling-2", prompt="x")
    sandbox.advance(20)
    submit("kling-2", prompt="x")
    before = datetime.now(UTC)
    refused = http.post("/v2/kling-2", json={"prompt": "x"})
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    reset = datetime.fromisoformat(refused.headers["x-rate-limit-reset-at-utc"])
    assert timedelta(seconds=40) <= reset - before <= datetime.now(UTC) - before + timedelta(seconds=40)
    assert http.get(job["status_url"]).status_code == 200
    sandbox.advance(40)
    submit("kling-2", prompt="x")


def test_record_has_requests_without_keys(sandbox: Sandbox, http: httpx.Client, run: Call) -> None:
    url = run("kling-2", prompt="x", start_image=f"{sandbox.base_url}/samples/hill.png")["output"]
    httpx.get(url, headers={"Authorization": "Bearer secret-1"}, params={"key": "secret-2"})
    submitted, polled, fetched = sandbox.requests
    assert (submitted.method, submitted.path) == ("POST", "/v2/kling-2")
    assert submitted.json["prompt"] == "x"
    assert submitted.headers["content-type"] == "application/json"
    assert (polled.method, polled.json) == ("GET", None)
    assert fetched.path.startswith("/media/")
    assert not any(secret in repr(sandbox.requests) for secret in (API_KEY, "secret-1", "secret-2"))
    assert sandbox.has_received_key(API_KEY, "/v2/*")
    assert not sandbox.has_received_key(API_KEY, "/media/*")
    assert sandbox.has_received_key("secret-1", fetched.path)
    assert sandbox.has_received_key("secret-2")


def test_samples_are_drawn_in_the_size_asked_for(http: httpx.Client) -> None:
    first, again, second = (http.get(f"/samples/{name}.png", params={"size": "64x48"}) for name in "aab")
    assert first.headers["content-type"] == "image/png"
    assert first.content == again.content != second.content
    for size in ("10x10", "64", "64x9999", "x", "99999x64"):
        assert http.get("/samples/a.png", params={"size": size}).status_code == 400


def test_sandbox_removes_its_files_and_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox() as sandbox:
        key = {"x-api-key": sandbox.api_key}
        job = httpx.post(f"{sandbox.base_url}/v2/kling-2", json={"prompt": "x"}, headers=key).json()
        httpx.get(job["response_url"], headers=key, timeout=30)
        assert list(tmp_path.rglob("*.mp4"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.base_url)


def test_used_port_is_os_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Sandbox() as first:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        second = Sandbox(port=int(first.base_url.rpartition(":")[2]))
        with pytest.raises(OSError, match="in use"):
            second.__enter__()
    assert not list(tmp_path.iterdir())
