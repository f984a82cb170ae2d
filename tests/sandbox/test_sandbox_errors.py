"""Every error that a client can cause."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from kling_sandbox import KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED, Sandbox

UNKNOWN_REQUEST = "/v2/requests/3e7d0c1e-4c59-4b0e-9d2a-111111111111"
IMAGE = "https://example.com/a.png"
PRO = {"prompt": "x", "start_image_url": IMAGE}


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A shared sandbox, or a separate one for a test with arguments."""
    with Sandbox(**getattr(request, "param", {})) as running:
        yield running


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    message: str = response.json()["error"]
    return message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"prompt=x",
        b'{"prompt": "x"',
        b'{"prompt": "x", "cfg_scale": NaN}',
        b'{"prompt": "x", "cfg_scale": 1e999}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_invalid_json_is_400(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v2/kling-2", content=body, headers={"Content-Type": "application/json"})
    assert "JSON" in refused(response, 400)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b'[{"prompt": "x"}]'])
def test_json_without_object_is_400(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v2/kling-2", content=body, headers={"Content-Type": "application/json"})
    assert "object" in refused(response, 400)


@pytest.mark.parametrize(
    ("slug", "body", "text"),
    [
        ("kling-2", {}, "prompt"),
        ("kling-2", {"prompt": None}, "prompt"),
        ("kling-2", {"prompt": "x", "duration": 7}, "duration"),
        ("kling-2", {"prompt": "x", "duration": "05"}, "duration"),
        ("kling-2", {"prompt": "x", "duration": " 5"}, "duration"),
        ("kling-2", {"prompt": "x", "duration": "5.0"}, "duration"),
        ("kling-2", {"prompt": "x", "duration": True}, "duration"),
        ("kling-2", {"prompt": "x", "cfg_scale": 1.01}, "cfg_scale"),
        ("kling-2", {"prompt": "x", "cfg_scale": "0.5"}, "cfg_scale"),
        ("kling-2", {"prompt": "x", "start_image": ""}, "start_image"),
        ("kling-2", {"prompt": "x", "start_image": "ftp://example.com/a.png"}, "start_image"),
        ("kling-2", {"prompt": "x", "start_image": None}, "start_image"),
        ("kling-2", {"promt": "x", "prompt": "x"}, "promt"),
        ("kling-2.5-turbo", {"prompt": "x", "tail_image_url": IMAGE}, "tail_image_url: needs image_url"),
        ("kling-2.5-turbo", {"prompt": "x", "tail_image_url": IMAGE, "image_url": None}, "needs image_url"),
        ("kling-3-pro-image2video", {"prompt": "x", "start_image_url": ""}, "start_image_url"),
        ("kling-3-pro-image2video", PRO | {"duration": 16}, "duration"),
        ("kling-3-pro-image2video", PRO | {"duration": 5.0}, "duration"),
        ("kling-3-pro-image2video", PRO | {"elements": [{}] * 4}, "elements"),
        (
            "kling-3-pro-image2video",
            PRO | {"elements": [{"frontal_image_url": "x"}]},
            "elements[0].frontal_image_url",
        ),
        (
            "kling-3-pro-image2video",
            PRO | {"multi_prompt": [{"prompt": "x" * 513}]},
            "multi_prompt[0].prompt",
        ),
        ("kling-3-pro-image2video", PRO | {"prompt": "@Element2", "elements": [{}]}, "@Element2"),
        ("kling-3-pro-image2video", PRO | {"prompt": "<<<voice_1>>>"}, "voice_ids"),
        ("kling-3-pro-image2video", PRO | {"prompt": "@Element0", "elements": [{}]}, "@Element0"),
        ("kling-o1", {"prompt": "@Image1"}, "image_urls"),
        ("kling-o1", {"prompt": "@Image2", "image_urls": [IMAGE]}, "@Image2"),
        ("kling-o1", {"prompt": "@Image" + "9" * 5000, "image_urls": [IMAGE]}, "image_urls"),
    ],
)
def test_invalid_params_are_400(http: httpx.Client, slug: str, body: dict[str, Any], text: str) -> None:
    assert text in refused(http.post(f"/v2/{slug}", json=body), 400)


def test_all_problems_are_reported_together(http: httpx.Client) -> None:
    message = refused(
        http.post("/v2/kling-2", json={"duration": 7, "aspect_ratio": "2:1", "mood": "sad"}), 400
    )
    assert all(name in message for name in ("prompt", "duration", "aspect_ratio", "mood"))


@pytest.mark.parametrize(
    "body",
    [
        PRO | {"duration": 5},
        PRO | {"prompt": "@Element01 <<<voice_2>>>", "elements": [{}], "voice_ids": ["a", "b"]},
        PRO | {"prompt": "@Element <<<voice_>>> @Elements1"},
    ],
)
def test_unusual_params_are_accepted(http: httpx.Client, body: dict[str, Any]) -> None:
    assert http.post("/v2/kling-3-pro-image2video", json=body).status_code == 200


def test_rule_uses_default_of_unset_parameter(http: httpx.Client) -> None:
    body = {"prompt": "x", "tail_image_url": IMAGE, "image_url": IMAGE}
    assert http.post("/v2/kling-2.5-turbo", json=body).status_code == 200


GROUPED: dict[str, Any] = {
    "title": "Grouped",
    "type": "object",
    "properties": {
        "image": {"type": ["string", "null"]},
        "video": {"type": "string"},
        "words": {"type": "string", "default": "none"},
    },
    "x-kling": {
        "slug": "grouped",
        "returns": "video",
        "latency_seconds": None,
        "rules": [
            {"at_least_one_of": ["image", "words"]},
            {"mutually_exclusive": ["image", "video", "words"]},
        ],
    },
}


@pytest.mark.parametrize("sandbox", [{"schemas": {"grouped": GROUPED}}], indirect=True)
def test_group_rules_ignore_defaults(http: httpx.Client) -> None:
    broken: list[dict[str, Any]] = [{}, {"image": None}, {"video": IMAGE}]
    for body in broken:
        message = refused(http.post("/v2/grouped", json=body), 400)
        assert "at least one of image, words is needed" in message
    message = refused(http.post("/v2/grouped", json={"image": IMAGE, "words": "none"}), 400)
    assert "image and words exclude each other: only one of image, video, words is accepted" in message
    fine: list[dict[str, Any]] = [{"image": IMAGE}, {"words": "none"}, {"words": "x", "image": None}]
    for body in fine:
        assert http.post("/v2/grouped", json=body).status_code == 200


TIERED: dict[str, Any] = {
    "title": "Tiered",
    "type": "object",
    "properties": {"end": {"type": "string"}, "tier": {"enum": ["low", "high", None], "default": "low"}},
    "x-kling": {
        "slug": "tiered",
        "returns": "video",
        "latency_seconds": None,
        "rules": [{"requires": {"field": "end", "equals": {"tier": "high"}}}],
    },
}


@pytest.mark.parametrize("sandbox", [{"schemas": {"tiered": TIERED}}], indirect=True)
def test_requires_rule_counts_the_default(http: httpx.Client) -> None:
    broken: list[dict[str, Any]] = [{"end": "x"}, {"end": "x", "tier": "low"}, {"end": "x", "tier": None}]
    for body in broken:
        assert "end: needs tier to be 'high'" in refused(http.post("/v2/tiered", json=body), 400)
    fine: list[dict[str, Any]] = [{}, {"tier": "low"}, {"end": "x", "tier": "high"}]
    for body in fine:
        assert http.post("/v2/tiered", json=body).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": ""}, {"x-api-key": "SG_ffffffffffffffff"}, {"Authorization": "Bearer {key}"}],
)
@pytest.mark.parametrize("path", ["/v1/get-user-credits", UNKNOWN_REQUEST, f"{UNKNOWN_REQUEST}/status"])
def test_invalid_key_raises(sandbox: Sandbox, headers: dict[str, str], path: str) -> None:
    sent = {name: value.format(key=sandbox.api_key) for name, value in headers.items()}
    assert "key" in refused(httpx.get(sandbox.base_url + path, headers=sent), 401)
    assert "key" in refused(
        httpx.post(f"{sandbox.base_url}/v2/kling-2", json={"prompt": "x"}, headers=sent), 401
    )


