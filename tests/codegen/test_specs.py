"""Problems of specs: their wording and places, and all of them in one run."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from kling_codegen.load.document import Document
from ruamel.yaml import YAML

import kling_adapters

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

TABLES = Path(__file__).parent / "tables"


def read_table(name: str) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(
        (TABLES / f"{name}.yaml").read_text("utf-8")
    )
    assert table
    return table


def in_file(name: str, problems: list[str]) -> list[str]:
    return [f"specs/{name}:{problem}" for problem in problems]


def test_parameters(project: Project) -> None:
    rows = read_table("parameters")
    for index, row in enumerate(rows):
        project.spec(f"demo-{index:02}", row["parameter"])
    assert project.errors() == [
        line for index, row in enumerate(rows) for line in in_file(f"demo-{index:02}.yaml", row["problems"])
    ]


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        (
            f"p: {{type: integer, maximum: 0x{'f' * 100_000}}}",
            f"10:33: 0x{'f' * 55}... is a number of 100002 characters; at most 40 are read, at input.properties.p.maximum",
        ),
        (
            f"p: {{type: string, default: 1{':10' * 5000}}}",
            f"10:32: 1{':10' * 18}:1... is a number of 15001 characters; at most 40 are read, at input.properties.p.default",
        ),
        (
            f"p: {'{type: array, items: ' * 200}{{type: string}}{'}' * 200}",
            "10:617: this is nested too deeply for a spec: more than 32 levels",
        ),
    ],
    ids=["hexadecimal", "sexagesimal", "deep"],
)
def test_oversized_parameter_is_refused(project: Project, parameter: str, problem: str) -> None:
    project.spec("demo", parameter)
    assert project.errors() == in_file("demo.yaml", [problem])


def test_rules(project: Project) -> None:
    properties = """
        text: {type: string}
        five: {type: integer, enum: [5, 10]}
        items: {type: array, items: {type: object, properties: {front: {type: string, format: uri}, note: {type: string}, size: {type: number}}}}
        image: {type: string, format: uri}
        others: {type: array, items: {type: object, properties: {note: {type: string}}}}
    """
    rows = read_table("rules")
    for index, row in enumerate(rows):
        project.spec(f"demo-{index:02}", properties, required="five", rest=f"rules:\n  - {row['rule']}\n")
    assert project.errors() == [
        line for index, row in enumerate(rows) for line in in_file(f"demo-{index:02}.yaml", row["problems"])
    ]


@pytest.mark.parametrize("row", read_table("heads"), ids=lambda row: row["replacement"])
def test_head(project: Project, row: dict[str, Any]) -> None:
    path = project.spec("demo", "p: {type: string}")
    path.write_text(path.read_text("utf-8").replace(row["text"], row["replacement"]), "utf-8")
    assert project.errors() == in_file("demo.yaml", row["problems"])


@pytest.mark.parametrize("row", read_table("examples"), ids=lambda row: row["input"])
def test_example(project: Project, row: dict[str, Any]) -> None:
    properties = """
        prompt: {type: string}
        five: {type: integer, enum: [5, 10]}
        items: {type: array, items: {type: string, maxLength: 2}}
        image: {type: [string, "null"], format: uri}
        text: {type: string, default: x}
    """
    rules = [
        {"references": {"field": "prompt", "token": "@I{n}", "list": "items"}},
        {"requires": {"field": "five", "present": ["items"]}},
        {"at_least_one_of": ["image", "text"]},
        {"mutually_exclusive": ["image", "text"]},
    ]
    rest = f"rules: {json.dumps(rules)}\nlint: []\nexamples:\n  - {{name: a, input: {row['input']}}}\n"
    project.spec("demo", properties, required="prompt", rest=rest)
    assert project.errors() == in_file("demo.yaml", row["problems"])


def test_example_without_value_that_rule_needs(project: Project) -> None:
    properties = "mode: {type: string, enum: [std, pro], default: std}\ntail: {type: string}"
    rest = """\
        rules: [{requires: {field: tail, equals: {mode: pro}}}]
        examples:
          - {name: a, input: {tail: x, mode: pro}}
          - {name: b, input: {tail: x}}
    """
    project.spec("demo", properties, rest=rest)
    assert project.errors() == [
        'specs/demo.yaml:15:22: the example: tail needs mode to be "pro", at examples[1].input'
    ]


def test_example_is_not_checked_by_empty_rule(project: Project) -> None:
    project.spec("demo", "p: {type: string}", rest="rules: [{}]\nexamples: [{name: a, input: {p: x}}]\n")
    [line] = project.errors()
    assert line.startswith("specs/demo.yaml:11:9: a rule has exactly one key, at rules[0]")


def test_example_with_number_too_long_for_int(project: Project) -> None:
    rest = f"""\
        rules: [{{references: {{field: p, token: "@I{{n}}", list: q}}}}]
        examples: [{{name: a, input: {{p: "@I{"9" * 5000}"}}}}]
    """
    project.spec("demo", "p: {type: string}\nq: {type: array, items: {type: string}}", rest=rest)
    [line] = project.errors()
    assert "the example: p names @I999" in line


def test_all_problems_are_reported_at_once(project: Project) -> None:
    properties = "p: {type: strng}\nq: {type: string, maxLenght: 3}\nr: {type: integer, default: x}\ns: 3"
    rest = """\
        rules: [{requires: {field: t, present: [q]}}, {limit: 3}, {max_bytes: {field: s, bytes: 3}}]
        examples: [{name: one, input: {u: 1, p: 2}}]
    """
    project.spec("a", properties, rest=rest)
    project.write("b.yaml", "slug: b\ntitle: [B\nsummary: x: y\n")
    project.write("c.yaml", "slug: c\n1: x\nslug: d\n")
    project.write("d.yaml", "")
    project.write("e.yml", "")
    (project.specs / "f.yaml").write_bytes(b"\xff")
    gateway = project.specs / "gateway.yaml"
    gateway.write_text(
        gateway.read_text(encoding="utf-8").replace("status: 401", "status: 400"), encoding="utf-8"
    )
    number = next(n for n, line in enumerate(gateway.read_text().splitlines(), 1) if "Unauthorized" in line)
    missing = ("input", "latency_seconds", "returns", "source", "summary", "title")
    assert project.errors() == [
        'specs/a.yaml:10:15: unknown type "strng", at input.properties.p.type; allowed: string, integer, number, boolean, array, object, [one of these, "null"]; did you mean string?',
        "specs/a.yaml:11:23: unknown key maxLenght, at input.properties.q.maxLenght; allowed: format, media, enum, default, minLength, maxLength, or, description, renamed_from, deprecated; did you mean maxLength?",
        'specs/a.yaml:12:33: the default "x" is not of type integer, at input.properties.r.default',
        "specs/a.yaml:13:8: 3 is not a mapping, at input.properties.s",
        "specs/a.yaml:14:28: t is not a parameter of this model, at rules[0].requires.field",
        "specs/a.yaml:14:48: unknown key limit, at rules[1].limit; allowed: at_least_one_of, exactly_one_of, max_bytes, mutually_exclusive, references, requires, sum, when",
        "specs/a.yaml:15:32: the example: u is not a parameter, at examples[0].input.u; allowed: p, q, r, s",
        "specs/b.yaml:3:8: not YAML: did not find expected ',' or ']' (while parsing a flow sequence that starts in line 2)",
        *(f"specs/c.yaml:1:1: {name} is missing" for name in missing),
        "specs/c.yaml:2:1: the key 1 is not text; put it in quotes, at 1",
        "specs/c.yaml:3:1: duplicate key slug; the first is in line 1, at slug",
        "specs/d.yaml:1:1: the file is empty",
        "specs/e.yml:1:1: the name of a spec ends in .yaml; did you mean e.yaml?",
        "specs/f.yaml:1:1: is not UTF-8 text",
        f"specs/gateway.yaml:{number}:14: the status 400 is listed twice, at errors[1].status",
    ]
    assert not project.models.exists()


def test_duplicate_gateway_state(project: Project) -> None:
    gateway = project.specs / "gateway.yaml"
    text = gateway.read_text("utf-8").replace("name: PROCESSING", "name: QUEUED")
    gateway.write_text(text, "utf-8")
    project.spec("demo", "p: {type: string}")
    number = 1 + text[: text.rindex("name: QUEUED")].count("\n")
    assert project.errors() == [
        f"specs/gateway.yaml:{number}:12: the state QUEUED is listed twice, at states[1].name"
    ]


def test_folder_named_like_spec(project: Project) -> None:
    project.spec("demo", "p: {type: string}")
    (project.specs / "folder.yaml").mkdir()
    for _ in range(2):
        assert project.errors() == ["specs/folder.yaml:1:1: cannot be read: Is a directory"]


def test_clashing_slugs(project: Project) -> None:
    for slug in ("kling-2", "kling.2", "class", "params", "schemas"):
        project.spec(slug, "p: {type: string}")
    project.write("other.yaml", (project.specs / "kling-2.yaml").read_text(encoding="utf-8"))
    reserved = "a name that Python or the generated code reserves, at slug"
    assert project.errors() == [
        f"specs/class.yaml:1:7: the slug class makes a module class, {reserved}",
        "specs/kling.2.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml, at slug",
        "specs/kling.2.yaml:1:7: the module kling_2 is already that of specs/kling-2.yaml, at slug",
        "specs/other.yaml:1:7: the slug kling-2 belongs into a file kling-2.yaml, at slug; did you mean other?",
        "specs/other.yaml:1:7: the slug kling-2 is already that of specs/kling-2.yaml, at slug",
        f"specs/params.yaml:1:7: the slug params makes a class Params, {reserved}",
        f"specs/schemas.yaml:1:7: the slug schemas makes a module schemas, {reserved}",
    ]


def test_slug_of_invalid_spec_is_compared(project: Project) -> None:
    project.spec("kling-2", "p: {type: string}")
    project.spec("kling.2", "p: {type: text}")
    assert "specs/kling.2.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml, at slug" in (
        project.errors()
    )


def test_missing_specs_are_a_problem(project: Project) -> None:
    assert project.errors() == ["specs:1:1: this folder has no spec"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("null", "Null", "NULL", "~", "")),
        *((text, text) for text in ("nULL", "tRue", "yes", "n", "on", "=", "<<", "16:9", "1_000", "0b11", "2026-01-31")),
        ("2026-02-31", "2026-02-31"),  # which YAML 1.1 does not read at all
        *((text, text) for text in ("1e", ".", "+", "-x", "1.2.3", "0o8", "0xg", "e1", "inf", ".iNf", "+.nan", "1 0")),
        ("True", True), ("FALSE", False), ("007", 7), ("+5", 5), ("-0", 0), ("0o14", 12), ("0x1F", 31),
        (".5", 0.5), ("1.", 1.0), ("-1e3", -1000.0), ("1.5E-2", 0.015), ("-.INF", -math.inf), ("+.inf", math.inf),
        ('"5"', "5"), ("'on'", "on"), ('"\\/\\u00e9"', "/\u00e9"),
        ("[a, ~, {b: 1}]", ["a", None, {"b": 1}]), ("|\n  on\n", "on\n"),
    ],
)  # fmt: skip
def test_values_are_read_as_yaml_1_2(text: str, value: Any) -> None:
    read = Document(f"a: {text}").value
    assert repr(read) == repr({"a": value})  # to Python, 1, 1.0 and True are equal


def test_ruamel_reads_the_same_specs() -> None:
    root = Path(kling_adapters.__file__).parent.parent
    paths = [*root.glob("specs/*.yaml"), *root.glob("tests/golden/*/specs/*.yaml")]
    assert len(paths) > 6
    for path in paths:
        text = path.read_text(encoding="utf-8")
        expected = repr(YAML(typ="safe", pure=True).load(text))
        # Days of a spec stay text.
        expected = re.sub(r"datetime\.date\((\d+), (\d+), (\d+)\)", write_day, expected)
        assert repr(Document(text).value) == expected, path


def write_day(match: re.Match[str]) -> str:
    return repr(date(*map(int, match.groups())).isoformat())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 2000 + "]" * 2000, "1:33: this is nested too deeply for a spec: more than 32 levels"),
        ("[\n" * 2000 + "]" * 2000, "33:1: this is nested too deeply for a spec: more than 32 levels"),
        ("- " * 2000 + "a", "1:65: this is nested too deeply for a spec: more than 32 levels"),
        ("".join(f"{' ' * i}a:\n" for i in range(1200)), "33:33: this is nested too deeply for a spec: more than 32 levels"),
        (f'a: "{"[" * 2000}"\nb: ]', "2:4: not YAML: did not find expected node content (while parsing a block node that starts in line 2)"),
        ("".join(f"k{i}: 1\n" for i in range(20_000)), "5000:8: the file has more than 10000 keys and values"),
        ("a: b\nc: \x00", "2:4: not YAML: the character U+0000"),
        ("a\n---\nb", "2:1: another document starts here; allowed: one spec per file"),
        ("- slug: demo", '1:1: [{"slug": "demo"}] is not a mapping'),
        ("demo", '1:1: "demo" is not a mapping'),
    ],
)  # fmt: skip
def test_text_that_is_not_a_spec(project: Project, text: str, problem: str) -> None:
    project.spec("demo", "p: {type: string}").write_text(text, encoding="utf-8")
    assert project.errors() == [f"specs/demo.yaml:{problem}"]


def test_editor_schema_accepts_specs_and_finds_typos(project: Project) -> None:
    project.spec("demo", "p: {type: string}")
    project.generate()
    schema = json.loads((project.specs / "schema" / "spec.schema.json").read_text(encoding="utf-8"))
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    validator = jsonschema_rs.Draft7Validator(schema)
    specs = Path(kling_adapters.__file__).parent.parent / "specs"
    for path in [project.specs / "demo.yaml", *specs.glob("kling-*.yaml")]:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        value["source"]["read"] = str(value["source"]["read"])
        assert validator.is_valid(value), path
    value["input"]["properties"]["prompt"] = {"type": "string", "minLenght": 3}
    assert not validator.is_valid(value)


def test_editor_schema_describes_every_key(project: Project) -> None:
    project.spec("demo", "p: {type: string}")
    project.generate()
    for path in (project.specs / "schema").iterdir():
        schema = json.loads(path.read_text(encoding="utf-8"))
        for part in (schema, *schema["definitions"].values()):
            for name, key in part.get("properties", {}).items():
                assert {"description", "$ref"} & key.keys(), (path.name, part["title"], name)
    gateway = YAML(typ="safe", pure=True).load((project.specs / "gateway.yaml").read_text(encoding="utf-8"))
    schema = json.loads((project.specs / "schema" / "gateway.schema.json").read_text(encoding="utf-8"))
    assert jsonschema_rs.Draft7Validator(schema).is_valid(gateway)
