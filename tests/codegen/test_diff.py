"""What a change of the specs means to callers, compared with what griffe and JSON Schema say of the same change."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import griffe
import jsonschema_rs
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kling_codegen import ir
from kling_codegen.build import build_package
from kling_codegen.cache import Cache
from kling_codegen.cli import main
from kling_codegen.diff.models import compare_specs
from kling_codegen.diff.parameters import BOUNDS
from kling_codegen.gateway import Gateway
from kling_codegen.keywords import KEYWORDS_OF, RANGES
from kling_codegen.language import Spec
from kling_codegen.load.folder import Specs, load_specs
from kling_codegen.schema import Schema

import kling_adapters

GATEWAY = (Path(kling_adapters.__file__).parents[1] / "specs" / "gateway.yaml").read_text(encoding="utf-8")

BASE = """\
slug: demo
title: Demo
summary: A model for tests.
returns: video
latency_seconds: 60
source: {page: https://example.com/demo, document: demo.txt, read: 2026-01-31}
input:
  required: [prompt]
  properties:
    prompt: {type: string, maxLength: 100, description: What to show.}
    duration: {type: integer, enum: [5, 10], default: 5}
    size: {type: string, enum: ["3", "15"]}
    mode: {type: string, enum: [std, pro], default: pro}
    scale: {type: number, minimum: 0, maximum: 1, default: 0.5}
    seed: {type: integer, minimum: 0}
    note: {type: [string, "null"]}
    image: {type: string, format: uri}
    tail: {type: string, format: uri}
    class: {type: string}
    _top: {type: string}
    flag: {type: boolean}
    views: {type: array, maxItems: 3, items: {type: string, format: uri}}
    elements:
      type: array
      minItems: 1
      items:
        type: object
        required: [front]
        properties:
          front: {type: string, format: uri}
          label: {type: string, minLength: 2}
          weight: {type: integer}
          shots: {type: array, items: {type: object, properties: {length: {type: integer, maximum: 9}}}}
rules:
  - requires: {field: tail, present: [image], equals: {mode: pro}}
  - references: {field: prompt, token: "@Image{n}", list: views}
  - max_bytes: {field: image, bytes: 50}
discrepancies:
  - {about: seed, page: it says both, decision: the first}
  - {about: seed, page: it says neither, decision: none}
examples: []
"""
RULES = BASE[BASE.index("rules:") : BASE.index("discrepancies:")]

# What griffe has no eyes for: annotations and values. It compares names, kinds, bases and signatures.
GRIFFE_SEES = "griffe sees it"
ANNOTATION = "griffe does not compare annotations, where types, null and Literals are"
BOUND = "griffe does not compare the arguments of Field"
KEY = "griffe does not see that the default has gone, which is what makes a field required"
RULE = "griffe does not compare values, where rules and results are"
WIRE = "the attribute keeps its name, only the key of the JSON has another"
READ = "griffe sees no attribute with the old name, which can still be read"
NONE = "nothing breaks"

# (what is written instead of what; the changes; what griffe has to say)
EDITS: list[tuple[str, str, list[str], str]] = [
    # Parameters
    ("    seed: {type: integer, minimum: 0}\n", "", ["breaking: demo seed: parameter integer -> none (calls that set it are refused)"], GRIFFE_SEES),
    ("    seed:", "    more: {type: string}\n    seed:", ["additive: demo more: parameter none -> string (calls that set it are accepted)"], NONE),
    ("[prompt]\n  properties:\n", "[prompt, more]\n  properties:\n    more: {type: string}\n", ["breaking: demo more: required parameter none -> string (calls without it are refused)"], KEY),
    ("[prompt]\n", "[prompt, seed]\n", ["breaking: demo seed: required false -> true (calls without it are refused)"], KEY),
    (
        "[prompt]\n  properties:\n    prompt: {type: string, maxLength: 100, description: What to show.}\n    duration: {type: integer, enum: [5, 10], default: 5}\n",
        "[prompt, duration]\n  properties:\n    prompt: {type: string, maxLength: 100, description: What to show.}\n    duration: {type: integer, enum: [5, 10]}\n",
        ["breaking: demo duration: required false -> true (calls without it are refused)"],
        KEY,
    ),
    ("[prompt]\n", "[]\n", ["additive: demo prompt: required true -> false (calls without it are accepted)"], NONE),
    ("    seed:", "    seeds:", ["breaking: demo seed: parameter integer -> none (calls that set it are refused)", "additive: demo seeds: parameter none -> integer (calls that set it are accepted)"], GRIFFE_SEES),
    ("    note:", "    note-:", ['breaking: demo note: parameter string, "null" -> none (calls that set it are refused)', 'additive: demo note-: parameter none -> string, "null" (calls that set it are accepted)'], GRIFFE_SEES),
    ("    _top:", "    top:", ["breaking: demo _top: parameter string -> none (calls that set it are refused)", "additive: demo top: parameter none -> string (calls that set it are accepted)"], WIRE),
    ("    class:", "    class_: {type: string}\n    class:", ["breaking: demo class: attribute class_ -> class__ (code that reads it fails)", "additive: demo class_: parameter none -> string (calls that set it are accepted)"], "class_ is there before and after, but is another parameter"),
    # Old names
    ("    seed: {type: integer, ", "    seeds: {type: integer, renamed_from: [seed], ", ["warning: demo seeds: name seed -> seeds (calls with the old name are accepted, with a warning)"], READ),
    (BASE[BASE.index("    image:") :], BASE[BASE.index("    image:") :].replace("    image:", "    image_url:").replace("image_url: {", "image_url: {renamed_from: [image], ").replace("present: [image]", "present: [image_url]").replace("field: image,", "field: image_url,"), ["warning: demo image_url: name image -> image_url (calls with the old name are accepted, with a warning)"], READ),
    ("    elements:\n", "    things:\n      renamed_from: [elements]\n", ["breaking: demo things[]: class Element -> Thing (imports of the class fail)", "warning: demo things: name elements -> things (calls with the old name are accepted, with a warning)"], GRIFFE_SEES),
    ("    class: {type: string}", "    kind: {type: string, renamed_from: [class]}", ["breaking: demo kind: attribute class_ -> kind (code that reads it fails)", "warning: demo kind: name class -> kind (calls with the old name are accepted, with a warning)"], GRIFFE_SEES),
    ("    seed: {type: integer, ", "    seed: {renamed_from: [random], type: integer, ", ["additive: demo seed: old name none -> random (calls with it are accepted)"], NONE),
    # Deprecated parameters
    ("flag: {type: boolean}", "flag: {type: boolean, deprecated: {since: 2026-01-31, use: mode}}", ['warning: demo flag: deprecated none -> since "2026-01-31", use mode (calls that set it work, with a warning)'], NONE),
    ("label: {type: string, ", "label: {deprecated: {since: 2026-01-31}, type: string, ", ['warning: demo elements[].label: deprecated none -> since "2026-01-31" (calls that set it work, with a warning)'], NONE),
    # Types and null
    ("seed: {type: integer, ", "seed: {type: number, ", ["additive: demo seed: type integer -> number (fractions are accepted)"], NONE),
    ("scale: {type: number, minimum: 0, maximum: 1, default: 0.5}", "scale: {type: integer, minimum: 0, maximum: 1, default: 1}", ["breaking: demo scale: type number -> integer (values of the old type are refused)"], ANNOTATION),
    ("class: {type: string}", "class: {type: boolean}", ["breaking: demo class: type string -> boolean (values of the old type are refused)"], ANNOTATION),
    ("class: {type: string}", "class: {type: array, items: {type: string}}", ["breaking: demo class: type string -> array (values of the old type are refused)"], ANNOTATION),
    ('{type: [string, "null"]}', "{type: string}", ["breaking: demo note: nullable true -> false (calls with null are refused)"], ANNOTATION),
    ("class: {type: string}", 'class: {type: [string, "null"]}', ["additive: demo class: nullable false -> true (calls with null are accepted)"], NONE),
    # Allowed values
    ("[5, 10]", "[5]", ["breaking: demo duration: enum 5, 10 -> 5 (calls with 10 are refused)"], ANNOTATION),
    ("[5, 10]", "[5, 10, 15]", ["additive: demo duration: enum 5, 10 -> 5, 10, 15 (calls with 15 are accepted)"], NONE),
    ("[5, 10]", "[5, 15]", ["breaking: demo duration: enum 5, 10 -> 5, 15 (calls with 10 are refused)"], ANNOTATION),
    ("class: {type: string}", "class: {type: string, enum: [a]}", ["breaking: demo class: enum none -> a (all but the listed values are refused)"], ANNOTATION),
    ("enum: [std, pro], ", "", ["additive: demo mode: enum std, pro -> none (all but the listed values are accepted)"], NONE),
    ("enum: [std, pro]", "minLength: 3", ["additive: demo mode: enum std, pro -> minLength 3 (all but the listed values are accepted)"], NONE),
    ("seed: {type: integer, minimum: 0}", "seed: {type: integer, enum: [-1, 1]}", ["breaking: demo seed: enum minimum 0 -> -1, 1 (all but the listed values are refused)"], ANNOTATION),
    ("flag: {type: boolean}", "flag: {type: boolean, enum: [true, false]}", [], NONE),
    ("flag: {type: boolean}", "flag: {type: boolean, enum: [true]}", ["breaking: demo flag: enum true, false -> true (calls with false are refused)"], ANNOTATION),
    ("enum: [5, 10], ", "", ['breaking: demo duration: alternate form accepted -> refused (alternate forms such as "5" for 5 are refused)', "additive: demo duration: enum 5, 10 -> none (all but the listed values are accepted)"], ANNOTATION),
    ('["3", "15"]', '["3", "15", auto]', ['breaking: demo size: alternate form accepted -> refused (alternate forms such as "5" for 5 are refused)', 'additive: demo size: enum "3", "15" -> "3", "15", auto (calls with auto are accepted)'], ANNOTATION),
    ('{type: string, enum: ["3", "15"]}', "{type: integer, enum: [3, 15]}", ["breaking: demo size: type string -> integer (values of the old type are refused)"], ANNOTATION),
    # Ranges, lengths, items, format
    ("maximum: 1,", "maximum: 0.75,", ["breaking: demo scale: maximum 1 -> 0.75 (larger numbers are refused)"], BOUND),
    ("maximum: 1,", "maximum: 2,", ["additive: demo scale: maximum 1 -> 2 (larger numbers are accepted)"], NONE),
    ("minimum: 0}", "minimum: 1}", ["breaking: demo seed: minimum 0 -> 1 (smaller numbers are refused)"], BOUND),
    ("minimum: 0}", "minimum: 0, maximum: 7}", ["breaking: demo seed: maximum none -> 7 (larger numbers are refused)"], BOUND),
    (", minimum: 0}", "}", ["additive: demo seed: minimum 0 -> none (smaller numbers are accepted)"], NONE),
    ("maxLength: 100", "maxLength: 99", ["breaking: demo prompt: maxLength 100 -> 99 (longer texts are refused)"], BOUND),
    ("maxLength: 100", "maxLength: 200", ["additive: demo prompt: maxLength 100 -> 200 (longer texts are accepted)"], NONE),
    ("class: {type: string}", "class: {type: string, minLength: 1}", ["breaking: demo class: minLength none -> 1 (shorter texts are refused)"], BOUND),
    ("maxItems: 3, ", "", ["additive: demo views: maxItems 3 -> none (longer lists are accepted)"], NONE),
    ("maxItems: 3", "maxItems: 2", ["breaking: demo views: maxItems 3 -> 2 (longer lists are refused)"], BOUND),
    ("minItems: 1\n", "minItems: 2\n", ["breaking: demo elements: minItems 1 -> 2 (shorter lists are refused)"], BOUND),
    ("class: {type: string}", "class: {type: string, format: uri}", ["breaking: demo class: format none -> uri (texts that are not URLs are refused)"], ANNOTATION),
    ("{type: string, format: uri}}\n", "{type: string}}\n", ["additive: demo views[]: format uri -> none (texts that are not URLs are accepted)"], NONE),
    # Within lists and objects
    ("maxItems: 3, items: {type: string, format: uri}", "maxItems: 3, items: {type: integer}", ["breaking: demo views[]: type string -> integer (values of the old type are refused)"], ANNOTATION),
    ("[front]", "[front, label]", ["breaking: demo elements[].label: required false -> true (calls without it are refused)"], KEY),
    ("          label: {type: string, minLength: 2}\n", "", ["breaking: demo elements[].label: parameter string -> none (calls that set it are refused)"], GRIFFE_SEES),
    ("minLength: 2", "minLength: 3", ["breaking: demo elements[].label: minLength 2 -> 3 (shorter texts are refused)"], BOUND),
    ("          label:", "          extra: {type: string}\n          label:", ["additive: demo elements[].extra: parameter none -> string (calls that set it are accepted)"], NONE),
    ("maximum: 9", "maximum: 8", ["breaking: demo elements[].shots[].length: maximum 9 -> 8 (larger numbers are refused)"], BOUND),
    ("{length: {type: integer, maximum: 9}}", "{size: {type: integer}}", ["breaking: demo elements[].shots[].length: parameter integer -> none (calls that set it are refused)", "additive: demo elements[].shots[].size: parameter none -> integer (calls that set it are accepted)"], GRIFFE_SEES),
    ("items: {type: object, properties: {length: {type: integer, maximum: 9}}}", "items: {type: integer}", ["breaking: demo elements[].shots[]: type object -> integer (values of the old type are refused)"], GRIFFE_SEES),
    ("    elements:\n", "    element: {type: object, properties: {a: {type: string}}}\n    elements:\n", ["breaking: demo elements[]: class Element -> Element1 (imports of the class fail)", "additive: demo element: parameter none -> object (calls that set it are accepted)"], GRIFFE_SEES),
    # Text or a list
    ("class: {type: string}", "class: {type: string, or: {type: array, items: {type: string}}}", ["additive: demo class: type string -> string, array (values of type array are accepted)"], NONE),
    ("{type: array, maxItems: 3, items: {type: string, format: uri}}", "{type: string, or: {type: array, maxItems: 2, items: {type: string, format: uri}}}", ["breaking: demo views: maxItems 3 -> 2 (longer lists are refused)", "additive: demo views: type array -> string, array (values of type string are accepted)"], BOUND),
    # Defaults
    ("default: 5}", "default: 10}", ["warning: demo duration: default 5 -> 10 (calls that do not set it may have another result)"], NONE),
    (", default: 0.5}", "}", ["warning: demo scale: default 0.5 -> none (calls that do not set it may have another result)"], NONE),
    ("minimum: 0}", "minimum: 0, default: 7}", ["warning: demo seed: default none -> 7 (calls that do not set it may have another result)"], NONE),
    ("default: pro}", "default: std}", ["breaking: demo mode: default pro -> std (a rule applies it to calls that do not set it, and may refuse them)"], RULE),
    (", default: pro}", "}", ["breaking: demo mode: default pro -> none (a rule applies it to calls that do not set it, and may refuse them)"], RULE),
    ("class: {type: string}", 'class: {type: string, default: ""}', ['warning: demo class: default none -> "" (calls that do not set it may have another result)'], NONE),
    # Rules and results
    ("rules:\n", "rules:\n  - requires: {field: seed, present: [note]}\n", ["breaking: demo seed: rule none -> requires note (calls that break it are refused)"], RULE),
    (", equals: {mode: pro}", "", ["additive: demo tail: rule requires mode pro -> none (calls that break it are accepted)"], NONE),
    ("equals: {mode: pro}", "equals: {mode: std}", ["breaking: demo tail: rule none -> requires mode std (calls that break it are refused)", "additive: demo tail: rule requires mode pro -> none (calls that break it are accepted)"], RULE),
    ("present: [image]", "present: [image, seed]", ["breaking: demo tail: rule none -> requires seed (calls that break it are refused)"], RULE),
    ('  - references: {field: prompt, token: "@Image{n}", list: views}\n', "", ['additive: demo prompt: rule references token "@Image{n}", list views -> none (calls that break it are accepted)'], NONE),
    ("list: views}", "list: elements}", ['breaking: demo prompt: rule none -> references token "@Image{n}", list elements (calls that break it are refused)', 'additive: demo prompt: rule references token "@Image{n}", list views -> none (calls that break it are accepted)'], RULE),
    ("bytes: 50}", "bytes: 40}", ["breaking: demo image: max_bytes 50 -> 40 (larger files are refused)"], RULE),
    ("bytes: 50}", "bytes: 60}", ["additive: demo image: max_bytes 50 -> 60 (larger files are accepted)"], NONE),
    ("rules:\n", "rules:\n  - max_bytes: {field: tail, bytes: 9}\n", ["breaking: demo tail: max_bytes none -> 9 (larger files are refused)"], RULE),
    ("rules:\n", "rules:\n  - at_least_one_of: [tail, note]\n", ["breaking: demo note, tail: rule none -> at_least_one_of note, tail (calls that break it are refused)"], RULE),
    ("rules:\n", "rules:\n  - mutually_exclusive: [tail, note]\n", ["breaking: demo note, tail: rule none -> mutually_exclusive note, tail (calls that break it are refused)"], RULE),
    ("rules:\n", "rules:\n  - exactly_one_of: [tail, note]\n", ["breaking: demo note, tail: rule none -> at_least_one_of note, tail (calls that break it are refused)", "breaking: demo note, tail: rule none -> mutually_exclusive note, tail (calls that break it are refused)"], RULE),
    ("rules:\n", "rules:\n  - when: {equals: {mode: std}, then: {maximum: {duration: 5}, forbidden: [tail]}}\n", ['breaking: demo duration, mode: maximum when {"mode": "std"} none -> 5 (larger numbers are refused)', "breaking: demo tail, mode: rule none -> when mode std, then forbidden (calls that break it are refused)"], RULE),
    ("rules:\n", "rules:\n  - when: {present: [elements.label], then: {max_length: {elements.label: 5}}}\n", ['breaking: demo elements.label: max_length when {"set": ["elements.label"]} none -> 5 (longer texts are refused)'], RULE),
    ("rules:\n", "rules:\n  - sum: {of: elements.weight, equals: scale, minimum: 1}\n", ["breaking: demo elements.weight: sum minimum none -> 1 (smaller sums are refused)", 'breaking: demo elements.weight, scale: rule none -> sum of "elements.weight", equals scale (calls that break it are refused)'], RULE),
    ("rules:\n", "rules:\n  - max_bytes: {field: elements.front, bytes: 9}\n", ["breaking: demo elements.front: max_bytes none -> 9 (larger files are refused)"], RULE),
    ("returns: video", "returns: image", ["breaking: demo: returns video -> image (results are of another kind)"], RULE),
    ("latency_seconds: 60", "latency_seconds: 60\nretired: {since: 2026-01-31, use: demo-next}", ['breaking: demo: retired none -> since "2026-01-31", use "demo-next" (submits of it are refused)'], RULE),
    # Documentation
    ("What to show.", "What it shows.", ['documentation: demo prompt: description "What to show." -> "What it shows." (calls and results stay the same)'], NONE),
    ("title: Demo", "title: Other", ["documentation: demo: title Demo -> Other (calls and results stay the same)"], NONE),
    ("A model for tests.", "Another.", ['documentation: demo: summary "A model for tests." -> "Another." (calls and results stay the same)'], NONE),
    ("latency_seconds: 60", "latency_seconds: 61", ["documentation: demo: latency_seconds 60.0 -> 61.0 (calls and results stay the same)"], NONE),
    ("2026-01-31", "2026-02-01", ['documentation: demo: source.read "2026-01-31" -> "2026-02-01" (calls and results stay the same)'], NONE),
    ("examples: []", "examples: [{name: other, input: {prompt: z}}]", ["documentation: demo: examples.other none -> name other, input prompt z (calls and results stay the same)"], NONE),
    ("latency_seconds: 60", "latency_seconds: 60\npricing: {currency: USD, from: 0.504, to: 8.40, unit: generation}", ["documentation: demo: pricing none -> currency USD, from 0.504, to 8.4, unit generation (calls and results stay the same)"], NONE),
    ("decision: none", "decision: both", ['documentation: demo: discrepancies.1.decision "none" -> both (calls and results stay the same)'], NONE),
    # Partial models
    ("document: demo.txt,", "document: demo.txt, unseen: the rest,", ["additive: demo: unknown parameters refused -> accepted (parameters that the spec does not have are accepted)", 'documentation: demo: source.unseen none -> "the rest" (calls and results stay the same)'], NONE),
    ("{type: string, format: uri}\n    tail", "{type: string, format: uri, media: image}\n    tail", ["breaking: demo image: media none -> image (files of another kind are refused)"], ANNOTATION),
    # Nothing
    ("[5, 10]", "[10, 5]", [], NONE),
    ("maximum: 1,", "maximum: 1.0,", [], NONE),
    ("class: {type: string}", "class: {type: string, minLength: 0}", [], NONE),
    ('    seed: {type: integer, minimum: 0}\n    note: {type: [string, "null"]}\n', '    note: {type: [string, "null"]}\n    seed: {minimum: 0, type: integer}\n', [], NONE),
    ("  - requires: {field: tail, present: [image], equals: {mode: pro}}\n", "  - requires: {field: tail, equals: {mode: pro}}\n  - requires: {field: tail, present: [image]}\n", [], NONE),
    ("bytes: 50}", "bytes: 50}\n  - max_bytes: {field: image, bytes: 90}", [], NONE),
    (RULES, "rules:\n" + "\n".join(reversed(RULES.splitlines()[1:])) + "\n", [], NONE),
    # What was required is given in every call that there was.
    (BASE[BASE.index("[prompt]\n") :], BASE[BASE.index("[prompt]\n") :].replace("[prompt]", "[]").replace("rules:\n", "rules:\n  - at_least_one_of: [prompt, note]\n"), ["additive: demo prompt: required true -> false (calls without it are accepted)"], NONE),
    (BASE[BASE.index("[prompt]\n") :], BASE[BASE.index("[prompt]\n") :].replace("[prompt]", "[]").replace("rules:\n", "rules:\n  - requires: {field: seed, present: [prompt]}\n"), ["additive: demo prompt: required true -> false (calls without it are accepted)"], NONE),
    # A rule of a new parameter refuses no call that there was.
    (BASE[BASE.index("    seed:") :], "    more: {type: string}\n" + BASE[BASE.index("    seed:") :].replace("rules:\n", "rules:\n  - requires: {field: more, present: [image]}\n"), ["additive: demo more: parameter none -> string (calls that set it are accepted)"], NONE),
]  # fmt: skip


def specs(folder: Path, demo: str = BASE, gateway: str = GATEWAY, **extra: str) -> Path:
    """Write a folder of specs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"demo": demo, "gateway": gateway, **extra}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


