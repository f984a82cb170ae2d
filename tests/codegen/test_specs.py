"""What is wrong with a spec is said with its place, and everything at once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from kling_codegen.load import Document
from ruamel.yaml import YAML

import kling_adapters

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

# (the parameter, written in line 10 from column 5 on; all that is said of it)
PARAMETERS: list[tuple[str, list[str]]] = [
    (
        "p: {type: number, default: !!float x}",
        ["10:32: x: the tag !!float is not used in specs, at input.properties.p.default"],
    ),
    (
        "p: {type: number, maximum: 1.0e+2, default: 1.0e+3}",
        ["10:49: the default 1000.0 is above maximum 100.0, at input.properties.p.default"],
    ),
    (
        "p: {type: number, maximum: 1e3}",
        [
            '10:32: 1e3 without quotes is 1000.0 in YAML 1.2, text in YAML 1.1, at input.properties.p.maximum; allowed: "1e3", 1000.0'
        ],
    ),
    (
        "p: {type: string, default: 2026-02-31}",
        [
            '10:32: 2026-02-31 without quotes is text in YAML 1.2, and cannot be read as YAML 1.1, at input.properties.p.default; allowed: "2026-02-31"'
        ],
    ),
    (
        "p: {type: string, default: =}",
        [
            '10:32: = without quotes is text in YAML 1.2, and cannot be read as YAML 1.1, at input.properties.p.default; allowed: "="'
        ],
    ),
    (
        "p: &a {type: &b string}\n!!str q: {type: !!str string}",
        [
            "10:8: anchors and aliases are not used in specs; write the value out, at input.properties.p",
            "10:18: anchors and aliases are not used in specs; write the value out, at input.properties.p.type",
            "11:5: q: the tag !!str is not used in specs, at input.properties.q",
            "11:21: string: the tag !!str is not used in specs, at input.properties.q.type",
        ],
    ),
    (
        f"p: {{type: integer, maximum: 0x{'f' * 100_000}}}",
        [
            f"10:33: 0x{'f' * 55}... is a number of 100002 characters; at most 40 are read, at input.properties.p.maximum"
        ],
    ),
    (
        f"p: {{type: string, default: 1{':10' * 5000}}}",
        [
            f"10:32: 1{':10' * 18}:1... is a number of 15001 characters; at most 40 are read, at input.properties.p.default"
        ],
    ),
    (
        f"p: {'{type: array, items: ' * 200}{{type: string}}{'}' * 200}",
        ["10:617: this is nested too deeply for a spec: more than 32 levels"],
    ),
    (
        "p: {type: string, minLenght: 3}",
        [
            "10:23: unknown key minLenght, at input.properties.p.minLenght; allowed: format, enum, default, minLength, maxLength, description; did you mean minLength?",
        ],
    ),
    (
        "p: {type: strng}",
        [
            '10:15: "strng" is no type, at input.properties.p.type; allowed: string, integer, number, boolean, array, object, [one of these, "null"]; did you mean string?',
        ],
    ),
    (
        "p: {type: [integer, string]}",
        [
            '10:15: ["integer", "string"] is no type, at input.properties.p.type; allowed: string, integer, number, boolean, array, object, [one of these, "null"]',
        ],
    ),
    (
        "p: {enum: [a]}",
        [
            "10:5: type is missing, at input.properties.p",
        ],
    ),
    (
        'p: {type: integer, enum: [5, "10"]}',
        [
            '10:34: the allowed value "10" is not of type integer, at input.properties.p.enum[1]; did you mean 10?',
        ],
    ),
    (
        "p: {type: integer, enum: [1, true]}",
        [
            "10:34: the allowed value true is not of type integer, at input.properties.p.enum[1]",
        ],
    ),
    (
        "p: {type: string, enum: [a, b, a]}",
        [
            '10:36: the allowed value "a" is there twice, at input.properties.p.enum[2]',
        ],
    ),
    (
        "p: {type: string, enum: []}",
        [
            "10:29: [] is too short, at input.properties.p.enum; allowed: at least 1",
        ],
    ),
    (
        "p: {type: number, enum: [0.5]}",
        [
            "10:23: enum does not go with type number, at input.properties.p.enum; allowed: type, default, minimum, maximum, description",
        ],
    ),
    (
        'p: {type: [string, "null"], enum: [a]}',
        [
            "10:39: the type allows null, but the allowed values do not list it, at input.properties.p.enum",
        ],
    ),
    (
        "p: {type: integer, enum: [5, 10], default: 7}",
        [
            "10:48: the default 7 is not allowed, at input.properties.p.default; allowed: 5, 10",
        ],
    ),
    (
        "p: {type: number, maximum: 1, default: 1.5}",
        [
            "10:44: the default 1.5 is above maximum 1, at input.properties.p.default",
        ],
    ),
    (
        "p: {type: boolean, default: on}",
        [
            '10:33: the default "on" is not of type boolean (on without quotes is text in YAML 1.2, true in YAML 1.1), at input.properties.p.default; allowed: true, false; did you mean true?',
        ],
    ),
    (
        "p: {type: string, default: null}",
        [
            "10:32: the default null is not of type string, at input.properties.p.default",
        ],
    ),
    (
        "p: {type: string, default: 2026-01-01}",
        [
            '10:32: 2026-01-01 without quotes is text in YAML 1.2, a date in YAML 1.1, at input.properties.p.default; allowed: "2026-01-01"',
        ],
    ),
    (
        "p: {type: number, default: .nan}",
        [
            "10:32: the default NaN is not of type number, at input.properties.p.default",
        ],
    ),
    (
        'p: {type: string, format: uri, default: ""}',
        [
            '10:45: the default "" is not an http or https URL, at input.properties.p.default; allowed: such as https://example.com/cat.png',
        ],
    ),
    (
        "p: {type: string, format: email}",
        [
            '10:31: "email" is not allowed, at input.properties.p.format; allowed: uri',
        ],
    ),
    (
        "p: {type: string, minimum: 3}",
        [
            "10:23: minimum does not go with type string, at input.properties.p.minimum; allowed: type, format, enum, default, minLength, maxLength, description",
        ],
    ),
    (
        "p: {type: integer, maxLength: 3}",
        [
            "10:24: maxLength does not go with type integer, at input.properties.p.maxLength; allowed: type, enum, default, minimum, maximum, description",
        ],
    ),
    (
        'p: {type: integer, minimum: "3"}',
        [
            '10:33: "3" is not of type number, at input.properties.p.minimum; did you mean 3?',
        ],
    ),
    (
        "p: {type: integer, minimum: 3, maximum: 2}",
        [
            "10:45: maximum 2 is below minimum 3, at input.properties.p.maximum",
        ],
    ),
    (
        "p: {type: string, minLength: -1}",
        [
            "10:34: -1 is not allowed, at input.properties.p.minLength; allowed: at least 0",
        ],
    ),
    (
        "p: {type: string, maxLength: 20000000000}",
        [
            "10:34: 20000000000 is not allowed, at input.properties.p.maxLength; allowed: at most 1000000000",
        ],
    ),
    (
        "p: {type: string, format: uri, maxLength: 2048}",
        [
            "10:36: maxLength does not go with format, as a file may be given, at input.properties.p.maxLength",
        ],
    ),
    (
        "p: {type: integer, enum: [5, 9223372036854775808]}",
        [
            "10:34: the allowed value 9223372036854775808 is out of range, at input.properties.p.enum[1]; allowed: -9223372036854775808 to 9223372036854775807",
        ],
    ),
    (
        '" ": {type: object, properties: {"": {type: strng}}}',
        [
            '10:5: " " is not allowed, at input.properties. ; allowed: text that is not empty',
            '10:38: "" is not allowed, at input.properties. .properties.; allowed: text that is not empty',
            '10:49: "strng" is no type, at input.properties. .properties..type; allowed: string, integer, number, boolean, array, object, [one of these, "null"]; did you mean string?',
        ],
    ),
    (
        "p: {type: integer, enum: [5], minimum: 3}",
        [
            "10:35: minimum does not go with enum, which says what is allowed, at input.properties.p.minimum",
        ],
    ),
    (
        "p: {type: array}",
        [
            "10:5: type array needs items, at input.properties.p",
        ],
    ),
    (
        "p: {type: object}",
        [
            "10:5: type object needs properties, at input.properties.p",
        ],
    ),
    (
        "p: {type: array, items: {type: object, required: [b], properties: {a: {type: string}}}}",
        [
            "10:55: b is required but is no property, at input.properties.p.items.required[0]",
        ],
    ),
    (
        "p: {type: object, required: [a], properties: {a: {type: string, default: x}}}",
        [
            "10:78: a is required, so it cannot have a default, at input.properties.p.properties.a.default",
        ],
    ),
    (
        "p: 3",
        [
            "10:8: 3 is not keys and values, at input.properties.p",
        ],
    ),
    (
        "p: &a {type: string}\nq: *a",
        [
            "10:8: anchors and aliases are not used in specs; write the value out, at input.properties.p",
            "11:8: anchors and aliases are not used in specs; write the value out, at input.properties.q",
        ],
    ),
    (
        'p: {type: string, enum: [16:9, "9:16"]}',
        [
            '10:30: 16:9 without quotes is text in YAML 1.2, 969 in YAML 1.1, at input.properties.p.enum[0]; allowed: "16:9"',
        ],
    ),
    (
        'p: {type: string, enum: [on, "off"]}',
        [
            '10:30: on without quotes is text in YAML 1.2, true in YAML 1.1, at input.properties.p.enum[0]; allowed: "on", true',
        ],
    ),
    (
        "p: {type: boolean, default: yes}",
        [
            '10:33: the default "yes" is not of type boolean (yes without quotes is text in YAML 1.2, true in YAML 1.1), at input.properties.p.default; allowed: true, false; did you mean true?',
        ],
    ),
    (
        "p: {type: integer, maximum: 1_000}",
        [
            '10:33: "1_000" is not of type number (1_000 without quotes is text in YAML 1.2, 1000 in YAML 1.1), at input.properties.p.maximum; did you mean 1000?',
        ],
    ),
    (
        "p: {type: integer, enum: [010]}",
        [
            '10:31: 010 without quotes is 10 in YAML 1.2, 8 in YAML 1.1, at input.properties.p.enum[0]; allowed: "010", 10, 8',
        ],
    ),
    (
        "p: {type: string, default: 12:30:45}",
        [
            '10:32: 12:30:45 without quotes is text in YAML 1.2, 45045 in YAML 1.1, at input.properties.p.default; allowed: "12:30:45"',
        ],
    ),
    (
        "on: {type: boolean}",
        [
            '10:5: the key on without quotes is text in YAML 1.2, true in YAML 1.1, at input.properties.on; allowed: "on", true',
        ],
    ),
    (
        "p: {type: string, type: integer}",
        [
            "10:23: type is there twice; the first is in line 10, at input.properties.p.type",
        ],
    ),
    (
        "p: {type: string, nullable: true}",
        [
            "10:23: unknown key nullable, at input.properties.p.nullable; allowed: format, enum, default, minLength, maxLength, description",
        ],
    ),
    (
        'p: {type: string, pattern: "a+"}',
        [
            "10:23: unknown key pattern, at input.properties.p.pattern; allowed: format, enum, default, minLength, maxLength, description",
        ],
    ),
    (
        "p: {type: string, enum: [pro, std], default: por}",
        [
            '10:50: the default "por" is not allowed, at input.properties.p.default; allowed: "pro", "std"; did you mean pro?',
        ],
    ),
    (
        "p: {type: string, default: 5}",
        [
            '10:32: the default 5 is not of type string, at input.properties.p.default; did you mean "5"?',
        ],
    ),
    (
        'p: {type: integer, default: "5"}',
        [
            '10:33: the default "5" is not of type integer, at input.properties.p.default; did you mean 5?',
        ],
    ),
    (
        "p: {type: array, items: {type: string, maxLength: 2}, maxItems: 1, default: [a, bcd]}",
        [
            '10:81: the default ["a", "bcd"] has 2 items, which is above maxItems 1, at input.properties.p.default',
            '10:85: the default "bcd" has 3 characters, which is above maxLength 2, at input.properties.p.default[1]',
        ],
    ),
    (
        'p: {type: string, minLength: "3"}',
        [
            '10:34: "3" is not of type integer, at input.properties.p.minLength; did you mean 3?',
        ],
    ),
    (
        "p: {type: string, minLength: 1.5}",
        [
            "10:34: 1.5 is not of type integer, at input.properties.p.minLength",
        ],
    ),
    (
        'p: {type: string, description: ""}',
        [
            '10:36: "" is not allowed, at input.properties.p.description; allowed: text that is not empty',
        ],
    ),
    (
        "p: {type: string, description: 3}",
        [
            '10:36: 3 is not of type string, at input.properties.p.description; did you mean "3"?',
        ],
    ),
    (
        "p: {type: object, properties: {}}",
        [
            "10:5: type object needs properties, at input.properties.p",
            "10:35: {} is too short, at input.properties.p.properties; allowed: at least 1",
        ],
    ),
    (
        "p: {type: object, properties: [a]}",
        [
            "10:5: type object needs properties, at input.properties.p",
            '10:35: ["a"] is not keys and values, at input.properties.p.properties',
        ],
    ),
    (
        "p: {type: string, enum: x}",
        [
            '10:29: "x" is not a list, at input.properties.p.enum',
        ],
    ),
    (
        "p: {type: array, items: string}",
        [
            '10:29: "string" is not keys and values, at input.properties.p.items',
        ],
    ),
    (
        "p: {type: object, required: [3], properties: {a: {type: string}}}",
        [
            '10:34: 3 is not of type string, at input.properties.p.required[0]; did you mean "3"?',
        ],
    ),
    (
        "p: {type: object, required: [nam], properties: {name: {type: string}}}",
        [
            "10:34: nam is required but is no property, at input.properties.p.required[0]; did you mean name?",
        ],
    ),
    (
        "p: {type: object, required: [a, a], properties: {a: {type: string}}}",
        [
            "10:37: a is there twice, at input.properties.p.required[1]",
        ],
    ),
    (
        "p: {type: array, items: {type: array, items: {type: string}}, default: [[a]]}",
        [
            "10:76: the default of a list of lists or objects can only be empty, at input.properties.p.default; allowed: []",
        ],
    ),
    (
        "p: !secret {type: string}",
        [
            "10:8: the tag !secret is not used in specs, at input.properties.p",
        ],
    ),
    (
        "p: {type: !str string}",
        [
            "10:15: string: the tag !str is not used in specs, at input.properties.p.type",
        ],
    ),
    (
        "p: {type: string, minLenght: 3, maximum: 3, enum: [a, a], default: b}",
        [
            "10:23: unknown key minLenght, at input.properties.p.minLenght; allowed: format, minLength, maxLength, description; did you mean minLength?",
            "10:37: maximum does not go with enum, which says what is allowed, at input.properties.p.maximum",
            "10:37: maximum does not go with type string, at input.properties.p.maximum; allowed: type, format, enum, default, minLength, maxLength, description",
            '10:59: the allowed value "a" is there twice, at input.properties.p.enum[1]',
            '10:72: the default "b" is not allowed, at input.properties.p.default; allowed: "a", "a"',
        ],
    ),
]


def test_parameters(project: Project) -> None:
    for index, (parameter, _) in enumerate(PARAMETERS):
        project.spec(f"demo-{index:02}", parameter)
    assert project.errors() == [
        f"specs/demo-{index:02}.yaml:{line}" for index, (_, said) in enumerate(PARAMETERS) for line in said
    ]


# (a rule, in line 15 from column 5 on; all that is said of it)
RULES: list[tuple[str, list[str]]] = [
    (
        "requires: {field: nope, present: [text]}",
        [
            "15:23: nope is no parameter of this model, at rules[0].requires.field",
        ],
    ),
    (
        "requires: {field: text, present: [nope]}",
        [
            "15:39: nope is no parameter of this model, at rules[0].requires.present[0]",
        ],
    ),
    (
        "requires: {field: text, equals: {nope: 1}}",
        [
            "15:44: nope is no parameter of this model, at rules[0].requires.equals.nope",
        ],
    ),
    (
        "requires: {field: text, equals: {five: 7}}",
        [
            "15:44: five: 7 is not allowed, at rules[0].requires.equals.five; allowed: 5, 10",
        ],
    ),
    (
        "requires: {field: text}",
        [
            "15:15: requires needs present or equals, at rules[0].requires",
        ],
    ),
    (
        'references: {field: five, token: "@I{n}", list: items}',
        [
            "15:25: five must be of type string, not integer, at rules[0].references.field",
        ],
    ),
    (
        'references: {field: text, token: "@I{n}", list: text}',
        [
            "15:53: text must be of type array, not string, at rules[0].references.list",
        ],
    ),
    (
        'references: {field: text, token: "@I", list: items}',
        [
            '15:38: "@I" must have {n} once, and more around it, at rules[0].references.token',
        ],
    ),
    (
        "max_bytes: {field: text, bytes: 5}",
        [
            "15:24: text must have format uri, at rules[0].max_bytes.field",
        ],
    ),
    (
        "max_bytes: {field: image, bytes: 0}",
        [
            "15:38: 0 is not allowed, at rules[0].max_bytes.bytes; allowed: more than 0",
        ],
    ),
    (
        "unlike: {field: image}",
        [
            "15:5: unknown key unlike, at rules[0].unlike; allowed: requires, references, at_least_one_of, mutually_exclusive, max_bytes",
        ],
    ),
    (
        "at_least_one_of: [text, imag]",
        [
            "15:29: imag is no parameter of this model, at rules[0].at_least_one_of[1]; did you mean image?",
        ],
    ),
    (
        "at_least_one_of: [text]",
        [
            '15:22: ["text"] is too short, at rules[0].at_least_one_of; allowed: at least 2',
        ],
    ),
    (
        "mutually_exclusive: [text, text]",
        [
            "15:32: text is there twice, at rules[0].mutually_exclusive[1]",
        ],
    ),
    (
        "mutually_exclusive: {field: text}",
        [
            '15:25: {"field": "text"} is not a list, at rules[0].mutually_exclusive',
        ],
    ),
    (
        "mutually_exclusive: [five, image]",
        [
            "15:26: five is required, so it is always given, at rules[0].mutually_exclusive[0]",
        ],
    ),
    (
        "requires: {present: [text]}",
        [
            "15:5: field is missing, at rules[0].requires",
        ],
    ),
    (
        "requires: {feild: text, present: [nope]}",
        [
            "15:5: field is missing, at rules[0].requires",
            "15:16: unknown key feild, at rules[0].requires.feild; allowed: field, equals; did you mean field?",
        ],
    ),
    (
        "requires: [text]",
        [
            '15:15: ["text"] is not keys and values, at rules[0].requires',
        ],
    ),
    (
        "{}",
        [
            "15:5: a rule has exactly one key, at rules[0]; allowed: requires, references, at_least_one_of, mutually_exclusive, max_bytes",
        ],
    ),
    (
        "requires: {field: text, present: [five]}\n    max_bytes: {field: image, bytes: 5}",
        [
            "15:5: a rule has exactly one key, at rules[0]; allowed: requires, references, at_least_one_of, mutually_exclusive, max_bytes",
        ],
    ),
]


def test_rules(project: Project) -> None:
    properties = """
        text: {type: string}
        five: {type: integer, enum: [5, 10]}
        items: {type: array, items: {type: string}}
        image: {type: string, format: uri}
    """
    for index, (rule, _) in enumerate(RULES):
        project.spec(f"demo-{index:02}", properties, required="five", rest=f"rules:\n  - {rule}\n")
    assert project.errors() == [
        f"specs/demo-{index:02}.yaml:{line}" for index, (_, said) in enumerate(RULES) for line in said
    ]


# (a line of a spec without problems; what stands there instead; all that is said of it)
HEADS: list[tuple[str, str, list[str]]] = [
    (
        "returns: video",
        "returns: vidio",
        [
            '4:10: "vidio" is not allowed, at returns; allowed: video, image, audio, text; did you mean video?',
        ],
    ),
    (
        "title: Demo",
        "title: ' Demo'",
        [
            '2:8: " Demo" is not allowed, at title; allowed: one line that neither starts nor ends with a space',
        ],
    ),
    (
        "summary: A model for tests.",
        "summary: no stop",
        [
            '3:10: "no stop" is not allowed, at summary; allowed: one sentence on one line, with a full stop',
        ],
    ),
    (
        "latency_seconds: 60",
        "latency_seconds: 0",
        [
            "5:18: 0 is not allowed, at latency_seconds; allowed: more than 0",
        ],
    ),
    (
        "latency_seconds: 60",
        "latency_seconds: .inf",
        [
            "5:18: Infinity is not allowed, at latency_seconds; allowed: a finite number",
        ],
    ),
    (
        "latency_seconds: 60",
        "latency_seconds: 60s",
        [
            '5:18: "60s" is not of type number, at latency_seconds',
        ],
    ),
    (
        "read: 2026-01-31",
        "read: 31.1.2026",
        [
            '6:68: "31.1.2026" is no day, at source.read; allowed: such as 2026-11-21',
        ],
    ),
    (
        "read: 2026-01-31",
        "read: 2026-02-31",
        [
            '6:68: "2026-02-31" is no day, at source.read; allowed: such as 2026-11-21',
        ],
    ),
    (
        "page: https://example.com/demo",
        "page: example.com",
        [
            '6:16: "example.com" is not allowed, at source.page; allowed: an http or https URL',
        ],
    ),
    (
        "slug: demo",
        "slug: Demo_1",
        [
            '1:7: "Demo_1" is not allowed, at slug; allowed: small letters and digits, in words joined by - or .; it starts with a letter; did you mean demo-1?',
        ],
    ),
    (
        "slug: demo",
        "slug: 2-demo",
        [
            '1:7: "2-demo" is not allowed, at slug; allowed: small letters and digits, in words joined by - or .; it starts with a letter',
        ],
    ),
    (
        "slug: demo\n",
        "",
        [
            "1:1: slug is missing",
        ],
    ),
    (
        "title: Demo",
        "titel: Demo",
        [
            "1:1: title is missing",
            "2:1: unknown key titel, at titel; allowed: title, pricing, rules, discrepancies, examples, lint; did you mean title?",
        ],
    ),
    (
        "title: Demo",
        f"title: {'D' * 101}",
        [
            f'2:8: "{"D" * 56}... has 101 characters, at title; allowed: at most 100',
        ],
    ),
    (
        "title: Demo",
        "pricing: {currency: usd, from: -1, to: x, unit: picture}\ntitle: Demo",
        [
            '2:21: "usd" is not allowed, at pricing.currency; allowed: three capital letters, such as USD',
            "2:32: -1 is not allowed, at pricing.from; allowed: at least 0",
            '2:40: "x" is not of type number, at pricing.to',
            '2:49: "picture" is not allowed, at pricing.unit; allowed: generation, second, minute, image, megapixel',
        ],
    ),
    (
        "title: Demo",
        "pricing: {currency: USD, from: 2, to: 1, unit: image}\ntitle: Demo",
        [
            "2:39: to 1 is below from 2, at pricing.to",
        ],
    ),
    (
        "title: Demo",
        "lint: [{silence: no-descripton, reason: x}, {silence: unexplained}]\ntitle: Demo",
        [
            '2:18: "no-descripton" is not allowed, at lint[0].silence; allowed: no-description, limit-in-prose, rule-in-prose, no-source, sample-default, unexplained, unknown-about, placeholder, odd-form, no-example, unused-silence; did you mean no-description?',
            "2:45: reason is missing, at lint[1]",
        ],
    ),
    (
        "source: {",
        "source: 3 #{",
        [
            "6:9: 3 is not keys and values, at source",
        ],
    ),
    (
        "title: Demo",
        "title: @Demo",
        [
            "2:8: not YAML: found '@', which cannot start any token (while scanning for the next token that starts in line 2); allowed: text that starts with a sign stands in quotes",
        ],
    ),
    (
        "title: Demo",
        "title: [Demo",
        [
            "3:8: not YAML: did not find expected ',' or ']' (while parsing a flow sequence that starts in line 2)",
        ],
    ),
    (
        "title: Demo",
        "title: a: b",
        [
            '2:9: not YAML: mapping values are not allowed in this context; allowed: text with ": " in it stands in quotes',
        ],
    ),
    (
        "title: Demo",
        'title: "Demo\x85"',
        [
            "2:13: the character U+0085 ends a line in YAML 1.1, not in YAML 1.2; allowed: an escape in a text with double quotes",
        ],
    ),
    (
        "title: Demo",
        "title: *b",
        [
            "2:8: anchors and aliases are not used in specs; write the value out, at title",
        ],
    ),
    (
        "title: Demo",
        "title: Demo\n\ttab: x",
        [
            "3:1: not YAML: found a tab character that violates indentation (while scanning a plain scalar that starts in line 2); allowed: spaces, not tabs",
        ],
    ),
    (
        "title: Demo",
        "rules: [3]\ndiscrepancies: 3\nexamples: [{input: {p: 3}}, {name: x, input: {q: 3}}]\ntitle: Demo",
        [
            "2:9: 3 is not keys and values, at rules[0]",
            "3:16: 3 is not a list, at discrepancies",
            "4:12: name is missing, at examples[0]",
            '4:24: the example: p 3 is not of type string, at examples[0].input.p; did you mean "3"?',
            "4:47: the example: q is no parameter, at examples[1].input.q; allowed: p",
        ],
    ),
]


@pytest.mark.parametrize(("line", "instead", "said"), HEADS, ids=[instead for _, instead, _ in HEADS])
def test_head(project: Project, line: str, instead: str, said: list[str]) -> None:
    path = project.spec("demo", "p: {type: string}")
    path.write_text(path.read_text(encoding="utf-8").replace(line, instead), encoding="utf-8")
    assert project.errors() == [f"specs/demo.yaml:{line}" for line in said]


EXAMPLES: list[tuple[str, list[str]]] = [
    (
        "{promt: x, image: https://e.com/a}",
        [
            "18:22: the example: lacks the required prompt, at examples[0].input",
            "18:23: the example: promt is no parameter, at examples[0].input.promt; did you mean prompt?",
        ],
    ),
    (
        '{prompt: x, five: "5"}',
        ['18:40: the example: five "5" is not of type integer, at examples[0].input.five; did you mean 5?'],
    ),
    (
        "{prompt: x, items: [a, bcd]}",
        [
            '18:45: the example: items[1] "bcd" has 3 characters, which is above maxLength 2, at examples[0].input.items[1]'
        ],
    ),
    (
        '{prompt: "@I2", items: [a], image: https://e.com/a}',
        ["18:22: the example: prompt names @I2, but items has 1 items, at examples[0].input"],
    ),
    (
        "{prompt: x, five: 10, image: https://e.com/a}",
        ["18:22: the example: five needs items, which is not given, at examples[0].input"],
    ),
    # `text` has a default, which does not count as given.
    (
        "{prompt: x}",
        ["18:22: the example: is incomplete, at examples[0].input; allowed: at least one of image, text"],
    ),
    (
        "{prompt: x, image: null}",
        ["18:22: the example: is incomplete, at examples[0].input; allowed: at least one of image, text"],
    ),
    (
        "{prompt: x, image: https://e.com/a, text: b}",
        [
            "18:22: the example: gives image and text together, at examples[0].input; allowed: only one of image, text"
        ],
    ),
]


@pytest.mark.parametrize(("given", "found"), EXAMPLES, ids=[given for given, _ in EXAMPLES])
def test_example(project: Project, given: str, found: list[str]) -> None:
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
    rest = f"rules: {json.dumps(rules)}\nlint: []\nexamples:\n  - {{name: a, input: {given}}}\n"
    project.spec("demo", properties, required="prompt", rest=rest)
    assert project.errors() == [f"specs/demo.yaml:{line}" for line in found]


def test_an_example_without_the_value_that_a_rule_needs(project: Project) -> None:
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


def test_an_example_is_not_judged_by_a_rule_that_says_nothing(project: Project) -> None:
    project.spec("demo", "p: {type: string}", rest="rules: [{}]\nexamples: [{name: a, input: {p: x}}]\n")
    [line] = project.errors()
    assert line.startswith("specs/demo.yaml:11:9: a rule has exactly one key, at rules[0]")


def test_an_example_with_a_number_that_python_does_not_read(project: Project) -> None:
    rest = f"""\
        rules: [{{references: {{field: p, token: "@I{{n}}", list: q}}}}]
        examples: [{{name: a, input: {{p: "@I{"9" * 5000}"}}}}]
    """
    project.spec("demo", "p: {type: string}\nq: {type: array, items: {type: string}}", rest=rest)
    [line] = project.errors()
    assert "the example: p names @I999" in line


def test_everything_at_once(project: Project) -> None:
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
        'specs/a.yaml:10:15: "strng" is no type, at input.properties.p.type; allowed: string, integer, number, boolean, array, object, [one of these, "null"]; did you mean string?',
        "specs/a.yaml:11:23: unknown key maxLenght, at input.properties.q.maxLenght; allowed: format, enum, default, minLength, maxLength, description; did you mean maxLength?",
        'specs/a.yaml:12:33: the default "x" is not of type integer, at input.properties.r.default',
        "specs/a.yaml:13:8: 3 is not keys and values, at input.properties.s",
        "specs/a.yaml:14:28: t is no parameter of this model, at rules[0].requires.field",
        "specs/a.yaml:14:48: unknown key limit, at rules[1].limit; allowed: requires, references, at_least_one_of, mutually_exclusive, max_bytes",
        "specs/a.yaml:15:32: the example: u is no parameter, at examples[0].input.u; allowed: p, q, r, s",
        "specs/b.yaml:3:8: not YAML: did not find expected ',' or ']' (while parsing a flow sequence that starts in line 2)",
        *(f"specs/c.yaml:1:1: {name} is missing" for name in missing),
        "specs/c.yaml:2:1: the key 1 is not text; put it in quotes, at 1",
        "specs/c.yaml:3:1: slug is there twice; the first is in line 1, at slug",
        "specs/d.yaml:1:1: the file is empty",
        "specs/e.yml:1:1: the name of a spec ends in .yaml; did you mean e.yaml?",
        "specs/f.yaml:1:1: is not UTF-8 text",
        f"specs/gateway.yaml:{number}:14: the status 400 is there twice, at errors[1].status",
    ]
    assert not project.models.exists()


def test_a_state_of_the_gateway_that_is_there_twice(project: Project) -> None:
    gateway = project.specs / "gateway.yaml"
    text = gateway.read_text("utf-8").replace("name: PROCESSING", "name: QUEUED")
    gateway.write_text(text, "utf-8")
    project.spec("demo", "p: {type: string}")
    number = 1 + text[: text.rindex("name: QUEUED")].count("\n")
    assert project.errors() == [
        f"specs/gateway.yaml:{number}:12: the state QUEUED is there twice, at states[1].name"
    ]


def test_a_folder_that_is_called_like_a_spec(project: Project) -> None:
    project.spec("demo", "p: {type: string}")
    (project.specs / "folder.yaml").mkdir()
    for _ in range(2):
        assert project.errors() == ["specs/folder.yaml:1:1: cannot be read: Is a directory"]


def test_specs_that_cannot_stand_beside_each_other(project: Project) -> None:
    for slug in ("kling-2", "kling.2", "class", "params", "schemas"):
        project.spec(slug, "p: {type: string}")
    project.write("other.yaml", (project.specs / "kling-2.yaml").read_text(encoding="utf-8"))
    taken = "which Python or the generated code calls something else, at slug"
    assert project.errors() == [
        f"specs/class.yaml:1:7: the slug class makes a module class, {taken}",
        "specs/kling.2.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml, at slug",
        "specs/kling.2.yaml:1:7: the module kling_2 is already that of specs/kling-2.yaml, at slug",
        "specs/other.yaml:1:7: the slug kling-2 belongs into a file kling-2.yaml, at slug; did you mean other?",
        "specs/other.yaml:1:7: the slug kling-2 is already that of specs/kling-2.yaml, at slug",
        f"specs/params.yaml:1:7: the slug params makes a class Params, {taken}",
        f"specs/schemas.yaml:1:7: the slug schemas makes a module schemas, {taken}",
    ]


def test_a_slug_is_compared_even_if_its_spec_is_wrong(project: Project) -> None:
    project.spec("kling-2", "p: {type: string}")
    project.spec("kling.2", "p: {type: text}")
    assert "specs/kling.2.yaml:1:7: the class Kling2 is already that of specs/kling-2.yaml, at slug" in (
        project.errors()
    )


def test_no_specs_and_no_gateway(project: Project) -> None:
    (project.specs / "gateway.yaml").unlink()
    assert project.errors() == [
        "specs:1:1: there is no spec in this folder",
        "specs/gateway.yaml:1:1: cannot be read: No such file or directory",
    ]


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
def test_a_value_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    read = Document(f"a: {text}").value
    assert repr(read) == repr({"a": value})  # to Python, 1, 1.0 and True are equal


def test_the_specs_say_the_same_to_another_reader_of_yaml_1_2() -> None:
    root = Path(kling_adapters.__file__).parent.parent
    paths = [*root.glob("specs/*.yaml"), *root.glob("tests/golden/*/specs/*.yaml")]
    assert len(paths) > 6
    for path in paths:
        text = path.read_text(encoding="utf-8")
        other = YAML(typ="safe", pure=True).load(text)
        if "source" in other:
            other["source"]["read"] = str(other["source"]["read"])
        assert repr(Document(text).value) == repr(other), path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 2000 + "]" * 2000, "1:33: this is nested too deeply for a spec: more than 32 levels"),
        ("[\n" * 2000 + "]" * 2000, "33:1: this is nested too deeply for a spec: more than 32 levels"),
        ("- " * 2000 + "a", "1:65: this is nested too deeply for a spec: more than 32 levels"),
        ("".join(f"{' ' * i}a:\n" for i in range(1200)), "33:33: this is nested too deeply for a spec: more than 32 levels"),
        (f'a: "{"[" * 2000}"\nb: ]', "2:4: not YAML: did not find expected node content (while parsing a block node that starts in line 2)"),
        ("".join(f"k{i}: 1\n" for i in range(20_000)), "5000:8: the file has more than 10000 keys and values"),
        ("a: b\nc: \x00", "2:4: not YAML: the character U+0000"),
        ("a\n---\nb", "2:1: another document starts here; allowed: one spec a file"),
        ("- slug: demo", '1:1: [{"slug": "demo"}] is not keys and values'),
        ("demo", '1:1: "demo" is not keys and values'),
    ],
)  # fmt: skip
def test_no_yaml_at_all(project: Project, text: str, said: str) -> None:
    project.spec("demo", "p: {type: string}").write_text(text, encoding="utf-8")
    assert project.errors() == [f"specs/demo.yaml:{said}"]


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


def test_schema_for_editors_says_of_every_key_what_it_is(project: Project) -> None:
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
