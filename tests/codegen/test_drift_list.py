"""The gateway's list of models as `drift` reads it: its shapes, and answers of real servers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kling_codegen.drift import fetch
from kling_codegen.drift.fetch import read_source
from kling_codegen.drift.model_list import MAX_MODELS, UnreadableList, parse_list
from kling_codegen.gateway import Gateway
from kling_codegen.load.folder import load_specs
from kling_sandbox import Sandbox

from kling_adapters import load_catalog
from tests.codegen.drift_command import Drift
from tests.codegen.spec_pages import (
    CATALOGUE,
    MODEL_LIST,
    SPECS,
)

KEY = "SG_0123456789abcdef"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it has no list of objects with a slug; expected one"),
        (b'{"slug": "kling-2"}', "it has no list of objects with a slug; expected one"),
        (b'[{"slug": 5}, 7, null, {"name": "Kling 2"}]', "it has no list of objects with a slug; expected one"),
        (b'{"a": [{"slug": "kling-2"}], "b": [{"slug": "kling-2"}]}', "it has several lists of objects with a slug; expected one"),
        (b'[{"slug": "' + b"a" * 101 + b'"}]', "it has no list of objects with a slug; expected one"),
        (b'[{"slug": "flux-9"}]', "it has no model of kling"),
        (b'[{"slug": "../../etc/passwd"}, {"slug": "kling-2\\n"}]', "it has no list of objects with a slug; expected one"),
        (json.dumps([{"slug": f"kling-{number}"} for number in range(MAX_MODELS + 1)]).encode(), "it has 10001 entries; at most 10000 are read"),
    ],
)  # fmt: skip
def test_answer_without_a_list_of_these_models_is_refused(drift: Drift, answer: bytes, reason: str) -> None:
    drift.list.write_bytes(answer)
    result = drift.run()
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"not compared: the list of models at {drift.list}: {reason}",
        "the comparison failed; no report was written",
    ]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.just("kling-2"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["slug", "name", "title", "average_cost", "retired", "a"]), inner, max_size=4
        )
    ),
)  # fmt: skip


@given(ANY_JSON)
def test_any_answer_is_a_list_or_refused(answer: object) -> None:
    try:
        listed = parse_list(json.dumps(answer).encode())
    except UnreadableList:
        return
    assert listed.models
    assert all(slug == model.slug and len(model.title) <= 100 for slug, model in listed.models.items())


def test_list_has_any_of_the_assumed_shapes() -> None:
    entries = [{"name": "kling-2", "title": " Kling\n2 ", "avg_cost": "$2.29", "average_latency": 305}, 7]
    for document in (entries, {"status": "ok", "models": entries, "tags": ["a"]}):
        listed = parse_list(json.dumps(document).encode())
        assert listed.unnamed == 1
        [model] = listed.models.values()
        assert (model.slug, model.title, model.average_cost, model.average_latency) == (
            "kling-2", "Kling 2", 2.29, 305.0,
        )  # fmt: skip


@pytest.mark.parametrize(
    "figure", ["NaN", "Infinity", "-1", "1e400", '"$1e9"', "true", "[]", "1" + "0" * 400]
)
def test_figure_that_is_none_is_unknown(figure: str) -> None:
    listed = parse_list(f'[{{"slug": "kling-2", "average_cost": {figure}}}]'.encode())
    assert listed.models["kling-2"].average_cost is None


Respond = Callable[[BaseHTTPRequestHandler], None]


class ListServer:
    """A server of a list; `headers` are those of the requests."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.respond: Respond = lambda handler: answer_with(handler, MODEL_LIST)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                owner.respond(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/list"

    @property
    def keys(self) -> list[str | None]:
        return [headers.get("x-api-key") for headers in self.headers]


