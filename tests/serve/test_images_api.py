"""`/v1/images/generations` and `/v1/models`, with the client of OpenAI and plain HTTP."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from kling_sandbox import Fault, Sandbox
from kling_serve.api import routes

from kling_adapters import load_catalog
from tests.support.serving import BOB, ServedApp, count_submits, make_settings, open_http, serve_app

IMAGE = {"model": "kling-3-text2image", "prompt": "A lighthouse in fog"}
_PNG_HEAD = b"\x89PNG"


def test_openai_client_receives_the_image(client: Any) -> None:
    answer = client.images.generate(**IMAGE, n=1, size="1024x1024", response_format="b64_json")
    assert base64.b64decode(answer.data[0].b64_json).startswith(_PNG_HEAD)


def test_address_of_an_image_waits_for_it(client: Any, served: ServedApp, gateway: Sandbox) -> None:
    answer = client.images.generate(**IMAGE, size="1536x1024", extra_body={"resolution": "2K"})
    with open_http(served) as http:
        assert http.get(answer.data[0].url).content.startswith(_PNG_HEAD)
        assert http.get(f"/v1/images/{answer.id}").json()["status"] == "completed"
        assert answer.id not in http.get("/v1/videos").text
        assert http.get(f"/v1/videos/{answer.id}").status_code == 404
    with open_http(served, BOB) as http:
        assert http.get(answer.data[0].url).status_code == 404
    sent = next(request.json for request in reversed(gateway.requests) if request.path.endswith("text2image"))
    assert (sent["aspect_ratio"], sent["resolution"]) == ("3:2", "2K")


def test_image_that_the_user_removed_is_not_ready(served: ServedApp) -> None:
    with open_http(served) as http:
        image = http.post("/v1/images/generations", json=IMAGE).json()
        assert http.get(image["data"][0]["url"]).status_code == 200
        for path in (served.studio.settings.outputs / image["id"]).iterdir():
            path.unlink()
        answer = http.get(image["data"][0]["url"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")


def test_list_parameter_takes_a_reference(served: ServedApp, gateway: Sandbox) -> None:
    with open_http(served) as http:
        url = "data:image/png;base64," + base64.b64encode(_PNG_HEAD + b"\r\n\x1a\n" + bytes(64)).decode()
        body = {
            "model": "kling-o1",
            "prompt": "@Image1 as a woodcut",
            "input_reference": {"image_url": url},
            "size": "auto",
        }
        answer = http.post("/v1/images/generations", json=body)
        assert answer.status_code == 200
        http.get(answer.json()["data"][0]["url"])
    sent = next(request.json for request in reversed(gateway.requests) if request.path.endswith("kling-o1"))
    assert (len(sent["image_urls"]), sent["aspect_ratio"]) == (1, "auto")
    assert sent["image_urls"][0].startswith(gateway.base_url)


def test_slow_image_is_found_again_by_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WAIT_SECONDS", 0.1)
    with Sandbox(timing="polls:3") as gateway, serve_app(make_settings(gateway, tmp_path)) as served:
        with open_http(served) as http:
            for _ in range(200):
                headers = {"Idempotency-Key": "one"}
                answer = http.post(
                    "/v1/images/generations", json=IMAGE | {"response_format": "b64_json"}, headers=headers
                )
                if answer.status_code == 200:
                    break
                assert (answer.status_code, answer.json()["error"]["code"]) == (504, "still_running")
        assert answer.json()["data"][0]["b64_json"]
        assert count_submits(gateway) == 1


def test_failed_image_is_an_error(tmp_path: Path) -> None:
    body = IMAGE | {"response_format": "b64_json"}
    with (
        Sandbox(faults=[Fault("failed")]) as failing,
        serve_app(make_settings(failing, tmp_path)) as served,
        open_http(served) as http,
    ):
        answer = http.post("/v1/images/generations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "job_failed")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"response_format": "gif"}, "response_format"),
        ({"model": "kling-2"}, "model"),
        ({"resolution": "9K"}, "resolution"),
    ],
)
def test_invalid_image_request_names_its_field(served: ServedApp, change: dict[str, Any], param: str) -> None:
    with open_http(served) as http:
        answer = http.post("/v1/images/generations", json=IMAGE | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_every_model_is_listed(client: Any, served: ServedApp) -> None:
    assert [model.id for model in client.models.list()] == [*load_catalog()]
    assert client.models.retrieve("kling-2.5-turbo").returns == "video"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("kling-99")
    assert httpx.get(f"{served.base_url}/v1/models").status_code == 401
