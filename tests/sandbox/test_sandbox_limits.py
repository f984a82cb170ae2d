"""Limits on requests and on stored data."""

from __future__ import annotations

import base64
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from kling_sandbox import KEY_FORBIDDEN, Sandbox, bodies, control, gateway, intake, record, uploads
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.rendering import fetch, renderer
from PIL import Image, ImageStat

from tests.support.scripted_server import Drip, Reply, ScriptedServer

LARGE = {"prompt": "x" * 3000}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take bodies of 2,000 bytes, and 5,000 for uploads."""
    for module, name, largest in (
        (bodies, "MAX_PARAMS", 2000),
        (control, "MAX_BODY", 2000),
        (intake, "_MAX_WITHOUT_KEY", 2000),
        (uploads, "MAX_BODY", 5000),
    ):
        monkeypatch.setattr(module, name, largest)


def upload(http: httpx.Client, content: bytes) -> httpx.Response:
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return http.post("/upload-asset", json={"data_urls": [url]})


def result_of(http: httpx.Client, **params: Any) -> dict[str, Any]:
    job = http.post("/v2/kling-2", json={"prompt": "x", **params}).json()
    answer = http.get(job["response_url"])
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def mean_colour(http: httpx.Client, **params: Any) -> list[float]:
    """Return the mean colour of the first frame of a video."""
    data = http.get(result_of(http, **params)["output"]).content
    with av.open(BytesIO(data), "r") as container:
        frame = next(iter(container.decode(container.streams.video[0])))
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return ImageStat.Stat(picture).mean


@pytest.mark.usefixtures("small_limits")
def test_large_submit_is_413_and_not_billed(sandbox: Sandbox, http: httpx.Client) -> None:
    for path in ("/v1/kling-2", "/v2/kling-2"):
        answer = http.post(path, json=LARGE)
        assert (answer.status_code, "2000 bytes" in answer.json()["error"]) == (413, True)
    assert not sandbox.billed
    assert [submit.json for submit in sandbox.submits] == [None, None]


@pytest.mark.usefixtures("small_limits")
def test_uploads_have_a_larger_limit(sandbox: Sandbox, http: httpx.Client) -> None:
    assert upload(http, bytes(3000)).status_code == 200
    assert sandbox.requests[-1].json is None
    assert upload(http, bytes(5000)).status_code == 413
    assert sandbox.uploads == 1


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(("key", "status"), [("", 401), ("SG_ffffffffffffffff", 401), (KEY_FORBIDDEN, 403)])
def test_key_is_checked_before_a_large_body(sandbox: Sandbox, key: str, status: int) -> None:
    for path in ("/v2/kling-2", "/upload-asset"):
        answer = httpx.post(f"{sandbox.base_url}{path}", json=LARGE, headers={"x-api-key": key})
        assert answer.status_code == status
        assert sandbox.requests[-1].json is None


@pytest.mark.usefixtures("small_limits")
def test_control_bodies_are_bounded(sandbox: Sandbox) -> None:
    before = sandbox.faults
    answer = httpx.post(f"{sandbox.base_url}/_sandbox/faults", json={"faults": [LARGE]})
    assert answer.status_code == 413
    assert sandbox.faults is before


def test_faults_are_bounded(sandbox: Sandbox) -> None:
    for count, status in ((1000, 204), (1001, 400)):
        body = {"faults": [{"kind": "502", "path": "/none"}] * count}
        assert httpx.post(f"{sandbox.base_url}/_sandbox/faults", json=body).status_code == status
    assert len(sandbox.faults.faults) == 1000


def test_oldest_uploads_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_CAPACITY", 10_000)
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.base_url) as http:
        http.headers["x-api-key"] = sandbox.api_key
        urls = [upload(http, bytes([number]) * 3000).json()["file_urls"][0] for number in range(4)]
        assert [http.get(url).status_code for url in urls] == [404, 404, 200, 200]
        assert sandbox.uploads == 4


def test_oldest_requests_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_CAPACITY", 100_000)
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.base_url) as http:
        for number in range(100):
            http.post(f"/{number}", json={"text": "x" * 100})
        paths = [int(entry.path[1:]) for entry in sandbox.requests]
        assert paths == list(range(100 - len(paths), 100))
        assert 5 < len(paths) < 50


def test_oldest_jobs_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_JOBS_CAPACITY", 10_000)
    with Sandbox(timing="polls:9") as sandbox, httpx.Client(base_url=sandbox.base_url) as http:
        http.headers["x-api-key"] = sandbox.api_key
        jobs = [http.post("/v2/kling-o1", json={"prompt": "x", "image_urls": []}).json() for _ in range(4)]
        assert [http.get(job["status_url"]).status_code for job in jobs] == [404, 404, 200, 200]
        assert set(sandbox.billed) == {job["request_id"] for job in jobs[2:]}


def test_rendered_files_are_dropped_and_rendered_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(renderer, "_CAPACITY", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.base_url, timeout=60) as http:
        http.headers["x-api-key"] = sandbox.api_key
        first = result_of(http, prompt="one")
        content = http.get(first["output"]).content
        result_of(http, prompt="two")
        assert len(list(tmp_path.rglob("*.mp4"))) == 1
        assert http.get(first["output"]).status_code == 404
        again = http.get(f"/v2/requests/{first['request_id']}").json()
        assert again == first
        assert http.get(again["output"]).content == content
        assert len(sandbox.billed) == 2


def test_renamed_part_file_fails_no_other_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.base_url, timeout=60) as http:
        http.headers["x-api-key"] = sandbox.api_key
        (folder,) = tmp_path.iterdir()
        # A link to nothing is listed and cannot be read, like a part that was renamed in between.
        (folder / "part-of-another-job.mp4").symlink_to("absent")
        assert result_of(http, prompt="one")["output"]


def test_samples_have_a_largest_size(sandbox: Sandbox) -> None:
    for size, status in (("2048x16", 200), ("2049x16", 400), ("16x4096", 400)):
        assert httpx.get(f"{sandbox.base_url}/samples/a.png?size={size}").status_code == status


def test_picture_of_too_many_pixels_is_not_decoded(http: httpx.Client, server: ScriptedServer) -> None:
    for side, is_shown in ((64, True), (8_000, False)):
        file = BytesIO()
        Image.new("1", (side, side), 1).save(file, "PNG")
        assert len(file.getvalue()) < 50_000
        server.play([Reply(200, file.getvalue())])
        assert (min(mean_colour(http, start_image=f"{server.url}/{side}.png")) > 240) == is_shown


def test_no_program_is_started_for_a_picture(
    http: httpx.Client, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr("subprocess.check_call", lambda *args, **_: started.append(args))
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    picture = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
    server.play([Reply(200, picture)])
    assert result_of(http, start_image=f"{server.url}/a.eps")["output"]
    assert server.requests
    assert not started


def test_remote_client_cannot_reach_local_servers(http: httpx.Client, server: ScriptedServer) -> None:
    # What a proxy on this machine says of its client.
    http.headers["x-forwarded-for"] = "192.0.2.7"
    result_of(http, start_image=f"{server.url}/elsewhere.png")
    del http.headers["x-forwarded-for"]
    result_of(http, start_image=f"{server.url}/here.png")
    assert [request.path for request in server.requests] == ["/here.png"]


def test_slow_picture_is_abandoned(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a test may take, if the connection stays open.
    server.play([Drip(b"HTTP/1.0 200 OK\r\nx: ", b"x", 3000)])
    monkeypatch.setattr(fetch, "_SECONDS", 0.2)
    began = time.monotonic()
    assert fetch.fetch(f"{server.url}/a.png") is None
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_schema_cannot_refer_to_other_documents(server: ScriptedServer, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a.json").write_text("{}")
    address = server.url if scheme == "http" else tmp_path.as_uri()
    schema: dict[str, Any] = {
        "title": "Hostile",
        "type": "object",
        "properties": {"prompt": {"$ref": f"{address}/a.json"}},
        "x-kling": {"slug": "hostile", "returns": "video"},
    }
    with pytest.raises(ValueError, match="another document"), Sandbox(schemas={"hostile": schema}):
        pass
    assert not server.connections


def test_bounded_store_drops_the_oldest() -> None:
    store = BoundedStore[str, int](10)
    for number, key in enumerate("abc"):
        store.add(key, number, 4)
    assert (store.get("a"), store.values()) == (None, (1, 2))
    store.grow("a", 100)
    store.grow("b", 2)
    assert store.values() == (1, 2)
    store.grow("c", 1)
    assert store.values() == (2,)
    store.add("d", 3, 100)
    assert store.values() == ()
