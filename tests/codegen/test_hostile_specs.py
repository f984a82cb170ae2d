"""Hostile text at every place of a spec: it stays text in the module, the schema, the page and on the terminal."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from kling_codegen import docs, ir, render
from kling_codegen.language import Spec
from kling_codegen.load.document import Document
from kling_codegen.messages import escape_unprintable, format_number
from kling_codegen.names import field_names
from markdown_it import MarkdownIt

from kling_adapters.schema.params import Params, Part

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

HOSTILE = [
    *('"""', "'''", '"', "'", "\\", '\\"""', '"""\\', "\\N{DIGIT ONE}", "\\x00", "{x}", "{{x}}", "{% raw %}", "{#", "%s"),
    *('"""\nimport os\n"""', "'); import os; ('", '"); import os; ("', "x\nimport os", "x\r\nimport os", "x\rimport os"),
    *("x\u2028import os", "x\u2029import os", "x\x0cimport os", "x\x85import os", "x\x0bimport os", "# coding: utf-7"),
    *("+ADs-", "__import__('os')", "lambda: 0", "f'{0}'", "*args", "**kwargs", ":=", "$(id)", "`id`", "; id", "| id", "&& id"),
    *("'; id #", "$'\\x41'", "!!", "~", "\t", "\u202e", "\u2066x\u2069", "\u200b", "\ufeff", "\x1b[2J", "\x9b2J", "\x07", "\x7f"),
    *("\ud800", "\U000e0041", "<script>", "</script>", "<!-- x", "-->", "<b", "&lt;", "&#60;", "](x)", "![x](y)", "[x]: y"),
    *("```", "~~~", "````\n# x", "\n```\n# x\n```", "| a | b |", "\\|", "\\\\|", "# x", "\n# x", "1. x", "- x", "> x", "==="),
    *("a\n===", "a\n---", "*x*", "_x_", "**x", "`", "``", "https://x/><b>", "<https://x>", "@everyone", "\n\n    x"),
]  # fmt: skip


def spec(text: str) -> Spec:
    """Return a spec with the text at every place that takes it; a place that does not keeps a harmless one."""
    line = " ".join(text.split()) or "x"
    path = re.sub(r"[\s\x00-\x1f\x85\ufeff]", "", text)
    plain: dict[str, Any] = {
        "slug": "hostile",
        "title": line[:100],
        "summary": f"{line[:90]}.",
        "returns": "video",
        "latency_seconds": None,
        "source": {"page": f"https://e.com/{path}", "document": f"d{text}", "read": "2026-01-31"},
        "input": {
            "required": [f"r{text}"],
            "properties": {
                f"r{text}": {"type": "string"},
                f"{text}q": {"type": "string", "description": f"a{text}", "default": text},
                "choice": {"type": "string", "enum": [text, "b"], "default": text},
                "texts": {"type": "array", "items": {"type": "string"}, "default": [text]},
                "part": {"type": "object", "properties": {f"p{text}": {"type": "string", "description": f"{text}z"}}},
                "images": {"type": "array", "items": {"type": "string", "format": "uri"}},
            },
        },
        "rules": [
            {"requires": {"field": "part", "equals": {"choice": text}}},
            {"references": {"field": "choice", "token": f"{text.replace('{', '')}@{{n}}", "list": "images"}},
            {"mutually_exclusive": [f"{text}q", "texts"]},
        ],
        "discrepancies": [{"about": f"a{text}", "page": f"b{text}", "decision": f"c{text}"}],
        "examples": [{"name": f"n{text}", "input": {f"r{text}": text, "part": {f"p{text}": text}, "choice": text}}],
    }  # fmt: skip
    return Spec.model_validate(plain)


def skeleton(source: str) -> list[str]:
    """Return what a module does, without its texts and the names that a spec gives."""
    allowed = {"Adapter", "AtLeastOneOf", "Field", "MaxBytes", "MutuallyExclusive", "References", "Requires", "TypedDict"}  # fmt: skip
    tree = ast.parse(source)
    elements = [type(node).__name__ for node in tree.body]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(name)):
                assert name in allowed, name
            case ast.Call() | ast.Lambda() | ast.FunctionDef() | ast.JoinedStr() | ast.NamedExpr():
                raise AssertionError(ast.unparse(node))
            case ast.Import() | ast.ImportFrom():
                elements.append(ast.unparse(node))
            case _:
                pass
    return elements


def structure(markdown: str) -> list[tuple[str, str]]:
    """Return the elements of a page without the texts in them; raw HTML and links with their contents."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)

    def flat(tokens: Any) -> Iterator[tuple[str, str]]:
        for token in tokens:
            if token.type == "html_inline" and token.content in {"<code>", "</code>"}:
                continue
            if token.type.startswith("html"):
                yield token.type, token.content
            elif token.children is not None:
                yield from flat(token.children)
            elif token.type not in {"text", "code_inline", "softbreak", "text_special"}:
                yield token.type, token.info if token.type == "fence" else ""

    return list(flat(tokens))


