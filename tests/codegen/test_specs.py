"""What is wrong with a spec is said with its place, and everything at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

import kling_adapters

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

# (the parameter, written in line 10 from column 5 on; column; what is said of it)
PARAMETERS = [
    ("p: {type: string, minLenght: 3}", 23, "unknown key minLenght; did you mean minLength?"),
    ("p: {type: strng}", 15, "'strng' is no type; write one of string, integer, number, boolean, array, object, or [that, \"null\"]"),
    ("p: {type: [integer, string]}", 15, "['integer', 'string'] is no type; write one of string, integer, number, boolean, array, object, or [that, \"null\"]"),
    ("p: {enum: [a]}", 5, "type is missing"),
    ('p: {type: integer, enum: [5, "10"]}', 34, "the allowed value '10' is not of type integer"),
    ("p: {type: integer, enum: [1, true]}", 34, "the allowed value True is not of type integer"),
    ("p: {type: string, enum: [a, b, a]}", 36, "the allowed value 'a' is there twice"),
    ("p: {type: string, enum: []}", 29, "enum: List should have at least 1 item after validation, not 0"),
    ("p: {type: number, enum: [0.5]}", 29, "enum does not go with type number"),
    ('p: {type: [string, "null"], enum: [a]}', 39, "the type allows null, but the allowed values do not list it"),
    ("p: {type: integer, enum: [5, 10], default: 7}", 48, "the default 7 is not one of 5, 10"),
    ("p: {type: number, maximum: 1, default: 1.5}", 44, "the default 1.5 is above maximum 1"),
    ("p: {type: boolean, default: on}", 33, "the default 'on' is not of type boolean"),
    ("p: {type: string, default: null}", 32, "the default None is not of type string"),
    ("p: {type: string, default: 2026-01-01}", 32, "the default datetime.date(2026, 1, 1) is not of type string"),
    ("p: {type: number, default: .nan}", 32, "the default nan is not of type number"),
    ('p: {type: string, format: uri, default: ""}', 45, "the default '' is not an http or https URL"),
    ("p: {type: string, format: email}", 31, "format: it should be 'uri'"),
    ("p: {type: string, minimum: 3}", 32, "minimum does not go with type string"),
    ("p: {type: integer, maxLength: 3}", 35, "maxLength does not go with type integer"),
    ('p: {type: integer, minimum: "3"}', 33, "'3' is not a number"),
    ("p: {type: integer, minimum: 3, maximum: 2}", 45, "maximum is below minimum"),
    ("p: {type: string, minLength: -1}", 34, "minLength: it should be greater than or equal to 0"),
    ("p: {type: integer, enum: [5], minimum: 3}", 44, "minimum does not go with enum, which already says what is allowed"),
    ("p: {type: array}", 8, "type array needs items"),
    ("p: {type: object}", 8, "type object needs properties"),
    ("p: {type: array, items: {type: object, required: [b], properties: {a: {type: string}}}}", 55, "b is required but is no property"),
    ("p: {type: object, required: [a], properties: {a: {type: string, default: x}}}", 78, "a is required, so it cannot have a default"),
    ("p: 3", 8, "p must be keys and values"),
    ("p: &a {type: string}\nq: *a", 8, "anchors and aliases are not used in specs; write the value out"),
]  # fmt: skip


@pytest.mark.parametrize(("parameter", "column", "what"), PARAMETERS, ids=[what for *_, what in PARAMETERS])
def test_parameter(project: Project, parameter: str, column: int, what: str) -> None:
    project.spec("demo", parameter)
    assert project.errors() == [f"specs/demo.yaml:10:{column}: {what}"]


# (a rule, from column 5 on; column; what is said of it)
RULES = [
    ("requires: {field: nope, present: [text]}", 23, "nope is no parameter of this model"),
    ("requires: {field: text, present: [nope]}", 39, "nope is no parameter of this model"),
    ("requires: {field: text, equals: {nope: 1}}", 44, "nope is no parameter of this model"),
    ("requires: {field: text, equals: {five: 7}}", 44, "five: 7 is not one of 5, 10"),
    ("requires: {field: text}", 15, "requires needs present or equals"),
    (
        'references: {field: five, token: "@I{n}", list: items}',
        25,
        "five must be of type string, not integer",
    ),
    ('references: {field: text, token: "@I{n}", list: text}', 53, "text must be of type array, not string"),
    (
        'references: {field: text, token: "@I", list: items}',
        38,
        "'@I' must have {n} once, and more around it",
    ),
    ("max_bytes: {field: text, bytes: 5}", 24, "text must have format uri"),
    ("max_bytes: {field: image, bytes: 0}", 38, "bytes: it should be greater than 0"),
    ("unlike: {field: image}", 5, "unknown key unlike"),
]


@pytest.mark.parametrize(
    ("rule", "column", "what"), RULES, ids=[f"{what} {column}" for _, column, what in RULES]
)
def test_rule(project: Project, rule: str, column: int, what: str) -> None:
    properties = """
        text: {type: string}
        five: {type: integer, enum: [5, 10]}
        items: {type: array, items: {type: string}}
        image: {type: string, format: uri}
    """
    project.spec("demo", properties, rest=f"rules:\n  - {rule}\n")
    assert project.errors() == [f"specs/demo.yaml:15:{column}: {what}"]


EXAMPLES = [
    (
        "{promt: x}",
        ["15:22: the example: lacks the required prompt", "15:30: the example: promt is no parameter"],
    ),
    ('{prompt: x, five: "5"}', ["15:40: the example: five '5' is not of type integer"]),
    ("{prompt: x, items: [a, bcd]}", ["15:45: the example: items[1] 'bcd' is above maxLength 2"]),
    ('{prompt: "@I2", items: [a]}', ["15:22: the example: prompt names @I2, but items has 1 items"]),
    ("{prompt: x, five: 10}", ["15:22: the example: five needs items, which is not given"]),
]


@pytest.mark.parametrize(("given", "found"), EXAMPLES)
def test_example(project: Project, given: str, found: list[str]) -> None:
    properties = """
        prompt: {type: string}
        five: {type: integer, enum: [5, 10]}
        items: {type: array, items: {type: string, maxLength: 2}}
    """
    rules = [
        {"references": {"field": "prompt", "token": "@I{n}", "list": "items"}},
        {"requires": {"field": "five", "present": ["items"]}},
    ]
    rest = f"rules: {json.dumps(rules)}\nexamples:\n  - {{name: a, input: {given}}}\n"
    project.spec("demo", properties, required="prompt", rest=rest)
    assert project.errors() == [f"specs/demo.yaml:{line}" for line in found]


def test_everything_at_once(project: Project) -> None:
    project.spec("a", "p: {type: strng}\nq: {type: string, maxLenght: 3}\nr: {type: integer, default: x}")
    project.write("b.yaml", "slug: b\ntitle: [B\nsummary: x: y\n")
    project.write("c.yaml", "slug: c\n1: x\nslug: d\n")
    project.write("d.yaml", "")
    gateway = project.specs / "gateway.yaml"
    gateway.write_text(
        gateway.read_text(encoding="utf-8").replace("status: 401", "status: 400"), encoding="utf-8"
    )
    number = next(n for n, line in enumerate(gateway.read_text().splitlines(), 1) if "Unauthorized" in line)
    assert project.errors() == [
        "specs/a.yaml:10:15: 'strng' is no type; write one of string, integer, number, boolean, array, object, or [that, \"null\"]",
        "specs/a.yaml:11:23: unknown key maxLenght; did you mean maxLength?",
        "specs/a.yaml:12:33: the default 'x' is not of type integer",
        "specs/b.yaml:3:8: expected ',' or ']', but got ':'",
        "specs/c.yaml:2:1: the key 1 is not text; put it in quotes",
        "specs/c.yaml:3:1: slug is there twice",
        "specs/d.yaml:1:1: the file is empty",
        f"specs/gateway.yaml:{number}:14: the status 400 is there twice",
    ]
    assert not project.models.exists()


def test_specs_that_cannot_stand_beside_each_other(project: Project) -> None:
    for slug in ("kling-2", "kling.2", "class", "params", "schemas"):
        project.spec(slug, "p: {type: string}")
    project.write("other.yaml", (project.specs / "kling-2.yaml").read_text(encoding="utf-8"))
    assert project.errors() == [
        "specs/class.yaml:1:7: the slug class makes a module class, which has another meaning",
        "specs/kling.2.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml",
        "specs/kling.2.yaml:1:7: the module kling_2 is already that of specs/kling-2.yaml",
        "specs/other.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml",
        "specs/other.yaml:1:7: the module kling_2 is already that of specs/kling-2.yaml",
        "specs/other.yaml:1:7: the slug kling-2 belongs into a file kling-2.yaml",
        "specs/other.yaml:1:7: the slug kling-2 is already that of specs/kling-2.yaml",
        "specs/params.yaml:1:7: the slug params makes a class Params, which has another meaning",
        "specs/schemas.yaml:1:7: the slug schemas makes a module schemas, which has another meaning",
    ]


def test_no_specs_and_no_gateway(project: Project) -> None:
    (project.specs / "gateway.yaml").unlink()
    assert project.errors() == [
        "specs:1:1: there is no spec in this folder",
        "specs/gateway.yaml:1:1: cannot be read: No such file or directory",
    ]


def test_schema_for_editors_takes_the_real_specs_and_finds_typos(project: Project) -> None:
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
