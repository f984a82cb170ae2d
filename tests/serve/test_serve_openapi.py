"""The OpenAPI document is valid and complete, and the application matches it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openapi_spec_validator
import pytest
from hypothesis import settings
from kling_sandbox import Sandbox
from kling_sandbox.rendering import renderer, video
from kling_serve.api import openapi, routes
from kling_serve.api.openapi import make_document
from kling_serve.models import Models

from kling_adapters import load_catalog
from tests.support.serving import ALICE, make_settings, open_http, serve_app

_ROUTES = (*routes.ROUTES, *openapi.ROUTES)
_RUN = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,ignored_auth"
)
_SHORT = ("--max-examples=5", "--generation-deterministic", "--phases=examples,fuzzing")
_LONG = ("--max-time=300", "--request-timeout=60")


@pytest.fixture(autouse=True)
def _small_media() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "_AREA", 160 * 90)
        patch.setattr(renderer, "_IMAGE_SIDE", 256)
        yield


def test_document_is_valid_and_has_every_model_and_address() -> None:
    document = make_document(Models(), "http://127.0.0.1")
    openapi_spec_validator.validate(document)
    assert {*load_catalog()} <= {*document["components"]["schemas"]}
    described = {
        (path.replace("{id}", "{handle}" if "/models" not in path else "{slug}"), method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    routes = {(route.path, method) for route in _ROUTES for method in (route.methods or set()) - {"HEAD"}}
    assert routes - {("/openapi.json", "GET")} == described


# The server is in this process, where warnings are errors; a partial model warns of unknown fields.
@pytest.mark.filterwarnings("ignore::kling_adapters.UnknownParameter")
def test_application_matches_the_document(tmp_path: Path) -> None:
    with Sandbox(credits=1e9) as gateway, serve_app(make_settings(gateway, tmp_path)) as served:
        with open_http(served) as http:
            for body in ({"model": "kling-2", "prompt": "A"}, {"model": "kling-3-text2image", "prompt": "A"}):
                path = "/v1/videos" if body["model"] == "kling-2" else "/v1/images/generations"
                assert http.post(path, json=body).status_code == 200
        done = subprocess.run(
            [
                *_RUN,
                f"{served.base_url}/openapi.json",
                f"--header=Authorization:Bearer {ALICE}",
                f"--checks={_CHECKS}",
                "--continue-on-failure",
                *(_LONG if settings.get_current_profile_name() == "fuzz" else _SHORT),
            ],
            env={**os.environ, "no_proxy": "*"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20000:] + done.stderr
        answer = httpx.get(f"{served.base_url}/v1/nothing", headers={"Authorization": f"Bearer {ALICE}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert sum(request.method == "POST" for request in gateway.requests) > 10