def changes(old: Path, new: Path) -> list[str]:
    return [str(change) for change in compare_specs(load_specs(old), load_specs(new))]


@pytest.fixture(scope="module")
def edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two trees, in which each edit has a model of its own: demo-0, demo-1 and so on."""
    folder = tmp_path_factory.mktemp("edits")
    for index, (original, put, _, _) in enumerate(EDITS):
        assert BASE.count(original) == 1, original
        for side, text in (("old", BASE), ("new", BASE.replace(original, put))):
            slug = f"demo-{index}"
            specs(folder / side, **{slug: text.replace("slug: demo", f"slug: {slug}")})
    return folder


def test_edits(edits: Path) -> None:
    original = compare_specs(load_specs(edits / "old"), load_specs(edits / "new"))
    assert {change.model for change in original} <= {f"demo-{index}" for index in range(len(EDITS))}
    lines = [
        [str(change).replace(change.model, "demo") for change in original if change.model == f"demo-{index}"]
        for index in range(len(EDITS))
    ]
    assert lines == [expected for _, _, expected, _ in EDITS]


def api(folder: Path, side: str) -> griffe.Object | griffe.Alias:
    """Return what griffe sees in the package that is generated from a folder of specs."""
    package = folder / "api" / side / "models"
    for name, text in build_package(folder / side, ir.CORE, Cache(None)).files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    return griffe.load("models", search_paths=[package.parent], allow_inspection=False)


def breakages(folder: Path) -> list[griffe.Breakage]:
    return list(griffe.find_breaking_changes(api(folder, "old"), api(folder, "new")))


def test_griffe_agrees(edits: Path) -> None:
    """Whatever griffe finds is breaking here too; where only griffe finds nothing, the table says why."""
    modules = {entry.obj.path.split(".")[1] for entry in breakages(edits)}
    assert modules == {
        f"demo_{index}" for index, (*_, says) in enumerate(EDITS) if says in (GRIFFE_SEES, READ)
    }
    for _, _, expected, says in EDITS:
        assert any(line.startswith("breaking: ") for line in expected) == (says not in (NONE, READ)), expected


def test_griffe_agrees_about_whole_models(tmp_path: Path) -> None:
    specs(tmp_path / "old", other=BASE.replace("slug: demo", "slug: other"))
    specs(tmp_path / "new", another=BASE.replace("slug: demo", "slug: another"))
    assert {entry.obj.path for entry in breakages(tmp_path)} >= {"models.other", "models.Other"}
    assert changes(tmp_path / "old", tmp_path / "new") == [
        "breaking: other: model Demo -> none (calls of it are refused)",
        "warning: another: model none -> Demo (calls of it are accepted; a package that registers the same slug loses it)",
    ]


def test_where_griffe_is_wrong(tmp_path: Path) -> None:
    """A TypedDict with the key class is written as a call. It is the same type, and no code breaks."""
    without = BASE.replace("    class: {type: string}\n", "")
    specs(tmp_path / "old", without)
    specs(tmp_path / "new")
    assert [(entry.kind, entry.obj.path) for entry in breakages(tmp_path)] == [
        (griffe.BreakageKind.OBJECT_CHANGED_KIND, "models.demo.DemoInput")
    ]
    assert changes(tmp_path / "old", tmp_path / "new") == [
        "additive: demo class: parameter none -> string (calls that set it are accepted)"
    ]


LATER = "(it expires later)"
SAME = "(calls and results stay the same)"
BREAKS = "(code that relies on it breaks)"
GATEWAY_EDITS = [
    ("https://api.segmind.com", "https://api.example.com", ['breaking: gateway base_url: value "https://api.segmind.com" -> "https://api.example.com" (the key goes to another host)']),
    ("SEGMIND_API_KEY", "OTHER", [f"breaking: gateway key.environment: value SEGMIND_API_KEY -> OTHER {BREAKS}"]),
    ("x-api-key", "key", ['warning: gateway key.header: value "x-api-key" -> key (requests look different, calls stay the same)']),
    ("/v2/{slug}", "/v3/{slug}", ['warning: gateway paths.submit: value "/v2/{slug}" -> "/v3/{slug}" (requests look different, calls stay the same)']),
    ("3600", "1800", ["breaking: gateway record_lifetime_seconds: value 3600 -> 1800 (it expires sooner)"]),
    ("604800", "704800", [f"additive: gateway output_lifetime_seconds: value 604800 -> 704800 {LATER}"]),
    ("https://api.spotprod.segmind.com/inference-request/request-history", "https://example.com/h", ['breaking: gateway history_url: value "https://api.spotprod.segmind.com/inference-request/reque... -> "https://example.com/h" (the key goes to another host)']),
    ("max_per_page: 100", "max_per_page: 50", ["warning: gateway history.max_per_page: value 100 -> 50 (the request history is read as it says)"]),
    ("    - how long all this stays as it is\n", "", [f'documentation: gateway history.uncertain: value "the delay after which a request is listed, and whether i... -> "the delay after which a request is listed, and whether i... {SAME}']),
    ("  price: 1 #", "  price: 2 #", ["warning: gateway credit.price: value 1.0 -> 2.0 (prices are estimated as it says)"]),
    ("  source: client\n", "  source: docs\n", [f"documentation: gateway credit.source: value client -> docs {SAME}"]),
    ("name: QUEUED", "name: WAITING", [f'breaking: gateway states.QUEUED: value name QUEUED, meaning "accepted and waiting for a worker",... -> none {BREAKS}', 'additive: gateway states.WAITING: value none -> name WAITING, meaning "accepted and waiting for a worker"... (jobs may be in it)']),
    ("worker, terminal: false}\n  - {name: P", "worker, terminal: true}\n  - {name: P", [f"breaking: gateway states.QUEUED.terminal: value false -> true {BREAKS}"]),
    ("running on a worker", "at work", [f'documentation: gateway states.PROCESSING.meaning: value "running on a worker" -> "at work" {SAME}']),
    ("status: 410", "status: 409", [f'breaking: gateway errors.410: value status 410, name ModelRetired, meaning "the model is no l... -> none {BREAKS}', 'warning: gateway errors.409: value none -> status 409, name ModelRetired, meaning "the model is no l... (submits with this answer are handled as it says)']),
    ("name: ModelRetired", "name: Retired", [f"breaking: gateway errors.410.name: value ModelRetired -> Retired {BREAKS}"]),
    ("too many requests, submit: safe", "too many requests, submit: never", [f"breaking: gateway errors.429.submit: value safe -> never {BREAKS}"]),
    ("waiting, submit: uncertain", "waiting, submit: safe", ["warning: gateway errors.504.submit: value uncertain -> safe (submits with this answer are repeated)"]),
    ("submit: never, source: digest}\n  - {status: 422", "submit: never, source: docs}\n  - {status: 422", [f"documentation: gateway errors.410.source: value digest -> docs {SAME}"]),
    ("  - {name: QUEUED, meaning: accepted and waiting for a worker, terminal: false}\n  - {name: PROCESSING, meaning: running on a worker, terminal: false}\n", "  - {name: PROCESSING, meaning: running on a worker, terminal: false}\n  - {name: QUEUED, meaning: accepted and waiting for a worker, terminal: false}\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("original", "put", "expected"), GATEWAY_EDITS)
def test_gateway(tmp_path: Path, original: str, put: str, expected: list[str]) -> None:
    assert GATEWAY.count(original) == 1
    new = specs(tmp_path / "new", gateway=GATEWAY.replace(original, put))
    assert changes(specs(tmp_path / "old"), new) == expected


def test_specs_of_a_package_have_no_gateway(tmp_path: Path) -> None:
    old = specs(tmp_path / "old")
    new = specs(tmp_path / "new", BASE.replace("title: Demo", "title: Other"))
    for folder in (old, new):
        (folder / "gateway.yaml").unlink()
    assert changes(old, new) == [f"documentation: demo: title Demo -> Other {SAME}"]


def test_examples_are_known_by_their_name(tmp_path: Path) -> None:
    first, second = "{name: one, input: {prompt: x}}", "{name: two, input: {prompt: y}}"
    old = specs(tmp_path / "old", BASE.replace("[]", f"[{first}, {second}]"))
    new = specs(tmp_path / "new", BASE.replace("[]", f"[{second}, {first.replace('x', 'z')}]"))
    assert changes(old, new) == [f"documentation: demo: examples.one.input.prompt x -> z {SAME}"]


OLD_NAMES = [
    ("[a, b]", "[a]", "breaking: demo seed: old name b -> none (calls with it are refused)"),
    ("[a, b]", "[a, c, b]", "additive: demo seed: old name none -> c (calls with it are accepted)"),
    ("{renamed_from: [a, b], type: integer, minimum: 0}", "{renamed_from: [b], type: integer, minimum: 0}\n    a: {type: string}", "breaking: demo a: old name of seed -> none (calls with the old name set another parameter)"),
    ("seed: {renamed_from: [a, b]", "c: {renamed_from: [a, b, seed]", "warning: demo c: name seed -> c (calls with the old name are accepted, with a warning)"),
    ("seed: {renamed_from: [a, b]", "c: {renamed_from: [seed]", "breaking: demo c: old name a -> none (calls with it are refused)"),
    ("    seed: {renamed_from: [a, b], type: integer, minimum: 0}\n", "", "breaking: demo seed: parameter integer -> none (calls that set it are refused)"),
]  # fmt: skip


@pytest.mark.parametrize(("original", "put", "expected"), OLD_NAMES)
def test_old_names(tmp_path: Path, original: str, put: str, expected: str) -> None:
    base = BASE.replace("seed: {type", "seed: {renamed_from: [a, b], type")
    assert base.count(original) == 1
    assert (
        changes(specs(tmp_path / "old", base), specs(tmp_path / "new", base.replace(original, put)))[0]
        == expected
    )


def test_every_key_of_the_language_is_compared() -> None:
    """A new key needs a decision about the effect of its change on callers; all others are documentation."""
    compared = {
        "type",
        "enum",
        "format",
        "items",
        "media",
        "other_form",
        "properties",
        "required",
        "default",
        "description",
        "renamed_from",
        "deprecated",
    }
    compared |= {"renamed_from", "deprecated"}
    assert set(Schema.model_fields) == compared | BOUNDS.keys()
    assert {key for pair in RANGES for key in pair} == BOUNDS.keys()
    assert set(KEYWORDS_OF) == {"string", "integer", "number", "boolean", "array", "object"}


RETIREMENTS = [
    ("", "{since: 2026-01-31}", 'breaking: demo: retired none -> since "2026-01-31" (submits of it are refused)', "major (while it is 0.x: minor)"),
    ("{since: 2026-01-31}", "", 'additive: demo: retired since "2026-01-31" -> none (submits of it are accepted)', "minor (while it is 0.x: patch)"),
    ("{since: 2026-01-31}", "{since: 2026-01-31, use: other}", 'documentation: demo: retired since "2026-01-31" -> since "2026-01-31", use other (calls and results stay the same)', "patch (while it is 0.x: patch)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected", "version"), RETIREMENTS)
def test_retirement(tmp_path: Path, old: str, new: str, expected: str, version: str) -> None:
    folders = [
        specs(tmp_path / side, BASE.replace("input:\n", f"retired: {value}\ninput:\n", 1) if value else BASE)
        for side, value in (("old", old), ("new", new))
    ]
    assert run(*folders).stdout.splitlines() == [expected, f"version: {version}"]


def test_slug_that_is_new_in_the_core_is_not_a_patch(tmp_path: Path) -> None:
    old, new = (
        specs(tmp_path / "old"),
        specs(tmp_path / "new", other=BASE.replace("slug: demo", "slug: other")),
    )
    assert run(old, new).stdout.splitlines() == [
        "warning: other: model none -> Demo (calls of it are accepted; a package that registers the same slug loses it)",
        "version: minor (while it is 0.x: minor)",
    ]
    for folder in (old, new):
        (folder / "gateway.yaml").unlink()
    assert run(old, new).stdout.splitlines()[-1] == "version: minor (while it is 0.x: patch)"


VERSIONS = [
    ("[5, 10]", "[5]", 1, "major (while it is 0.x: minor)"),
    ("default: 5}", "default: 10}", 0, "minor (while it is 0.x: minor)"),
    ("[5, 10]", "[5, 10, 15]", 0, "minor (while it is 0.x: patch)"),
    ("title: Demo", "title: Other", 0, "patch (while it is 0.x: patch)"),
    ("[5, 10]", "[10, 5]", 0, "none (while it is 0.x: none)"),
]


@pytest.mark.parametrize(("original", "put", "code", "version"), VERSIONS)
def test_exit_code_and_version(tmp_path: Path, original: str, put: str, code: int, version: str) -> None:
    result = run(specs(tmp_path / "old"), specs(tmp_path / "new", BASE.replace(original, put)))
    assert (result.exit_code, result.stderr) == (code, "")
    assert result.stdout.splitlines()[-1] == f"version: {version}"


def test_tree_and_itself(tmp_path: Path) -> None:
    old = specs(tmp_path / "old")
    assert run(old, old).stdout == f"{old} and {old} say the same\nversion: none (while it is 0.x: none)\n"
    assert json.loads(run(old, old, "--format", "json").stdout)["changes"] == []
    assert run(old, old, "--format", "markdown").stdout.count("|") == 0


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A change of each level, and some that Markdown could take for its own."""
    monkeypatch.chdir(tmp_path)
    after = BASE.replace("[5, 10], default: 5", "[5, 15], default: 15").replace("maxItems: 3", "maxItems: 4")
    specs(Path("old"))
    specs(Path("new"), after.replace("What to show.", "With `a|b` and @Element1."))
    return tmp_path