@pytest.fixture(scope="module")
def files() -> dict[str, dict[str, str]]:
    """The files of every spec, formatted in one run."""
    paths_by_text: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}
    for index, text in enumerate(["harmless", *HOSTILE]):
        if "\ud800" in text:
            continue
        module = ir.build_module(spec(text))
        by_path = {**render.render_model(module), **render.render_document(module)}
        paths_by_text[text] = {path: f"n{index}{path.removeprefix('schemas/')}" for path in by_path}
        texts |= {paths_by_text[text][path]: content for path, content in by_path.items()}
    formatted = render.format_files(texts, "kling_adapters")
    return {
        text: {path: formatted[name] for path, name in names.items()} for text, names in paths_by_text.items()
    }


def test_there_are_many_hostile_texts() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 74


def test_modules_do_nothing_else_whatever_the_text(files: dict[str, dict[str, str]]) -> None:
    expected = set(skeleton(files["harmless"]["hostile.py"]))
    for text, by_path in files.items():
        elements = set(skeleton(by_path["hostile.py"])) - {"Expr", "Assign"}
        assert elements <= expected | {"ClassDef"}, text


def test_modules_and_pages_hide_nothing(files: dict[str, dict[str, str]]) -> None:
    for text, by_path in files.items():
        for path in ("hostile.py", "hostile.md"):
            hidden = {c for c in by_path[path] if not c.isprintable()} - {"\n"}
            # A tab is text like any other in an example.
            assert hidden <= {"\t"}, (text, path, hidden)


def test_schemas_agree_with_the_spec(files: dict[str, dict[str, str]]) -> None:
    for text, by_path in files.items():
        schema = json.loads(by_path["schemas/hostile.json"])
        assert schema["properties"]["choice"]["default"] == text


def test_pages_have_no_other_elements_whatever_the_text(files: dict[str, dict[str, str]]) -> None:
    expected = structure(files["harmless"]["hostile.md"])
    for text, by_path in files.items():
        assert structure(by_path["hostile.md"]) == expected, text


@pytest.mark.parametrize("text", ["1. x", "2) x", "=", "- x", "+ x", "# x", "> x", "\u202ex", "\x1bx", "<b>", "&lt;", "a|b"])  # fmt: skip
def test_prose_is_one_paragraph_of_text(text: str) -> None:
    elements = structure(docs.prose(text))
    assert elements == [("paragraph_open", ""), ("paragraph_close", "")]
    assert docs.prose(text).isprintable()


@pytest.mark.parametrize("url", ["https://e.com/a)b", "https://e.com/a>b", "https://e.com/<b>|`\u202e", "https://e.com/\\"])  # fmt: skip
def test_address_ends_where_it_ends(url: str) -> None:
    for markdown in (f"<{docs.address(url)}>", f"[x]({docs.address(url)})"):
        kinds = [kind for kind, _ in structure(markdown)]
        assert kinds == ["paragraph_open", "link_open", "link_close", "paragraph_close"]
    assert docs.address("https://www.segmind.com/models/kling-2/api?a=b&c=%20#d") == (
        "https://www.segmind.com/models/kling-2/api?a=b&c=%20#d"
    )


@pytest.mark.parametrize(
    "command", ["generate", "check", "lint", "generate --format github", "diff specs specs"]
)
def test_nothing_printed_moves_the_cursor(project: Project, command: str) -> None:
    project.spec("demo", '"a\\e[2J\\u202Eb\\x9b": {type: strng}\n"\\e]0;x\\a": {type: string, "\\e[1m": 3}')
    result = project.run(command)
    assert result.exit_code == 2
    assert "u001b" in result.output
    assert result.output.replace("\n", "").isprintable()


