"""`drift`: the gateway's list and copies of pages against the specs; the list comes from files and from real servers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from kling_codegen.cli import main
from kling_codegen.drift import fetch
from kling_codegen.drift.fetch import read_source
from kling_codegen.drift.model_list import MAX_MODELS, UnreadableList, parse_list
from kling_codegen.drift.pages import MAX_PAGES
from kling_codegen.gateway import Gateway
from kling_codegen.load.folder import load_specs
from kling_sandbox import Sandbox
from markdown_it import MarkdownIt

from kling_adapters import load_catalog
from tests.codegen.spec_pages import (
    CATALOGUE,
    EDITS,
    MODEL_LIST,
    MODELS,
    SEED,
    SPECS,
    WHOLE,
    edit_text,
    write_page,
)

KEY = "SG_0123456789abcdef"


class Drift:
    """A folder with a list and with pages, and the command run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "list.json"
        self.pages = folder / "pages"
        self.pages.mkdir()
        self.write_list(MODEL_LIST)

    def write_list(self, answer: Any) -> None:
        self.list.write_text(json.dumps(answer), encoding="utf-8")

    def write_page(self, name: str, text: str) -> None:
        (self.pages / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, source: str | None = None, specs: Path = SPECS) -> Result:
        command = ["drift", "--specs", str(specs), "--list", source or str(self.list), *arguments]
        return CliRunner().invoke(main, command)

    def lines(self, *arguments: str) -> list[str]:
        """Return the changes as text, and check that the exit code says so."""
        result = self.run("-o", str(self.folder / "report.md"), *arguments)
        *changes, version = result.stdout.splitlines()
        has_changed = version != "version: none (while it is 0.x: none)"
        assert result.exit_code == int(has_changed), result.output
        return changes if has_changed else []


@pytest.fixture
def drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drift:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    return Drift(tmp_path)


def test_nothing_has_changed(drift: Drift) -> None:
    for slug in WHOLE:
        drift.write_page(f"{slug}.txt", write_page(slug, run_together=True))
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "Nothing has changed."
    assert f"of {len(WHOLE)} models of {len(MODELS)}." in result.stdout
    assert result.stderr == ""


def test_renamed_removed_added_and_narrowed_parameters_have_their_classes(drift: Drift) -> None:
    for name in ("renamed", "removed", "added", "added and required", "fewer values", "smaller range"):
        edits, expected = EDITS[name]
        drift.write_page("kling-2.5-turbo.txt", edit_text(write_page("kling-2.5-turbo"), *edits))
        assert drift.lines("--pages", str(drift.pages)) == expected


def test_page_is_matched_by_its_slug_and_shown_as_spec_diff(drift: Drift) -> None:
    drift.write_page("0001.txt", write_page("kling-2"))
    text = edit_text(
        write_page("kling-2.5-turbo"), ("tail_image_urloptional", f"{SEED}tail_image_urloptional")
    )
    drift.write_page("0002.txt", text)
    report = drift.run("--pages", str(drift.pages)).stdout
    assert "| kling-2.5-turbo | `seed` | `parameter none -> integer` |" in report
    diff = report.partition("```diff\n")[2].partition("\n```")[0].splitlines()
    assert diff[:2] == ["--- specs/kling-2.5-turbo.yaml", "+++ page/kling-2.5-turbo.yaml"]
    assert [line for line in diff[2:] if line[0] in "+-"] == [
        "+    seed:",
        "+      type: integer",
        '+      description: "TODO: say what seed does."',
    ]


