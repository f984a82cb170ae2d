"""The unchanged official client against the sandbox: evidence that the sandbox matches the gateway.

Here is what it does when all goes well, and in test_official_client_in_trouble.py what it does when not. The payloads
are the pages' own examples, with prompts of our own; two are repaired where the page contradicts itself: kling-o1 gets
the image_urls it requires, kling-3-pro-image2video a start_image_url that is not empty.

Left out on purpose, as a gateway of Kling models has nothing to say to it: `chat`, `chat_sync` and `submit_chat`, which are
`run`, `run_sync` and `submit_async` for models that answer in the words of other providers; `stream`, which never asks;
`accounts`, `finetune`, `pixelflows` and `webhooks`, which are other services at other addresses. `generations` is in
test_official_history.py.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest
import segmind
from kling_codegen.load.folder import load_specs
from kling_sandbox import Sandbox
from segmind import SegmindClient
from segmind.files import Files
from segmind.v2 import AsyncJob

from .conftest import Connect, SandboxTime, check

SPECS = Path(__file__).parents[2] / "specs"
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

PLAYED = {"run", "run_sync", "submit_async", "files", "models", "generations"}
LEFT_OUT = {"chat", "chat_sync", "submit_chat", "stream"} | {
    *("accounts", "finetune", "pixelflows", "webhooks"),
}


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_every_client_call_is_tested_or_excluded() -> None:
    assert public(SegmindClient) == PLAYED | LEFT_OUT
    assert public(AsyncJob) == {"status", "result", "wait"}
    assert public(Files) == {"upload", "STORAGE_BASE_URL"}
    calls = {name for name in segmind.__all__ if not name[0].isupper()}
    assert calls == (PLAYED | LEFT_OUT | {"image_url"}) - {"stream", "accounts", "finetune"}


@pytest.mark.parametrize("slug", PAYLOADS)
def test_submit_async_and_wait(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    job = connect(sandbox).submit_async(slug, **PAYLOADS[slug])
    assert job.submit_response["status"] == "QUEUED"
    result = job.wait()
    assert result["request_id"] == job.request_id
    check(result)
    assert job.status()["status"] == "COMPLETED"
    assert job.result() == result


@pytest.mark.parametrize("slug", PAYLOADS)
def test_run(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    check(connect(sandbox).run(slug, **PAYLOADS[slug]))


@pytest.mark.parametrize("slug", PAYLOADS)
def test_run_sync(sandbox: Sandbox, connect: Connect, slug: str) -> None:
    answer = connect(sandbox).run_sync(slug, **PAYLOADS[slug])
    assert answer.headers["content-type"] in ("video/mp4", "image/png")
    assert float(answer.headers["x-cost"]) == sandbox.billed[answer.headers["x-request-id"]]
    assert len(answer.content) == int(answer.headers["content-length"])


def test_module_functions_work(
    sandbox: Sandbox, connect: Connect, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It offers no way to tell its own client another address.
    monkeypatch.setattr(segmind, "_default_client", connect(sandbox))
    monkeypatch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
    check(segmind.run("kling-2", prompt="x"))
    check(segmind.submit_async("kling-2", prompt="x").wait())
    assert segmind.run_sync("kling-2", prompt="x").headers["content-type"] == "video/mp4"
    [url] = segmind.files.upload(picture)["file_urls"]
    assert httpx.get(url).content == picture.read_bytes()


def test_key_comes_from_the_environment_too(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
    client = SegmindClient(base_url=f"{sandbox.base_url}/v1")
    with client._client:
        assert client.submit_async("kling-2", prompt="x").request_id


def test_parameters_arrive_unchanged(sandbox: Sandbox, connect: Connect) -> None:
    connect(sandbox).submit_async("kling-2", **PAYLOADS["kling-2"])
    submit = sandbox.submits[-1]
    assert submit.json == PAYLOADS["kling-2"]
    assert submit.headers["user-agent"] == f"segmind-python-sdk/{segmind.__version__}"
    assert submit.headers["x-initiator"] == "SDK-PY"


def test_timeout_and_interval_are_parameters(connect: Connect) -> None:
    number = {"type": "number"}
    schema = {
        "title": "Slow",
        "type": "object",
        "properties": {"timeout": number, "interval": number},
        "additionalProperties": False,
        "x-kling": {"slug": "slow", "returns": "video"},
    }
    with Sandbox(schemas={"slow": schema}) as fast_sandbox:
        check(connect(fast_sandbox).run("slow", timeout=1, interval=0.5))
        assert fast_sandbox.submits[-1].json == {"timeout": 1, "interval": 0.5}


@pytest.mark.parametrize("base", ["/v1", "/v1/", "/v2", ""])
@pytest.mark.parametrize("slug", ["kling-2", "/kling-2"])
def test_official_client_builds_documented_addresses(sandbox: Sandbox, base: str, slug: str) -> None:
    client = SegmindClient(sandbox.api_key, sandbox.base_url + base)
    with client._client:
        assert client.submit_async(slug, prompt="x").status()["status"] == "COMPLETED"


def test_poll_url_has_the_result(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox)
    job = client.submit_async("kling-2", prompt="x")
    assert client._request("GET", job.submit_response["poll_url"]).json() == job.wait()


def test_job_has_states_and_metrics(connect: Connect) -> None:
    with Sandbox(timing="polls:3") as slow:
        job = connect(slow).submit_async("kling-2", prompt="x", duration=10)
        bodies = [job.status() for _ in range(4)]
        assert [body["status"] for body in bodies] == ["QUEUED", "PROCESSING", "PROCESSING", "COMPLETED"]
        assert [body["metrics"] for body in bodies[:3]] == [{}, {}, {}]
        metrics = job.result()["metrics"]
        assert bodies[3]["metrics"] == {"inference_time": metrics["inference_time"]}
        assert {"cost", "remaining_credits", "inference_time", "queue_time", "total_time"} == metrics.keys()
        assert all(isinstance(value, float) for value in metrics.values())
        assert metrics["cost"] == slow.billed[job.request_id] == 1.0
        assert metrics["remaining_credits"] == slow.credits


def test_wait_asks_at_its_interval_until_the_job_ends(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(timing="polls:3") as slow:
        time = SandboxTime(slow, monkeypatch)
        check(connect(slow).submit_async("kling-2", prompt="x").wait(interval=7))
        assert time.slept == [7, 7, 7]
        paths = [request.path.rpartition("/")[2] for request in slow.requests if "/requests/" in request.path]
        assert paths[:-1] == ["status"] * 4


def test_run_takes_as_long_as_the_model_does(connect: Connect, slow: tuple[Sandbox, SandboxTime]) -> None:
    sandbox, time = slow
    result = connect(sandbox).run("kling-2", prompt="x")
    check(result)
    assert time.now == 301
    assert result["metrics"]["total_time"] == 300.73


def test_upload(sandbox: Sandbox, connect: Connect, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
    client, before = connect(sandbox), sandbox.uploads
    answer = client.files.upload([picture, str(picture)])
    assert answer["message"]
    assert sandbox.uploads == before + 2
    assert [httpx.get(url).content for url in answer["file_urls"]] == [picture.read_bytes()] * 2
    check(client.run("kling-bloombloom", image=answer["file_urls"][0]))


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".png", "image/png"), (".JPG", "image/jpeg"), (".mp4", "video/mp4"), (".svg", "image/svg+xml")],
)
def test_upload_has_the_type_of_its_name(
    sandbox: Sandbox,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    kind: str,
) -> None:
    monkeypatch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    [url] = connect(sandbox).files.upload(str(tmp_path / f"a{suffix}"))["file_urls"]
    assert httpx.get(url).headers["content-type"].partition(";")[0] == kind


def test_list_of_models_is_read_by_the_client(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(sandbox)
    request = client._request
    addresses: list[str] = []

    def redirect(method: str, url: str, **more: Any) -> httpx.Response:
        """Send a request to the sandbox: the client offers no way to change this address."""
        addresses.append(url)
        answer: httpx.Response = request(method, f"{sandbox.base_url}{httpx.URL(url).path}", **more)
        return answer

    monkeypatch.setattr(client, "_request", redirect)
    [models] = client.models.list().values()
    assert {model["slug"] for model in models} >= PAYLOADS.keys()
    facts = load_specs(SPECS).gateway
    assert facts is not None
    assert addresses == [facts.models_url]
