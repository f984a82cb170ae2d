"""The official client runs against the sandbox, unchanged: that is how the sandbox's faithfulness is shown.

The payloads are the pages' own examples, with prompts of our own; two are repaired where the page contradicts
itself: kling-o1 gets the image_urls it requires, kling-3-pro-image2video a start_image_url that is not empty.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED, Sandbox
from segmind import InferenceFailed, InferenceTimeout, SegmindClient
from segmind.exceptions import SegmindError
from segmind.files import Files

PHOTO = "https://example.com/photo.png"
PAYLOADS: dict[str, dict[str, Any]] = {
    "kling-bloombloom": {"image": PHOTO, "mode": "pro", "duration": "5"},
    "kling-2": {
        "prompt": "A panda swims through a clear pool.",
        "duration": 5,
        "cfg_scale": 0.5,
        "start_image": PHOTO,
        "aspect_ratio": "16:9",
    },
    "kling-o1": {
        "prompt": "Put @Image1 in front of @Image2",
        "resolution": "1K",
        "aspect_ratio": "auto",
        "output_format": "png",
        "image_urls": [PHOTO, PHOTO],
    },
    "kling-3-pro-image2video": {
        "prompt": "The subject turns round, slowly.",
        "duration": "5",
        "cfg_scale": 0.5,
        "aspect_ratio": "16:9",
        "generate_audio": True,
        "negative_prompt": "blur",
        "start_image_url": PHOTO,
    },
    "kling-2.5-turbo": {
        "prompt": "A carnival at dusk.",
        "negative_prompt": "dark tones",
        "cfg_scale": 0.7,
        "duration": "10",
        "mode": "pro",
        "aspect_ratio": "16:9",
    },
}

Connect = Callable[..., SegmindClient]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for all tests here; the client polls at once, so a job that is done at once costs no sleep."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make official clients, and close what they leave open."""
    made: list[SegmindClient] = []

    def call(sandbox: Sandbox, key: str | None = None) -> SegmindClient:
        made.append(SegmindClient(api_key=key or sandbox.api_key, base_url=f"{sandbox.base_url}/v1"))
        return made[-1]

    yield call
    for client in made:
        client._client.close()


def check(sandbox: Sandbox, result: dict[str, Any]) -> None:
    assert result["status"] == "COMPLETED"
    assert result["metrics"]["inference_time"] >= 0
    file = result["video"] if "video" in result else result["images"][0]
    assert result["output"] == file["url"]
    media = httpx.get(result["output"])
    assert media.headers["content-type"] == file["content_type"]
    assert len(media.content) == file["file_size"]


@pytest.mark.parametrize("slug", PAYLOADS)
def test_submit_async_and_wait(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    job = connect(sandbox).submit_async(slug, **PAYLOADS[slug])
    assert job.submit_response["status"] == "QUEUED"
    result = job.wait()
    assert result["request_id"] == job.request_id
    check(sandbox, result)
    assert job.status()["status"] == "COMPLETED"


@pytest.mark.parametrize("slug", PAYLOADS)
def test_run(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    check(sandbox, connect(sandbox).run(slug, **PAYLOADS[slug]))


def test_a_failed_job(sandbox: Sandbox, connect: Connect) -> None:
    job = connect(sandbox).submit_async("kling-2", prompt=BLOCKED_TEXT)
    with pytest.raises(InferenceFailed) as caught:
        job.wait()
    assert "blocked" in (caught.value.detail or "")
    assert caught.value.status_body["status"] == "FAILED"
    assert job.result()["error"] == caught.value.detail


def test_a_wait_that_runs_out(connect: Connect) -> None:
    with Sandbox(timing="polls:1000") as slow:
        job = connect(slow).submit_async("kling-2", prompt="x")
        with pytest.raises(InferenceTimeout) as caught:
            job.wait(timeout=0)
        assert caught.value.request_id == job.request_id
        assert job.status()["status"] == "PROCESSING"


def test_a_record_that_expired(connect: Connect) -> None:
    with Sandbox() as aging:
        job = connect(aging).submit_async("kling-2", prompt="x")
        aging.advance(3600)
        with pytest.raises(SegmindError) as caught:
            job.wait()
        assert caught.value.status == 404


@pytest.mark.parametrize(
    ("key", "slug", "params", "status", "words"),
    [
        (None, "kling-2", {"prompt": "x", "duration": 7}, 400, "duration"),
        (
            None,
            "kling-o1",
            {k: v for k, v in PAYLOADS["kling-o1"].items() if k != "image_urls"},
            400,
            "image_urls",
        ),
        (None, "kling-3-pro-image2video", {"prompt": "x", "start_image_url": ""}, 400, "start_image_url"),
        ("SG_ffffffffffffffff", "kling-2", {"prompt": "x"}, 401, "key"),
        (KEY_FORBIDDEN, "kling-2", {"prompt": "x"}, 403, "permitted"),
        (None, "kling-9", {"prompt": "x"}, 404, "kling-9"),
        (KEY_NO_CREDITS, "kling-2", {"prompt": "x"}, 406, "credits"),
        (KEY_RATE_LIMITED, "kling-2", {"prompt": "x"}, 429, "limit"),
    ],
)
def test_the_error_table(
    sandbox: Sandbox,
    connect: Connect,
    key: str | None,
    slug: str,
    params: dict[str, Any],
    status: int,
    words: str,
) -> None:
    with pytest.raises(SegmindError) as caught:
        connect(sandbox, key).run(slug, **params)
    assert caught.value.status == status
    assert words in (caught.value.detail or "")


@pytest.mark.parametrize("slug", PAYLOADS)
def test_run_sync(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    answer = connect(sandbox).run_sync(slug, **PAYLOADS[slug])
    assert answer.headers["content-type"] in ("video/mp4", "image/png")
    assert float(answer.headers["x-cost"]) == sandbox.billed[answer.headers["x-request-id"]]
    assert len(answer.content) == int(answer.headers["content-length"])


def test_upload(sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
    picture = httpx.get(f"{sandbox.base_url}/samples/a.png?size=64x64").content
    (tmp_path / "a.png").write_bytes(picture)
    client = connect(sandbox)
    before = sandbox.uploads
    urls = client.files.upload([tmp_path / "a.png", tmp_path / "a.png"])["file_urls"]
    assert sandbox.uploads == before + 2
    assert [httpx.get(url).content for url in urls] == [picture, picture]
    check(sandbox, client.run("kling-bloombloom", image=urls[0]))
    stranger = connect(sandbox, "SG_ffffffffffffffff")
    with pytest.raises(SegmindError) as caught:
        stranger.files.upload(tmp_path / "a.png")
    assert caught.value.status == 401