MARKDOWN = """\
### Specs: `old` to `new`

Version: **major** (while it is 0.x: **minor**)

#### Breaking: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `duration` | `enum 5, 10 -> 5, 15` | calls with 10 are refused |

#### Warning: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `duration` | `default 5 -> 15` | calls that do not set it may have another result |

#### Additive: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `views` | `maxItems 3 -> 4` | longer lists are accepted |

#### Documentation: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `prompt` | `` description "What to show." -> "With `a\\|b` and @Element1." `` | calls and results stay the same |
"""


@pytest.mark.usefixtures("two")
def test_markdown() -> None:
    result = run("old", "new", "--format", "markdown")
    assert (result.exit_code, result.stdout) == (1, MARKDOWN)


@pytest.mark.usefixtures("two")
def test_json() -> None:
    result = run("old", "new", "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "old": "old",
        "new": "new",
        "version": "major",
        "version_0x": "minor",
        "changes": [
            {"level": "breaking", "model": "demo", "path": "duration", "aspect": "enum", "before": [5, 10], "after": [5, 15], "effect": "calls with 10 are refused"},
            {"level": "warning", "model": "demo", "path": "duration", "aspect": "default", "before": 5, "after": 15, "effect": "calls that do not set it may have another result"},
            {"level": "additive", "model": "demo", "path": "views", "aspect": "maxItems", "before": 3, "after": 4, "effect": "longer lists are accepted"},
            {"level": "documentation", "model": "demo", "path": "prompt", "aspect": "description", "before": "What to show.", "after": "With `a|b` and @Element1.", "effect": "calls and results stay the same"},
        ],
    }  # fmt: skip


