"""What a change of the specs means to callers, compared with what griffe says of the same change."""

from __future__ import annotations

from pathlib import Path

import griffe
import pytest
from kling_codegen import ir
from kling_codegen.build import build_package
from kling_codegen.cache import Cache
from kling_codegen.diff.models import compare_specs
from kling_codegen.diff.parameters import BOUNDS
from kling_codegen.keywords import KEYWORDS_OF, RANGES
from kling_codegen.load.folder import load_specs
from kling_codegen.schema import Schema

from tests.codegen.demo_specs import BASE, SAME, list_changes, write_specs

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


@pytest.fixture(scope="module")
def edits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two trees, in which each edit has a model of its own: demo-0, demo-1 and so on."""
    folder = tmp_path_factory.mktemp("edits")
    for index, (original, put, _, _) in enumerate(EDITS):
        assert BASE.count(original) == 1, original
        for side, text in (("old", BASE), ("new", BASE.replace(original, put))):
            slug = f"demo-{index}"
            write_specs(folder / side, **{slug: text.replace("slug: demo", f"slug: {slug}")})
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
    write_specs(tmp_path / "old", other=BASE.replace("slug: demo", "slug: other"))
    write_specs(tmp_path / "new", another=BASE.replace("slug: demo", "slug: another"))
    assert {entry.obj.path for entry in breakages(tmp_path)} >= {"models.other", "models.Other"}
    assert list_changes(tmp_path / "old", tmp_path / "new") == [
        "breaking: other: model Demo -> none (calls of it are refused)",
        "warning: another: model none -> Demo (calls of it are accepted; a package that registers the same slug loses it)",
    ]


def test_where_griffe_is_wrong(tmp_path: Path) -> None:
    """A TypedDict with the key class is written as a call. It is the same type, and no code breaks."""
    without = BASE.replace("    class: {type: string}\n", "")
    write_specs(tmp_path / "old", without)
    write_specs(tmp_path / "new")
    assert [(entry.kind, entry.obj.path) for entry in breakages(tmp_path)] == [
        (griffe.BreakageKind.OBJECT_CHANGED_KIND, "models.demo.DemoInput")
    ]
    assert list_changes(tmp_path / "old", tmp_path / "new") == [
        "additive: demo class: parameter none -> string (calls that set it are accepted)"
    ]


def test_examples_are_known_by_their_name(tmp_path: Path) -> None:
    first, second = "{name: one, input: {prompt: x}}", "{name: two, input: {prompt: y}}"
    old = write_specs(tmp_path / "old", BASE.replace("[]", f"[{first}, {second}]"))
    new = write_specs(tmp_path / "new", BASE.replace("[]", f"[{second}, {first.replace('x', 'z')}]"))
    assert list_changes(old, new) == [f"documentation: demo: examples.one.input.prompt x -> z {SAME}"]


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
        list_changes(
            write_specs(tmp_path / "old", base), write_specs(tmp_path / "new", base.replace(original, put))
        )[0]
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
        write_specs(tmp_path / side, BASE.replace("rules:\n", f"rules:\n  - when: {rule}\n"))
        for side, rule in (("old", first), ("new", second))
    )
    lines = [
        f"{line.split(':')[0]}:{line.split(':', 2)[2].split(' (')[0]}" for line in list_changes(old, new)
    ]
    assert lines == expected


def test_default_that_makes_a_condition_hold_is_breaking(tmp_path: Path) -> None:
    rule = "rules:\n  - when: {equals: {mode: std}, then: {required: [note]}}\n"
    base = BASE.replace("rules:\n", rule)
    old, new = (
        write_specs(tmp_path / "old", base),
        write_specs(tmp_path / "new", base.replace("default: pro", "default: std")),
    )
    assert [line.split(":")[0] for line in list_changes(old, new)] == ["breaking"]


def test_rules_that_exactly_one_of_replaces_are_no_change(tmp_path: Path) -> None:
    pair = "rules:\n  - at_least_one_of: [tail, note]\n  - mutually_exclusive: [note, tail]\n"
    old = write_specs(tmp_path / "old", BASE.replace("rules:\n", pair))
    new = write_specs(
        tmp_path / "new", BASE.replace("rules:\n", "rules:\n  - exactly_one_of: [tail, note]\n")
    )
    assert list_changes(old, new) == []