def answer_with(handler: BaseHTTPRequestHandler, answer: Any, status: int = 200, **headers: str) -> None:
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    handler.send_response(status)
    for name, value in {"content-length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


@pytest.fixture
def server() -> Iterator[ListServer]:
    running = ListServer()
    thread = Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()


@pytest.fixture
def gateway(server: ListServer) -> Gateway:
    """The facts of the gateway, with the server at the address of its list."""
    facts = load_specs(SPECS).gateway
    assert facts is not None
    assert facts.models_url == "https://api.spotprod.segmind.com/inference-model-information/list"
    return facts.model_copy(update={"models_url": server.url})


def test_list_is_read_from_a_url_without_a_key(
    drift: Drift, server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    result = drift.run(source=f"{server.url}?secret=1")
    assert result.exit_code == 0, result.output
    assert f"- List of models: {server.url}, with {len(CATALOGUE) + 1} models." in result.stdout
    assert server.keys == [None]


def test_key_is_not_sent_to_an_address_of_the_caller(
    drift: Drift, server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    server.respond = lambda handler: answer_with(handler, {}, 401)
    result = drift.run(source=server.url)
    assert result.exit_code == 2
    assert ": the answer has status 401; expected 200\n" in result.stderr
    assert server.keys == [None]


def test_key_is_sent_to_the_gateway_after_a_refusal_only(
    server: ListServer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    read_source(server.url, gateway)
    assert server.keys == [None]

    def refuse_without_key(handler: BaseHTTPRequestHandler) -> None:
        has_key = handler.headers.get("x-api-key") == KEY
        answer_with(handler, MODEL_LIST if has_key else {}, 200 if has_key else 403)

    server.respond = refuse_without_key
    assert json.loads(read_source(server.url, gateway)) == MODEL_LIST
    assert server.keys == [None, None, KEY]
    monkeypatch.delenv("SEGMIND_API_KEY")
    with pytest.raises(UnreadableList, match="the answer has status 403; expected 200"):
        read_source(server.url, gateway)


def test_redirect_is_not_followed(
    server: ListServer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    server.respond = lambda handler: answer_with(handler, {}, 302, location=f"{server.url}/other")
    with pytest.raises(UnreadableList, match="the answer has status 302; expected 200"):
        read_source(server.url, gateway)
    assert server.keys == [None]


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_key_that_no_header_can_carry_is_not_shown(
    key: str, server: ListServer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", key)
    with pytest.raises(UnreadableList) as caught:
        read_source(server.url, gateway)
    assert str(caught.value) == (
        "the key in SEGMIND_API_KEY is not printable ASCII without spaces; nothing was sent"
    )
    assert server.keys == []


def stall(handler: BaseHTTPRequestHandler) -> None:
    """Send a first part of an answer that has no end."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"[")


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (lambda handler: answer_with(handler, b"x" * 2_000), "it has more than 1000 bytes"),
        (
            lambda handler: answer_with(handler, b"x", content_encoding="gzip"),
            "the answer is compressed, although the request asked for plain text",
        ),
        (stall, "it did not end within 0 s"),
        (lambda handler: handler.wfile.write(b"nonsense"), "it cannot be fetched: "),
        (lambda handler: handler.wfile.write(b""), "it cannot be fetched: "),
        (lambda handler: answer_with(handler, {}, 500), "the answer has status 500; expected 200"),
    ],
)
def test_answer_that_cannot_be_read_is_refused(
    respond: Respond, reason: str, drift: Drift, server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 1_000)
    if respond is stall:
        monkeypatch.setattr(fetch, "DEADLINE", 0.0)
    server.respond = respond
    result = drift.run(source=server.url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"not compared: the list of models at {server.url}: {reason}")


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b", "http://x:y/", "https://127.0.0.1:1/"])
def test_address_that_cannot_be_asked_is_reported(url: str, drift: Drift) -> None:
    result = drift.run(source=url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"not compared: the list of models at {url}: ")
    assert "Traceback" not in result.output


def test_url_with_a_password_is_refused_and_not_shown(drift: Drift) -> None:
    result = drift.run(source="https://user:secret@127.0.0.1/list?token=secret#secret")
    assert result.exit_code == 2
    assert "the URL has a user name; expected none" in result.stderr
    assert "secret" not in result.output


def test_unusable_proxy_is_reported(
    drift: Drift, server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:1")
    result = drift.run(source=server.url)
    assert result.exit_code == 2
    assert "no connection can be made: " in result.stderr
    assert server.keys == []


def test_sandbox_has_a_list_of_the_shape(drift: Drift) -> None:
    # The sandbox lists what it runs: models with a spec.
    specs = drift.folder / "specs"
    shutil.copytree(SPECS, specs, ignore=shutil.ignore_patterns("catalogue.yaml"))
    with Sandbox() as sandbox:
        url = f"{sandbox.base_url}/inference-model-information/list"
        assert drift.run(source=url, specs=specs).exit_code == 0
        [request] = sandbox.requests
        assert "x-api-key" not in request.headers
        schemas = {slug: entry.json_schema() for slug, entry in load_catalog().items() if slug != "kling-2"}
    with Sandbox(schemas=schemas) as sandbox:
        result = drift.run(source=f"{sandbox.base_url}/inference-model-information/list", specs=specs)
        assert result.exit_code == 1
        assert '| kling-2 |  | `model "Kling 2" -> none` |' in result.stdout