def test_test_keys_give_their_errors(sandbox: Sandbox) -> None:
    def post(key: str) -> httpx.Response:
        return httpx.post(f"{sandbox.base_url}/v2/kling-2", json={"prompt": "x"}, headers={"x-api-key": key})

    assert "permitted" in refused(post(KEY_FORBIDDEN), 403)
    assert "credits" in refused(post(KEY_NO_CREDITS), 406)
    assert "limit" in refused(post(KEY_RATE_LIMITED), 429)
    sandbox.advance(3600)
    assert post(KEY_RATE_LIMITED).status_code == 429


@pytest.mark.parametrize("sandbox", [{"credits": 0.9}], indirect=True)
def test_insufficient_credits_are_406(http: httpx.Client) -> None:
    assert "credits" in refused(http.post("/v2/kling-2", json={"prompt": "x", "duration": 10}), 406)
    assert http.post("/v2/kling-2", json={"prompt": "x", "duration": 5}).status_code == 200
    assert "credits" in refused(http.post("/v2/kling-2", json={"prompt": "x", "duration": 5}), 406)


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data; boundary=x"])
def test_content_type_must_be_json(http: httpx.Client, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert "Content-Type" in refused(
        http.post("/v2/kling-2", content=b'{"prompt": "x"}', headers=headers), 406
    )


def test_content_type_may_have_a_charset(http: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http.post("/v2/kling-2", content=b'{"prompt": "x"}', headers=headers).status_code == 200


def test_unknown_paths_are_404(http: httpx.Client) -> None:
    assert "kling-9" in refused(http.post("/v2/kling-9", json={"prompt": "x"}), 404)
    for path in (
        UNKNOWN_REQUEST,
        f"{UNKNOWN_REQUEST}/status",
        "/v2/requests/x",
        "/media/x.mp4",
        "/nothing",
        "/",
    ):
        refused(http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/kling-2"),
        ("PUT", "/v2/kling-2"),
        ("POST", UNKNOWN_REQUEST),
        ("DELETE", UNKNOWN_REQUEST),
        ("POST", "/v1/get-user-credits"),
    ],
)
def test_wrong_method_returns_html(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)
    assert response.status_code == 405
    assert response.headers["content-type"].startswith("text/html")
    assert "<h1>" in response.text


def test_wrong_method_returns_allow_header(http: httpx.Client) -> None:
    for method, path, allowed in (
        ("POST", "/v1/get-user-credits", {"GET", "HEAD"}),
        ("OPTIONS", "/v1/get-user-credits", {"GET", "HEAD"}),
        ("DELETE", "/v2/kling-2", {"POST"}),
    ):
        response = http.request(method, path)
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == allowed


def test_refused_submits_are_not_billed(sandbox: Sandbox, http: httpx.Client) -> None:
    before = sandbox.credits
    http.post("/v2/kling-2", json={"prompt": "x", "duration": 7})
    http.post("/v2/kling-9", json={"prompt": "x"})
    http.post("/v2/kling-2", content=b"{}")
    assert sandbox.credits == before


@pytest.mark.parametrize(
    "sandbox", [{"api_keys": ["SG_one", "SG_two"], "credits": 1.5, "rate_limit": 2}], indirect=True
)
def test_each_key_has_its_own_credits_limit_and_jobs(sandbox: Sandbox) -> None:
    def connect(key: str) -> httpx.Client:
        return httpx.Client(base_url=sandbox.base_url, headers={"x-api-key": key}, timeout=30)

    with connect("SG_one") as first, connect("SG_two") as second:
        body = {"prompt": "x", "duration": 10}
        job = first.post("/v2/kling-2", json=body).json()
        refused(first.post("/v2/kling-2", json=body), 406)
        refused(first.post("/v2/kling-2", json=body), 429)
        assert second.post("/v2/kling-2", json=body).status_code == 200
        for url in (job["status_url"], job["response_url"], job["poll_url"]):
            assert first.get(url).status_code == 200
            refused(second.get(url), 404)
        assert first.get("/v1/get-user-credits").json()["credits"] == sandbox.credits == 0.5
    assert sandbox.api_key == "SG_one"