def test_difference_is_shown_without_escapes(project: Project) -> None:
    project.spec("demo", "p: {type: string}")
    project.generate()
    module = project.models / "demo.py"
    module.write_text(module.read_text("utf-8") + "# \x1b[2J\u202e\n", "utf-8")
    output = project.run("check").output
    assert r"# \u001b[2J\u202e" in output
    assert output.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["--output=x", "--exec=id", "-x", "--"])
def test_revision_is_never_an_option_of_git(project: Project, name: str) -> None:
    project.spec("demo", "p: {type: string}")
    before = sorted(project.folder.rglob("*"))
    result = project.run("diff", "--", name, "specs")
    assert result.exit_code == 2
    assert "OLD cannot be compared" in result.stderr
    assert sorted(project.folder.rglob("*")) == before


def test_bomb_of_aliases_is_refused_at_its_first_anchor(project: Project) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40))]
    project.write("demo.yaml", "\n".join(lines))
    refused = [error for error in project.errors() if "anchors and aliases are not used in specs" in error]
    assert refused[0].startswith("specs/demo.yaml:1:5: ")
    assert len(refused) == 40 + 39 * 9


@pytest.mark.parametrize("token", ["1{n}", "@{n}0", "@Image7{n}"])
def test_digit_beside_the_number_of_a_token_is_refused(project: Project, token: str) -> None:
    properties = "p: {type: string}\nq: {type: array, items: {type: string}}"
    project.spec("demo", properties, rest=f'rules: [{{references: {{field: p, token: "{token}", list: q}}}}]')
    [error] = project.errors()
    assert f'"{token}" has a digit beside {{n}}, which would be read as part of the number' in error


def test_no_member_of_the_base_classes_is_shadowed() -> None:
    members = {name for base in (Params, Part) for name in (*dir(base), *dir(type(base))) if name[0] != "_"}
    called = field_names(sorted(members))
    assert {"register", "mro", "wire"} <= members
    assert not members & set(called.values())


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        ("größe", "größe"), ("名前", "名前"), ("gro\u0308ße", "größe"), ("ﬁeld", "field"), ("²", "field_2"),
        ("a-b", "a_b"), ("é è", "é_è"), ("\u202ex", "x"), ("٣", "field_٣"), ("x\u200by", "x_y"),
    ],
)  # fmt: skip
def test_name_of_another_script_stays_readable(wire: str, name: str) -> None:
    assert field_names([wire]) == {wire: name}
    assert name.isidentifier()


def test_names_of_another_script_work_without_a_warning(project: Project) -> None:
    project.spec("demo", "größe: {type: integer}\nregister: {type: string}\nmro: {type: string}")
    project.generate()
    printed = project.use("""
        from kling_adapters.models import Demo
        print(Demo(größe=3, register="low", mro="x").wire(), Demo(register_="low").register_)
    """)
    assert printed == "{'größe': 3, 'register': 'low', 'mro': 'x'} low"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2147483647, "2147483647"), (2147483647.0, "2147483647"), (1234567.5, "1234567.5"), (0.1, "0.1"), (18446744073709551615, "18446744073709551615")],
)  # fmt: skip
def test_number_is_printed_with_every_digit(value: float, text: str) -> None:
    assert format_number(value) == text


def test_bounds_and_prices_are_written_with_every_digit(project: Project) -> None:
    project.spec(
        "demo",
        "seed: {type: number, minimum: -2147483648, maximum: 2147483647.0, default: 2147483647}",
        rest="pricing: {currency: USD, from: 1234567.25, to: 7654321.5, unit: image}",
    )
    project.generate()
    page = (project.folder / "docs" / "models" / "demo.md").read_text("utf-8")
    assert "-2147483648 to 2147483647 |" in page
    assert "1234567.25 to 7654321.5 USD" in page
    project.spec("demo", "seed: {type: number, maximum: 2147483647, default: 2147483648}")
    [error] = project.errors()
    assert "2147483648 is above maximum 2147483647" in error


def test_printable_keeps_readable_text() -> None:
    assert escape_unprintable("größe 名前 👍\t'\"\\") == "größe 名前 👍\t'\"\\"
    assert (
        escape_unprintable("\x1b\x9b\u202e\ud800\U000e0041\r") == r"\u001b\u009b\u202e\ud800\U000e0041\u000d"
    )
    assert Document('a: "\\e"').value == {"a": "\x1b"}