def test_new_and_retired_models_are_reported(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    listed: list[dict[str, Any]] = [
        entry for entry in entries if entry["slug"] not in ("kling-2", "kling-o1")
    ]
    listed += [{"slug": "kling-o1", "is_depreciated": True}, {"slug": "kling-9", "title": "Kling 9"}]
    drift.write_list({"count": len(listed), name: listed})
    assert drift.lines() == [
        'breaking: kling-2: model "Kling 2" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        'breaking: kling-o1: model "Kling O1" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        'additive: kling-9: model none -> "Kling 9" (it is new: add it to catalogue.yaml, or draft a spec from its page)',
    ]


def test_model_without_a_spec_is_known_by_the_catalogue(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    listed = [entry for entry in entries if entry["slug"] != "kling-hug"]
    moved = {"slug": "kling-2.1", "title": "Kling 2.1", "average_cost": "$1.9", "average_latency": 140}
    drift.write_list({name: [moved if entry["slug"] == "kling-2.1" else entry for entry in listed]})
    assert drift.lines() == [
        'breaking: kling-hug: model "Kling Hug" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        "documentation: kling-2.1: average_cost 0.9007 -> 1.9 (calls and results stay the same)",
        'documentation: kling-2.1: title "Kling 2.1 AI Video Generator" -> "Kling 2.1" (calls and results stay the same)',
    ]  # fmt: skip


def test_retired_model_may_be_missing_but_not_offered(drift: Drift) -> None:
    specs = drift.folder / "specs"
    shutil.copytree(SPECS, specs)
    spec = specs / "kling-2.yaml"
    text = spec.read_text(encoding="utf-8").replace("source:", "retired: {since: 2026-11-01}\nsource:", 1)
    spec.write_text(text, encoding="utf-8")
    assert '| kling-2 |  | `retired "true" -> none` |' in drift.run(specs=specs).stdout
    [(name, entries)] = MODEL_LIST.items()
    drift.write_list({name: [entry for entry in entries if entry["slug"] != "kling-2"]})
    assert drift.run(specs=specs).exit_code == 0


def test_page_of_a_new_model_is_to_be_drafted(drift: Drift) -> None:
    drift.write_page("new.txt", write_page("kling-2").replace("/kling-2", "/kling-9"))
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 0
    assert "- `new.txt` is the page of `kling-9`; `kling-codegen draft FILE -o specs/kling-9.yaml`" in (
        result.stdout
    )


def test_average_that_moves_a_little_is_no_change(drift: Drift) -> None:
    for seconds, lines in (("190.2", 0), ("400.1", 1)):
        text = write_page("kling-o1-reference-image-to-video").replace("~194.08s", f"~{seconds}s")
        drift.write_page("a.txt", text)
        assert len(drift.lines("--pages", str(drift.pages))) == lines


def test_report_replaces_a_report_only(drift: Drift) -> None:
    report = drift.folder / "report.md"
    drift.lines()
    assert report.read_text(encoding="utf-8").startswith("# Drift of the catalogue\n")
    drift.lines()
    report.write_text("slug: kling-2\n", encoding="utf-8")
    result = drift.run("-o", str(report))
    assert result.exit_code == 2
    assert report.read_text(encoding="utf-8") == "slug: kling-2\n"


def test_every_input_that_cannot_be_read_is_reported_beside_the_others(drift: Drift) -> None:
    text = write_page("kling-2.5-turbo")
    drift.write_page("1.txt", edit_text(text, ("Default: 0.7", "Default: 0.5")))
    drift.write_page("2.txt", text)
    drift.write_page("3.txt", "Not a page.")
    drift.write_page("kling-2.txt", write_page("kling-o1"))
    drift.write_page("4.txt", write_page("kling-bloombloom").partition("modeoptional")[0])
    (drift.pages / "5.txt").write_bytes(b"\xff\xfe")
    (drift.pages / "6.txt").mkdir()
    (drift.pages / "7.txt").symlink_to("/dev/zero")
    (drift.pages / "8.txt").write_bytes(b"a" * 500_000)
    result = drift.run("--pages", str(drift.pages), source=str(drift.folder / "missing.json"))
    assert result.exit_code == 2
    assert "| kling-2.5-turbo | `cfg_scale` |" in result.stdout
    problems = [line.removeprefix("not compared: ") for line in result.stderr.splitlines()]
    assert problems == [
        f"the list of models at {drift.folder / 'missing.json'}: it cannot be read: No such file or directory",
        "2.txt: another page of kling-2.5-turbo was compared",
        "3.txt: it is not a model page: it shows no address such as /v1/kling-2, so the model has no name",
        "4.txt: the page of kling-bloombloom ends within its parameters; those that follow were not compared",
        "5.txt: it is not UTF-8 text",
        "6.txt: it cannot be read: Is a directory",
        "7.txt: it cannot be read: it is not a plain file",
        "8.txt: it cannot be read: it has more than 400000 bytes",
        "kling-2.txt: it is the page of kling-o1",
    ]


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


def test_hostile_texts_add_nothing_to_the_report(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    title = "<script>x</script> | [a](javascript:x) \x1b[31m\u202e ![i](http://e) @all <!-- \n# X"
    drift.write_list({name: [*entries, {"slug": "kling-9", "title": title * 500}]})
    text = write_page("kling-2.5-turbo").replace('"16:9"', '"```\\n# X <img src=x> | `"')
    drift.write_page("<img src=x> `|` ```.txt", text)
    drift.write_page("![i](http:).txt", write_page("kling-2").replace("/kling-2", "/kling-9"))
    report = drift.folder / "report.md"
    drift.run("--pages", str(drift.pages), "-o", str(report))
    markdown = report.read_text(encoding="utf-8")
    assert "\x1b" not in markdown
    assert "\u202e" not in markdown
    assert len(markdown) < 20_000
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inline = [child.type for token in tokens for child in token.children or ()]
    assert not {"html_inline", "html_block", "image", "link_open"} & {*inline, *(t.type for t in tokens)}
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert "X" not in headings


def test_too_many_pages_are_not_compared(drift: Drift) -> None:
    for number in range(MAX_PAGES + 1):
        (drift.pages / f"{number}.txt").touch()
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 2
    assert f"{drift.pages} has 1001 pages; the first 1000 are compared" in result.stderr


def test_package_without_a_gateway_has_no_list_of_its_own(drift: Drift) -> None:
    specs = drift.folder / "specs"
    specs.mkdir()
    shutil.copy(SPECS / "kling-2.yaml", specs)
    nothing = CliRunner().invoke(main, ["drift", "--specs", str(specs)])
    assert nothing.exit_code == 2
    assert "there is nothing to compare: pass --list, --pages or both" in nothing.stderr
    drift.write_page("a.txt", write_page("kling-2"))
    pages = CliRunner().invoke(main, ["drift", "--specs", str(specs), "--pages", str(drift.pages)])
    assert (pages.exit_code, pages.stderr) == (0, "")


def test_list_that_cannot_be_read_alone_gives_no_report(drift: Drift) -> None:
    report = drift.folder / "report.md"
    for arguments in ((), ("-o", str(report))):
        result = drift.run(*arguments, source=str(drift.folder / "missing.json"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1] == "the comparison failed; no report was written"
    assert not report.exists()


def test_incomplete_comparison_is_not_said_to_be_without_changes(drift: Drift) -> None:
    drift.write_page("1.txt", "Not a page.")
    result = drift.run("-o", str(drift.folder / "report.md"), "--pages", str(drift.pages))
    assert (result.exit_code, result.stdout) == (2, "No change was found in what could be compared.\n")


def test_specs_that_are_invalid_are_refused(drift: Drift) -> None:
    (drift.folder / "bad.yaml").write_text("slug: 5\n", encoding="utf-8")
    result = drift.run(specs=drift.folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.yaml:1:7: " in result.stderr


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