def test_absent_side_is_left_out_of_json(tmp_path: Path) -> None:
    new = specs(tmp_path / "new", BASE.replace("    class: {type: string}\n", ""))
    [change] = json.loads(run(specs(tmp_path / "old"), new, "--format", "json").stdout)["changes"]
    assert "after" not in change
    assert change["before"] == "string"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three commits: the base, tagged v0.1.0; a value dropped; a spec that does not load. In catalogue/specs."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "Test")
    git("config", "user.email", "test@example.com")
    for text in (BASE, BASE.replace("[5, 10]", "[5]"), BASE.replace("[5, 10]", "[6]")):
        specs(tmp_path / "catalogue" / "specs", text)
        git("add", ".")
        git("commit", "--quiet", "--message", "specs")
    git("tag", "v0.1.0", "HEAD~2")
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


DROPPED = "breaking: demo duration: enum 5, 10 -> 5 (calls with 10 are refused)"
VERSION = "version: major (while it is 0.x: minor)"


def test_revisions(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("v0.1.0", "HEAD~1", "--specs", "catalogue/specs")
    assert (result.exit_code, result.stdout.splitlines(), result.stderr) == (1, [DROPPED, VERSION], "")
    assert run("v0.1.0", "HEAD~2", "--specs", "catalogue/specs").exit_code == 0
    # From within the repository, the default is that of the working folder.
    monkeypatch.chdir(repository / "catalogue")
    assert run("v0.1.0", "HEAD~1").stdout.splitlines() == [DROPPED, VERSION]
    specs(Path("specs"), BASE.replace("[5, 10]", "[5]"))
    assert run("v0.1.0", "specs").stdout.splitlines() == [DROPPED, VERSION]


def test_specs_that_do_not_load(repository: Path) -> None:
    broken = specs(repository / "broken", BASE.replace("[5, 10]", "[7]"))
    result = run("HEAD", broken, "--specs", "catalogue/specs")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "OLD cannot be compared:",
        "HEAD:catalogue/specs/demo.yaml:11:51: the default 5 is not allowed, at input.properties.duration.default; allowed: 6",
        "NEW cannot be compared:",
        f"{broken}/demo.yaml:11:51: the default 5 is not allowed, at input.properties.duration.default; allowed: 7",
    ]


