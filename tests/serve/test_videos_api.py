"""`/v1/videos`, with the client of OpenAI and plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from kling_sandbox import Fault, Faults, Sandbox
from kling_serve import submits
from kling_serve.api import bodies

from kling_adapters.testing import PNG
from tests.support.serving import (
    ALICE,
    BOB,
    PROMPT,
    ServedApp,
    count_submits,
    make_settings,
    open_http,
    serve_app,
    wait_for_end,
)

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")
_PART = b'Content-Disposition: form-data; name="model"\r\n\r\nkling-2\r\n'


@pytest.fixture
def http_client(served: ServedApp) -> Iterator[httpx.Client]:
    with open_http(served) as client:
        yield client


def test_openai_client_runs_a_job_to_its_file(client: Any) -> None:
    video = client.videos.create(**PROMPT, seconds="10", size="1280x720")
    assert (video.object, video.status, video.model) == ("video", "queued", "kling-2")
    video = client.videos.poll(video.id, poll_interval_ms=50)
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "10", "16:9")
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
    assert video.id in [listed.id for listed in client.videos.list()]
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def test_extra_body_carries_every_parameter(client: Any, gateway: Sandbox) -> None:
    elements = [
        {
            "frontal_image_url": "https://example.com/a.png",
            "reference_image_urls": ["https://example.com/b.png"],
        }
    ]
    video = client.videos.create(
        model="kling-3-pro-image2video",
        prompt="@Element1 walks",
        input_reference=("start.png", PNG),
        seconds="7",
        extra_body={"cfg_scale": 0.7, "generate_audio": False, "elements": json.dumps(elements)},
    )
    client.videos.poll(video.id, poll_interval_ms=50)
    sent = next(
        request.json for request in reversed(gateway.requests) if request.path.endswith("image2video")
    )
    assert sent["start_image_url"].startswith(gateway.base_url)
    assert {name: sent[name] for name in ("duration", "cfg_scale", "generate_audio", "elements")} == {
        "duration": "7",
        "cfg_scale": 0.7,
        "generate_audio": False,
        "elements": elements,
    }


def test_repeated_key_is_the_same_job_across_restarts(gateway: Sandbox, tmp_path: Path) -> None:
    settings, key = make_settings(gateway, tmp_path), {"Idempotency-Key": "order 17"}
    before, ids = count_submits(gateway), set()
    for _ in range(2):
        with serve_app(settings) as served, open_http(served) as http:
            for _ in range(2):
                answer = http.post("/v1/videos", json=PROMPT, headers=key)
                assert answer.status_code == 200
                ids.add(answer.json()["id"])
            reused = http.post("/v1/videos", json=PROMPT | {"prompt": "A harbour"}, headers=key)
            assert (reused.status_code, reused.json()["error"]["code"]) == (409, "idempotency_key_reused")
            ids.add(http.post("/v1/videos", json=PROMPT, headers=key).json()["id"])
            wait_for_end(http, answer.json()["id"])
        with serve_app(settings) as served, open_http(served, BOB) as http:
            ids.add(http.post("/v1/videos", json=PROMPT, headers=key).json()["id"])
    assert (len(ids), count_submits(gateway) - before) == (2, 2)  # one job of alice, one of bob


def test_one_key_for_two_requests_at_once_starts_one_job(gateway: Sandbox, tmp_path: Path) -> None:
    before, key = count_submits(gateway), {"Idempotency-Key": "one"}
    with (
        serve_app(make_settings(gateway, tmp_path)) as served,
        open_http(served) as http,
        ThreadPoolExecutor(6) as pool,
    ):
        bodies = [PROMPT | {"prompt": f"Kite {number % 2}"} for number in range(6)]
        answers = list(pool.map(lambda body: http.post("/v1/videos", json=body, headers=key), bodies))
        accepted = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        wait_for_end(http, accepted[0])
    assert (len({*accepted}), count_submits(gateway) - before) == (1, 1)
    assert [answer.status_code for answer in answers].count(409) == 3


def test_same_body_without_key_is_two_jobs(http_client: httpx.Client, gateway: Sandbox) -> None:
    before = count_submits(gateway)
    ids = {http_client.post("/v1/videos", json=PROMPT).json()["id"] for _ in range(2)}
    for job_id in ids:
        wait_for_end(http_client, job_id)
    assert (len(ids), count_submits(gateway) - before) == (2, 2)


def test_retry_without_key_sends_nothing(http_client: httpx.Client, gateway: Sandbox) -> None:
    before = count_submits(gateway)
    answer = http_client.post("/v1/videos", json=PROMPT, headers={"x-stainless-retry-count": "1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "repeated_without_key")
    assert count_submits(gateway) == before


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_invalid_key_sends_nothing(http_client: httpx.Client, gateway: Sandbox, key: str) -> None:
    before = count_submits(gateway)
    answer = http_client.post("/v1/videos", json=PROMPT, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_idempotency_key")
    assert count_submits(gateway) == before


def test_jobs_of_tokens_are_kept_apart(served: ServedApp, http_client: httpx.Client) -> None:
    job_id = http_client.post("/v1/videos", json=PROMPT).json()["id"]
    wait_for_end(http_client, job_id)
    for token in (BOB, served.token):
        with open_http(served, token) as stranger:
            listed = stranger.get("/v1/videos?limit=100").json()["data"]
            assert job_id not in [job["id"] for job in listed]
            for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
                answer = stranger.request(method, f"/v1/videos/{job_id}{path}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert http_client.get(f"/v1/videos/{job_id}").status_code == 200


def test_content_that_the_user_removed_is_not_ready(served: ServedApp, http_client: httpx.Client) -> None:
    job = wait_for_end(http_client, http_client.post("/v1/videos", json=PROMPT).json()["id"])
    assert http_client.get(f"/v1/videos/{job['id']}/content").status_code == 200
    for path in (served.studio.settings.outputs / job["id"]).iterdir():
        path.unlink()
    answer = http_client.get(f"/v1/videos/{job['id']}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")


def test_list_is_read_in_pages(served: ServedApp, client: Any) -> None:
    created = [client.videos.create(**PROMPT).id for _ in range(3)]
    newest = [video.id for video in client.videos.list(limit=1)][:3]
    oldest = [video.id for video in client.videos.list(limit=2, order="asc")][-3:]
    assert (newest, oldest) == (created[::-1], created)


def test_content_is_read_in_parts(http_client: httpx.Client) -> None:
    job_id = http_client.post("/v1/videos", json=PROMPT).json()["id"]
    wait_for_end(http_client, job_id)
    whole = http_client.get(f"/v1/videos/{job_id}/content")
    part = http_client.get(f"/v1/videos/{job_id}/content", headers={"Range": "bytes=4-7"})
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    assert (part.status_code, part.content) == (206, b"ftyp")
    for text, status in (("bytes=99999999-", 416), ("bytes=7-4", 400), ("lines=1-2", 400)):
        refused = http_client.get(f"/v1/videos/{job_id}/content", headers={"Range": text})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, "invalid_range")
        assert ("content-range" in refused.headers) == (status == 416)


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "kling-99"}, 404, "model_not_found", "model"),
        ({"model": None}, 400, "invalid_parameters", "model"),
        ({"model": "kling-o1"}, 400, "wrong_model", "model"),
        ({"seconds": "7"}, 400, "invalid_parameters", "seconds"),
        ({"size": "123x400"}, 400, "invalid_parameters", "size"),
        ({"duration": 5, "seconds": "5"}, 400, "invalid_parameters", "seconds"),
        ({"model": "kling-o1-image-to-video", "size": "1280x720"}, 400, "invalid_parameters", "size"),
        (
            {"model": "kling-1.6-text2video", "input_reference": "https://example.com/a.png"},
            400,
            "invalid_parameters",
            "input_reference",
        ),
        ({"input_reference": {"file_id": "file-1"}}, 400, "invalid_parameters", "input_reference"),
        ({"cfg_scale": 7}, 400, "invalid_parameters", "cfg_scale"),
        ({"prompt": 5}, 400, "invalid_parameters", "prompt"),
        ({"start_image": "/etc/passwd"}, 400, "invalid_parameters", "start_image"),
        ({"prompts": "x"}, 400, "invalid_parameters", "prompts"),
        ({"n": 2}, 400, "invalid_parameters", "n"),
    ],
)
def test_invalid_request_names_its_field(
    http_client: httpx.Client, gateway: Sandbox, change: dict[str, Any], status: int, code: str, param: str
) -> None:
    before = count_submits(gateway)
    answer = http_client.post("/v1/videos", json=PROMPT | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert "submit_raw" not in error["message"]
    assert count_submits(gateway) == before


def test_refused_job_ends_as_failed(gateway: Sandbox, tmp_path: Path) -> None:
    gateway.faults = Faults([Fault("406", method="POST")])
    try:
        with serve_app(make_settings(gateway, tmp_path)) as served, open_http(served) as http:
            job = wait_for_end(http, http.post("/v1/videos", json=PROMPT).json()["id"])
    finally:
        gateway.faults = Faults([])
    assert (job["status"], job["error"]["code"]) == ("failed", "submit_refused")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", b"{"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"model": NaN}'),
        ("application/json", b"[1]"),
        ("text/plain", b"model=kling-2"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data; boundary=x; charset=undefined", b"--x\r\n" + _PART + b"--x--\r\n"),
        ("application/x-www-form-urlencoded", b"a=1&a[]=2"),
        ("application/x-www-form-urlencoded", b"a[]=1&a[x]=2"),
        ("application/x-www-form-urlencoded", b"a[][x][]=1"),
        ("application/x-www-form-urlencoded", b"a[x][y]=1"),
        ("application/x-www-form-urlencoded", b"a[]=1&a[][x]=2"),
        ("application/x-www-form-urlencoded", b"a[][x]=1&a[][x]=2&a[][y]=3"),
        ("application/x-www-form-urlencoded", b"a=1&a=2"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(600))),
    ],
)
def test_unreadable_body_is_an_error_of_the_shape(
    http_client: httpx.Client, content_type: str, content: bytes
) -> None:
    answer = http_client.post("/v1/videos", content=content, headers={"Content-Type": content_type})
    assert answer.status_code in (400, 415)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_form_fields_become_lists_and_objects(http_client: httpx.Client, gateway: Sandbox) -> None:
    form = {
        "model": "kling-3-pro-image2video",
        "prompt": "",
        "start_image_url": "https://example.com/a.png",
        "voice_ids[]": ["one", "two"],
        "multi_prompt[][prompt]": ["first", "second"],
        "multi_prompt[][duration]": ["3", "4"],
    }
    answer = http_client.post("/v1/videos", data=form)
    wait_for_end(http_client, answer.json()["id"])
    sent = next(
        request.json for request in reversed(gateway.requests) if request.path.endswith("image2video")
    )
    assert sent["voice_ids"] == ["one", "two"]
    assert [shot["prompt"] for shot in sent["multi_prompt"]] == ["first", "second"]


def test_large_body_is_refused(http_client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 1000)
    requests: list[Any] = [
        {"json": PROMPT | {"prompt": "x" * 2000}},
        {"data": PROMPT, "files": {"input_reference": PNG * 100}},
    ]
    for body in requests:
        answer = http_client.post("/v1/videos", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_wrong_tokens_and_origins_are_errors_of_the_shape(served: ServedApp) -> None:
    wrong: list[dict[str, str]] = [{}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {ALICE}"}]
    for headers in wrong:
        answer = httpx.post(f"{served.base_url}/v1/videos", json=PROMPT, headers=headers)
        assert (answer.status_code, "error" in answer.json()) == (401, True)
    with open_http(served) as http:
        for headers in ({"Origin": "https://example.com"}, {"Sec-Fetch-Site": "cross-site"}):
            assert http.post("/v1/videos", json=PROMPT, headers=headers).status_code == 403
        assert http.get("/v1/videos", headers={"Host": "example.com"}).status_code == 421


def test_job_limit_holds_until_a_job_ends(tmp_path: Path) -> None:
    with Sandbox(timing="polls:1000") as gateway:
        settings = make_settings(gateway, tmp_path, jobs_in_flight=2)
        with serve_app(settings) as served, open_http(served) as http, ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: http.post("/v1/videos", json=PROMPT), range(6)))
        with serve_app(settings) as served, open_http(served) as http:
            answers.append(http.post("/v1/videos", json=PROMPT))
        assert sorted(answer.status_code for answer in answers) == [200, 200] + [429] * 5
        assert count_submits(gateway) == 2


def test_credit_limit_holds_at_once_and_across_restarts(tmp_path: Path) -> None:
    with Sandbox(timing="polls:1") as gateway:
        settings = make_settings(gateway, tmp_path, credits_a_day=1.2, unknown_price=0.5)
        with serve_app(settings) as served, open_http(served) as http, ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: http.post("/v1/videos", json=PROMPT), range(6)))
        with serve_app(settings) as served, open_http(served) as http:
            answers.append(http.post("/v1/videos", json=PROMPT))
        statuses = [answer.status_code for answer in answers]
        assert count_submits(gateway) == statuses.count(200) <= 2
        assert answers[-1].json()["error"]["code"] == "limit_reached"


def test_job_of_unknown_price_needs_a_set_price(tmp_path: Path) -> None:
    with Sandbox() as gateway:
        settings = make_settings(gateway, tmp_path, credits_a_day=100)
        with serve_app(settings) as served, open_http(served) as http:
            answer = http.post("/v1/videos", json=PROMPT)
        assert (answer.status_code, "price" in answer.json()["error"]["message"]) == (429, True)
        assert count_submits(gateway) == 0


def test_slow_upload_is_answered_with_the_handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submits, "ANSWER_SECONDS", 0.05)
    form: Any = {
        "data": {"model": "kling-o1-image-to-video", "prompt": "A"},
        "files": {"input_reference": PNG},
    }
    slow = Fault("latency", 1, "POST", "/upload-asset", seconds=0.5)
    with Sandbox(faults=[slow]) as gateway, serve_app(make_settings(gateway, tmp_path)) as served:
        with open_http(served) as http:
            job = http.post("/v1/videos", **form, headers={"Idempotency-Key": "one"}).json()
            assert (job["status"], job["model"]) == ("queued", "kling-o1-image-to-video")
            assert count_submits(gateway) == 0
            assert (
                http.post("/v1/videos", **form, headers={"Idempotency-Key": "one"}).json()["id"] == job["id"]
            )
            # A later look has another time of day.
            monkeypatch.setattr("kling_serve.api.jobs.time", SimpleNamespace(time=lambda: 4e9))
            assert http.get(f"/v1/videos/{job['id']}").json()["created_at"] == job["created_at"]
            refused = http.delete(f"/v1/videos/{job['id']}").json()["error"]
            assert (refused["code"], "not submitted yet" in refused["message"]) == ("not_ready", True)
            assert wait_for_end(http, job["id"])["status"] == "completed"
        with open_http(served, BOB) as http:
            assert http.get(f"/v1/videos/{job['id']}").status_code == 404
    assert count_submits(gateway) == 1


def test_failed_upload_sends_nothing_and_may_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submits, "ANSWER_SECONDS", 60.0)
    form: Any = {
        "data": {"model": "kling-o1-image-to-video", "prompt": "A"},
        "files": {"input_reference": PNG},
        "headers": {"Idempotency-Key": "one"},
    }
    with (
        Sandbox(faults=[Fault("401", 1, "POST", "/upload-asset")]) as gateway,
        serve_app(make_settings(gateway, tmp_path)) as served,
        open_http(served) as http,
    ):
        answer = http.post("/v1/videos", **form)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_error")
        assert count_submits(gateway) == 0
        gateway.faults = Faults([])
        job = wait_for_end(http, http.post("/v1/videos", **form).json()["id"])
        assert (job["status"], count_submits(gateway)) == ("completed", 1)
