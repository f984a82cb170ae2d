"""The OpenAPI document is valid and complete, and the sandbox matches it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import settings
from kling_sandbox import (
    KEY_FORBIDDEN,
    KEY_NO_CREDITS,
    KEY_RATE_LIMITED,
    Fault,
    Faults,
    Sandbox,
    bodies,
    control,
    files,
    uploads,
)
from kling_sandbox.openapi.document import make_document
from kling_sandbox.rendering import renderer, video
from kling_sandbox.rendering.plan import Plan
from kling_sandbox.rendering.renderer import Fetch, Renderer
from kling_sandbox.rendering.scenes import draw_sample
from ruamel.yaml import YAML
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from kling_adapters import load_catalog

FUZZING = settings.get_current_profile_name() == "fuzz"
ROOT = Path(__file__).parents[2]
ST = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]

SCHEMAS = {slug: entry.json_schema() for slug, entry in load_catalog().items()}
DOCUMENT = make_document(SCHEMAS, "http://127.0.0.1")
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(credits=1e9) as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def _quick_media() -> Iterator[None]:
    """Draw small pictures; outside `make fuzz`, render one file of each kind for all jobs."""
    render = Renderer.render
    rendered: dict[str, Path] = {}

    def once(self: Renderer, plan: Plan, fetch: Fetch) -> Path:
        if not rendered.get(plan.suffix, Path()).is_file():
            rendered[plan.suffix] = render(self, plan, fetch)
        return rendered[plan.suffix]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "_AREA", 160 * 90)
        patch.setattr(renderer, "_IMAGE_SIDE", 256)
        patch.setattr(files, "draw_sample", lambda name, _: draw_sample(name, (16, 16)))
        if not FUZZING:
            patch.setattr(Renderer, "render", once)
        yield


def test_document_is_valid_and_public(sandbox: Sandbox) -> None:
    served = httpx.get(f"{sandbox.base_url}/_sandbox/openapi.json").json()
    openapi_spec_validator.validate(served)
    assert served == sandbox.openapi
    assert served["servers"] == [{"url": sandbox.base_url}]


def test_document_has_model_schemas_and_error_texts() -> None:
    described = DOCUMENT["components"]
    for slug, schema in SCHEMAS.items():
        assert described["schemas"][slug] == schema
        for version in ("v1", "v2"):
            body = DOCUMENT["paths"][f"/{version}/{slug}"]["post"]["requestBody"]["content"][
                "application/json"
            ]
            assert body["schema"] == {"$ref": f"#/components/schemas/{slug}"}
    table = YAML(typ="safe").load(ROOT / "specs/gateway.yaml")["errors"]
    answers = {str(row["status"]): row["meaning"] for row in table}
    assert {status: answer["description"] for status, answer in described["responses"].items()} == answers
    assert described["securitySchemes"]["key"]["name"] == "x-api-key"


def test_every_address_is_described(sandbox: Sandbox) -> None:
    described = {
        (re.sub(f"({'|'.join(map(re.escape, SCHEMAS))})$", "{slug}", path), method.upper())
        for path, method in OPERATIONS
    }
    routes = {
        (route.path, method)
        for route in (*sandbox._gateway.app().routes, *control.Control(sandbox).app().routes)
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
    }
    assert routes - {("/v1/get-user-credits", "POST")} == described  # that is refused


NAMES = {"request_id": "3e7d0c1e-4c59-4b0e-9d2a-111111111111", "name": "nothing"}
UPLOAD = {"data_urls": ["data:image/png;base64,AA=="]}
BODIES = {
    f"/{version}/{slug}": schema["examples"][0]
    for slug, schema in SCHEMAS.items()
    for version in ("v1", "v2")
}
BODIES |= {"/upload-asset": UPLOAD, "/_sandbox/faults": {"seed": 7}, "/_sandbox/clock": {"advance": 1}}
BODIES |= {"/_sandbox/history": {"delay": 0}}

# What is changed in a request that is fine, so that it is answered like this.
CHANGES: dict[int, dict[str, Any]] = {
    200: {},
    204: {},
    206: {"headers": {"Range": "bytes=1-2"}},
    400: {
        "json": {"nothing": 1},
        "params": {"size": "15x16", "page": "0"},
        "headers": {"Range": "bytes=2-1"},
    },
    401: {"headers": {"x-api-key": ""}},
    403: {"headers": {"x-api-key": KEY_FORBIDDEN}},
    405: {"method": "PATCH"},
    406: {"headers": {"x-api-key": KEY_NO_CREDITS}},
    413: {"json": "x" * 2000},
    415: {"content": b"{}", "json": None, "headers": {"content-type": "text/plain"}},
    416: {"headers": {"Range": "bytes=999999999-"}},
    429: {"headers": {"x-api-key": KEY_RATE_LIMITED}},
}


def fine(http: httpx.Client, path: str) -> dict[str, Any]:
    """Return a valid request to a path of the document."""
    job = http.post("/v2/kling-2", json={"prompt": "x"}).json()
    match path:
        case "/media/{name}":
            return {"url": http.get(job["response_url"]).json()["output"]}
        case "/assets/{name}":
            return {"url": http.post("/upload-asset", json=UPLOAD).json()["file_urls"][0]}
    url = path.format(request_id=job["request_id"], name="hill")
    return {"url": url, "json": BODIES[path]} if path in BODIES else {"url": url}


def ways(path: str, status: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each fault, or none, and each change of a request that cause this response."""
    is_submit = path.rpartition("/")[2] in SCHEMAS
    has_key = "security" in DOCUMENT["paths"][path].get("get", DOCUMENT["paths"][path].get("post"))
    if status in CHANGES and (is_submit or status not in {406, 429}) and (has_key or status != 403):
        yield "", CHANGES[status]
    if status == 403:
        yield "", {"headers": {"host": "example.com"}}
    if status == 200 and "{request_id}" in path:
        yield "flap", {}
    if status == 404 and path == "/_sandbox/history":
        yield "", {"json": {"delay": 0, "request_id": NAMES["request_id"]}}
    elif status == 404 and not is_submit:
        yield "", {"url": path.format(**NAMES)}
    if status == 422:
        yield "failed", {}
    elif status >= 400 and has_key and status != 413:
        yield str(status), {}
    if status == 502:
        yield "html", {}


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda text: text.strip("/"))
def test_every_documented_response_occurs(
    sandbox: Sandbox, http: httpx.Client, path: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((bodies, "MAX_PARAMS"), (uploads, "MAX_BODY"), (control, "MAX_BODY")):
        monkeypatch.setattr(module, name, 2000)
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    for status in map(int, DOCUMENT["paths"][path][method]["responses"]):
        for fault, change in ways(path, status):
            sandbox.faults = Faults([Fault("failed", path="/v2/*")] if fault == "failed" else [])
            request = {"method": method, **fine(http, path), **change}
            sandbox.faults = Faults([Fault(fault)] if fault else [])
            answer = http.request(**request)
            assert answer.status_code == status
            operation.Case(path_parameters=NAMES).validate_response(answer, checks=CONFORMANCE)
        assert [*ways(path, status)]


def fuzz(sandbox: Sandbox, folder: Path, *options: str) -> None:
    """Run schemathesis on the document: hundreds of requests, always the same, or for minutes."""
    if FUZZING:
        database = ROOT / "out/hypothesis/schemathesis"
        budget = ["--max-time=120", f"--generation-database={database}", "--request-timeout=60"]
    else:
        # What follows links depends on ids, which no two runs share.
        budget = ["--max-examples=10", "--generation-deterministic", "--phases=examples,coverage,fuzzing"]
    command = [*ST, "run", f"{sandbox.base_url}/_sandbox/openapi.json", "--continue-on-failure"]
    hooks = Path(__file__).with_name("schemathesis_hooks.py")
    done = subprocess.run(
        [*command, f"--header=x-api-key:{sandbox.api_key}", *budget, *options],
        env={**os.environ, "no_proxy": "*", "SCHEMATHESIS_HOOKS": str(hooks)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_gateway_matches_the_document(tmp_path: Path) -> None:
    faults = [Fault("failed", path="/v2/*", rate=0.2), Fault("flap", rate=0.2)]
    with Sandbox(credits=1e9, faults=faults) as sandbox:
        # Both calls of a model are judged by the same code; one of /v1 will do when time is short.
        rest = "" if FUZZING else f"|v1/({'|'.join([*SCHEMAS][1:])})$"
        fuzz(sandbox, tmp_path, f"--exclude-path-regex=^/(_sandbox/{rest})")
        statuses = {request.status for request in sandbox.requests}
    # It came as far as that.
    assert {200, 400, 401, 404, 405, 406} <= statuses


def test_control_interface_matches_the_document(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        fuzz(sandbox, tmp_path, "--include-path-regex=^/_sandbox/", "--phases=examples,coverage,fuzzing")
        assert httpx.post(f"{sandbox.base_url}/_sandbox/faults", json={}).status_code == 204
        headers = {"x-api-key": sandbox.api_key}
        job = httpx.post(f"{sandbox.base_url}/v2/kling-2", json={"prompt": "x"}, headers=headers).json()
        assert httpx.get(job["response_url"], headers=headers, timeout=60).json()["status"] == "COMPLETED"