def test_invalid_sides_are_refused(repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    result = run("v9", "HEAD")
    assert (result.exit_code, result.stderr.splitlines()) == (
        2,
        [
            "OLD cannot be compared:",
            "v9 is neither a folder nor a git revision",
            "NEW cannot be compared:",
            "HEAD has no folder specs",
        ],
    )
    (repository / "empty").mkdir()
    assert "this folder has no spec" in run("v0.1.0", "empty", "--specs", "catalogue/specs").stderr
    monkeypatch.chdir(tmp_path_factory.mktemp("no-repository"))
    assert "HEAD is neither a folder nor a git revision" in run("HEAD", "HEAD").stderr


# Values that tell any two of the schemas below apart.
LEAVES: list[Any] = [None, True, False, -1, 0, 0.5, 1, 2, 3, 5, "", "a", "bb", "ccc", "5", "https://a.b"]
ENUMS: dict[str, list[Any]] = {
    "string": ["a", "bb", "5", "https://a.b"],
    "integer": [0, 1, 2, 5],
    "boolean": [True, False],
}
LIMITS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Return a schema of the language, without defaults and texts."""
    kinds = ["string", "integer", "number", "boolean", *(["array", "object"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    schema: dict[str, Any] = {"type": kind}
    null = draw(st.booleans())
    if null:
        schema["type"] = [kind, "null"]
    if kind in ENUMS and draw(st.booleans()):
        values = draw(st.lists(st.sampled_from(ENUMS[kind]), min_size=1, unique_by=repr))
        return schema | {"enum": [*values, None] if null else values}
    if kind == "object":
        schema["properties"] = draw(st.dictionaries(st.sampled_from("ab"), schemas(depth - 1), min_size=1))
        schema["required"] = draw(st.lists(st.sampled_from(sorted(schema["properties"])), unique=True))
        return schema
    if kind == "array":
        schema["items"] = draw(schemas(depth - 1))
    if kind == "string" and draw(st.booleans()):
        return schema | {"format": "uri"}
    if kind != "boolean":
        limits = zip(
            LIMITS.get(kind, ("minimum", "maximum")),
            sorted(draw(st.tuples(*[st.integers(0, 3)] * 2))),
            strict=True,
        )
        schema |= {key: limit for key, limit in limits if draw(st.booleans())}
    return schema


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an input of a model before and after an edit: of one keyword somewhere, or of a whole parameter."""
    old = {"properties": {"p": draw(schemas())}, "required": draw(st.sampled_from([[], ["p"]]))}
    return old, edited(draw, old)


def edited(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with another of its keywords, or with one of a schema of its own."""
    if "items" in schema and draw(st.booleans()):
        return schema | {"items": edited(draw, schema["items"])}
    if "properties" in schema and draw(st.booleans()):
        parts = schema["properties"]
        name = draw(st.sampled_from(sorted(parts)))
        return schema | {"properties": parts | {name: edited(draw, parts[name])}}
    second = draw(schemas())
    if "type" not in schema:
        extra = {"properties": {draw(st.sampled_from("pq")): second}, "required": []}
        second = draw(st.sampled_from([extra, schema | {"required": [] if schema["required"] else ["p"]}]))
    elif draw(st.booleans()):
        key = draw(st.sampled_from(sorted(schema.keys() | second.keys())))
        second = {
            name: value for name, value in (schema | {key: second.get(key)}).items() if value is not None
        }
    return second


@cache
def values(depth: int = 2) -> list[Any]:
    """Return values of every shape that the schemas speak of."""
    if not depth:
        return LEAVES
    less = values(depth - 1)
    lists = [[item] * count for item in less for count in (1, 2, 3, 4)]
    objects = [{name: item} for item in less for name in "ab"]
    mixed = [{"a": item, "b": second} for item in less[::3] for second in LEAVES]
    return [*LEAVES, [], *lists, {}, *objects, *mixed]


def model(fields: dict[str, Any]) -> Spec | None:
    head = {
        "slug": "demo",
        "title": "Demo",
        "summary": "A model.",
        "returns": "video",
        "latency_seconds": None,
    }
    source = {"page": "https://example.com", "document": "demo.txt", "read": "2026-01-31"}
    try:
        return Spec.model_validate_json(json.dumps({**head, "source": source, "input": fields}))
    except ValueError:
        return None


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the language as JSON Schema."""
    plain = dict(schema)
    if "items" in schema:
        plain["items"] = closed(schema["items"])
    if "properties" in schema:
        plain["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        plain["additionalProperties"] = False
    if plain.pop("format", None):
        plain["pattern"] = "^https?://[^/]"
    return plain


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs())
def test_json_schema_agrees(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Whatever was valid and no longer is makes a change breaking; whatever is valid only now, at least additive."""
    sides = [Specs(gateway(), (spec,)) for fields in pair if (spec := model(fields)) is not None]
    if len(sides) < 2:
        return
    levels = {change.level for change in compare_specs(*sides)}
    old, new = (jsonschema_rs.validator_for({"type": "object", **closed(fields)}) for fields in pair)
    inputs: list[dict[str, Any]] = [
        {},
        *({"p": value} for value in values()),
        *({"q": value} for value in LEAVES),
    ]
    verdicts = {(old.is_valid(entry), new.is_valid(entry)) for entry in inputs}
    if (True, False) in verdicts:
        assert "breaking" in levels
    if (False, True) in verdicts:
        assert levels & {"breaking", "warning", "additive"}


@cache
def gateway() -> Gateway | None:
    return load_specs(Path(kling_adapters.__file__).parents[1] / "specs").gateway


CONDITIONS = [
    # The two sides of a rule `when`, and the changes between them.
    ("{equals: {mode: std}, then: {maximum: {duration: 5}}}", "{equals: {mode: [std]}, then: {maximum: {duration: 5}}}", []),
    ("{equals: {mode: std}, then: {maximum: {duration: 5}}}", "{equals: {mode: std}, then: {maximum: {duration: 10}}}", ['additive: maximum when {"mode": "std"} 5 -> 10']),
    ("{equals: {mode: std}, then: {minimum: {duration: 5}}}", "{equals: {mode: std}, then: {minimum: {duration: 10}}}", ['breaking: minimum when {"mode": "std"} 5 -> 10']),
    ("{equals: {mode: std}, then: {required: [note]}}", "{equals: {mode: [std, pro]}, then: {required: [note]}}", ["breaking: rule none -> when mode pro, then required"]),
    ("{equals: {mode: [pro, std]}, then: {required: [note]}}", "{equals: {mode: std}, then: {required: [note]}}", ["additive: rule when mode pro, then required -> none"]),
    ("{equals: {mode: std}, then: {allowed: {duration: [5, 10]}}}", "{equals: {mode: std}, then: {allowed: {duration: [10]}}}", ['breaking: allowed when {"mode": "std"} 5, 10 -> 10']),
    ("{equals: {mode: std}, then: {allowed: {duration: [10]}}}", "{equals: {mode: std}, then: {allowed: {duration: [10, 5]}}}", ['additive: allowed when {"mode": "std"} 10 -> 10, 5']),
    ("{equals: {mode: std}, then: {allowed: {duration: [5, 10]}}}", "{equals: {mode: std}, then: {allowed: {duration: [10, 5]}}}", []),
    ("{present: [seed, tail], then: {forbidden: [note]}}", "{present: [tail, seed], then: {forbidden: [note]}}", []),
    ("{present: [seed], then: {forbidden: [note]}}", "{present: [seed, tail], then: {forbidden: [note]}}", ["breaking: rule none -> when set seed, tail, then forbidden", "additive: rule when set seed, then forbidden -> none"]),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "expected"), CONDITIONS)
def test_conditions(tmp_path: Path, first: str, second: str, expected: list[str]) -> None:
    old, new = (
        specs(tmp_path / side, BASE.replace("rules:\n", f"rules:\n  - when: {rule}\n"))
        for side, rule in (("old", first), ("new", second))
    )
    lines = [f"{line.split(':')[0]}:{line.split(':', 2)[2].split(' (')[0]}" for line in changes(old, new)]
    assert lines == expected


def test_default_that_makes_a_condition_hold_is_breaking(tmp_path: Path) -> None:
    rule = "rules:\n  - when: {equals: {mode: std}, then: {required: [note]}}\n"
    base = BASE.replace("rules:\n", rule)
    old, new = (
        specs(tmp_path / "old", base),
        specs(tmp_path / "new", base.replace("default: pro", "default: std")),
    )
    assert [line.split(":")[0] for line in changes(old, new)] == ["breaking"]


def test_rules_that_exactly_one_of_replaces_are_no_change(tmp_path: Path) -> None:
    pair = "rules:\n  - at_least_one_of: [tail, note]\n  - mutually_exclusive: [note, tail]\n"
    old = specs(tmp_path / "old", BASE.replace("rules:\n", pair))
    new = specs(tmp_path / "new", BASE.replace("rules:\n", "rules:\n  - exactly_one_of: [tail, note]\n"))
    assert changes(old, new) == []
