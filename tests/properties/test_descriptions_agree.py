"""All descriptions of the parameters of a model agree with its packaged JSON Schema.

Each is read independently of the code that wrote it: overloads by their syntax, TypedDicts and models through Python's
typing, pages and the tables of `kling show` as text. The golden tree is tested too, because its specs use every keyword.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import (
    IO,
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo

import kling_adapters
from kling_adapters import CatalogEntry, Params
from kling_adapters.client import _calls
from tests.properties.prose_rules import plain_content, split_rule

ROOT = Path(__file__).parents[2]
RUNTIME = Path(kling_adapters.__file__).parent
GOLDEN = ROOT / "tests" / "golden" / "core"
# Arguments of `submit` and `run`: a parameter with such a name can only be passed in an object.
OPTIONS = {"extra", "save_to", "tag", "timeout", "unchecked"}
BOUNDS = {
    "": ("minimum", "maximum"),
    " characters": ("minLength", "maxLength"),
    " items": ("minItems", "maxItems"),
}
LIMIT = re.compile(r"(each )?(at least \S+|at most \S+|\S+ to \S+)( items| characters)?")


@dataclass(frozen=True)
class Parameter:
    """A parameter; `choices` and `default` as the text of a command or as JSON, `about` without its spaces."""

    kind: str
    required: bool
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    default: str = ""
    about: str = ""


@dataclass(frozen=True)
class Model:
    """A model of this repository or of the golden tree."""

    slug: str
    name: str
    models: Path
    root: Path

    @property
    def module(self) -> types.ModuleType:
        return load(self.models / f"{re.sub('[.-]', '_', self.slug)}.py")

    @cached_property
    def model(self) -> type[Params]:
        model: type[Params] = getattr(self.module, self.name)
        return model

    @cached_property
    def schema(self) -> dict[str, Any]:
        path = self.models / "schemas" / f"{self.slug}.json"
        schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return schema

    @property
    def page(self) -> str:
        return (self.root / "docs" / "models" / f"{self.slug}.md").read_text("utf-8")


def load(path: Path) -> types.ModuleType:
    """Import a file; a module of this repository is imported by its own name."""
    if path.is_relative_to(RUNTIME):
        return importlib.import_module(f"kling_adapters.models.{path.stem}")
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TREES = {"here": (RUNTIME / "models", ROOT), "golden": (GOLDEN / "models", GOLDEN)}


def index(tree: str) -> tuple[CatalogEntry, ...]:
    catalog: tuple[CatalogEntry, ...] = load(TREES[tree][0] / "__init__.py").CATALOG
    return catalog


MODELS = [Model(entry.slug, entry.name, *TREES[tree]) for tree in TREES for entry in index(tree)]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.slug)
each_tree = pytest.mark.parametrize("tree", TREES)


# The JSON Schema


def parameters_of_schema(schema: Mapping[str, Any], prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, part in schema["properties"].items():
        inner, path, quantifier, limits = part, prefix + name, "", set[str]()
        while True:
            bounds = ((unit, inner.get(low), inner.get(high)) for unit, (low, high) in BOUNDS.items())
            limits |= {limit_text(quantifier, unit, low, high) for unit, low, high in bounds} - {""}
            if "items" not in inner:
                break
            inner, path, quantifier = inner["items"], f"{path}[]", "each "
        parameters[prefix + name] = Parameter(
            kind_of_schema(part),
            required=name in schema.get("required", ()),
            choices=choices(inner.get("enum", ())),
            limits=frozenset(limits),
            default=plain(part["default"]) if "default" in part else "",
            about=remove_spaces(part.get("description", "")),
        )
        if "properties" in inner:
            parameters |= parameters_of_schema(inner, f"{path}.")
    return parameters


def described_parameters(schema: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters with all that a page says about them."""
    parameters = parameters_of_schema(schema)
    for name, part in walk_schema(schema):
        extension = part.get("x-kling", {})
        about = parameters[name].about
        if old_names := extension.get("renamed_from"):
            about += f"Formerly{','.join(map(remove_spaces, old_names))}."
        assert ("deprecated" in extension) == part.get("deprecated", False)
        if deprecated := extension.get("deprecated"):
            advice = f";use{remove_spaces(deprecated['use'])}" if "use" in deprecated else ""
            about += f"Deprecatedsince{deprecated['since']}{advice}."
        parameters[name] = replace(parameters[name], about=about)
    return parameters


def walk_schema(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in schema["properties"].items():
        yield prefix + name, part
        inner, path = part, prefix + name
        while "items" in inner:
            inner, path = inner["items"], f"{path}[]"
        if "properties" in inner:
            yield from walk_schema(inner, f"{path}.")


def kind_of_schema(part: Mapping[str, Any]) -> str:
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    link = url_or_file(part.get("x-kling", {}).get("media"))
    words = [link if part.get("format") == "uri" else kind for kind in kinds if kind != "null"]
    if "array" in words:
        words[words.index("array")] = f"list of {kind_of_schema(part['items'])}"
    return " or ".join([*words, "null"] if "null" in kinds else words)


def url_or_file(media: str | None) -> str:
    return f"{media} (URL or file)" if media else "URL or file"


def limit_text(quantifier: str, unit: str, low: Any, high: Any) -> str:
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f"{quantifier}at least {plain(low)}{unit}"
        case None, _:
            return f"{quantifier}at most {plain(high)}{unit}"
        case _:
            return f"{quantifier}{plain(low)} to {plain(high)}{unit}"


def plain(value: Any) -> str:
    """Return the JSON of a value, with 1.0 as 1."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def choices(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the text of allowed values without null, which is part of the kind."""
    return tuple(value if isinstance(value, str) else plain(value) for value in values if value is not None)


def remove_spaces(text: str) -> str:
    return "".join(text.split())


# Python's types


@dataclass(frozen=True)
class Shape:
    """The content of an annotation; `model` is the class of the object in it, below `depth` lists."""

    kind: str
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    model: Any = None
    depth: int = 0


def shape(annotation: Any, metadata: Sequence[Any] = ()) -> Shape:
    while get_origin(annotation) in (Annotated, NotRequired):
        annotation, *more = get_args(annotation)
        metadata = [*more, *metadata]
    bare = bare_shape(annotation, metadata)
    bounds = {
        kind: getattr(limit, name)
        for item in metadata
        for limit in (item.metadata if isinstance(item, FieldInfo) else [item])
        for kind, name in ((Ge, "ge"), (Le, "le"), (MinLen, "min_length"), (MaxLen, "max_length"))
        if isinstance(limit, kind)
    }
    unit = " items" if bare.kind.startswith("list") else " characters"
    limits = {
        limit_text("", "", bounds.get(Ge), bounds.get(Le)),
        limit_text("", unit, bounds.get(MinLen), bounds.get(MaxLen)),
    }
    return replace(bare, limits=bare.limits | limits - {""})


def bare_shape(annotation: Any, metadata: Sequence[Any]) -> Shape:
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in arguments if member not in (types.NoneType, MISSING)]
        if set(members) == {str, Path, bytes, bytearray, memoryview, IO[bytes]}:
            [mark] = [mark for mark in metadata if type(mark).__name__ == "_Media"]
            result = Shape(url_or_file(mark.kind))
        elif str in members and len(members) == 2:
            [member] = [member for member in members if member is not str]
            result = shape(member)
            result = replace(result, kind=f"string or {result.kind}")
        elif len(members) == 2:
            model, typed = members
            assert f"{model.__name__}Input" == typed.__name__
            result = Shape("object", model=typed)
        else:
            [member] = members
            result = shape(member, metadata)
        nullable = types.NoneType in arguments
        return replace(result, kind=f"{result.kind} or null") if nullable else result
    if get_origin(annotation) is Literal:
        return replace(bare_shape(type(arguments[0]), ()), choices=choices(arguments))
    if get_origin(annotation) is Sequence:
        item = shape(arguments[0])
        limits = frozenset(f"each {limit.removeprefix('each ')}" for limit in item.limits)
        return replace(item, kind=f"list of {item.kind}", limits=limits, depth=item.depth + 1)
    if is_typeddict(annotation) or issubclass(annotation, BaseModel):
        return Shape("object", model=annotation)
    return Shape({str: "string", int: "integer", float: "number", bool: "boolean"}[annotation])


def parameters_of_typed_dict(typed: Any, prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, hint in get_type_hints(typed, include_extras=True).items():
        hinted = shape(hint)
        parameters[prefix + name] = Parameter(hinted.kind, name in typed.__required_keys__, hinted.choices)
        if hinted.model is not None:
            parameters |= parameters_of_typed_dict(hinted.model, f"{prefix}{name}{'[]' * hinted.depth}.")
    return parameters


def parameters_of_model(model: type[BaseModel], prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, field in model.model_fields.items():
        annotated, wire = shape(field.annotation, field.metadata), field.alias or name
        no_default = field.is_required() or field.default is MISSING
        parameters[prefix + wire] = Parameter(
            annotated.kind,
            field.is_required(),
            annotated.choices,
            annotated.limits,
            "" if no_default else plain(field.default),
            remove_spaces(field.description or ""),
        )
        if annotated.model is not None:
            parameters |= parameters_of_model(annotated.model, f"{prefix}{wire}{'[]' * annotated.depth}.")
    return parameters


def sort_choices(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters with sorted choices: Python caches a Literal under any order of its values."""
    return {
        name: replace(parameter, choices=tuple(sorted(parameter.choices)))
        for name, parameter in parameters.items()
    }


@each_model
def test_typed_dict_agrees(model: Model) -> None:
    expected: dict[str, Parameter] = {}
    for name, parameter in sort_choices(parameters_of_schema(model.schema)).items():
        declared = model.schema["properties"].get(name, {})
        old_names = declared.get("x-kling", {}).get("renamed_from", ())
        # A call may set the old name instead, so neither is required.
        required = parameter.required and not old_names
        for key in {name, *old_names} - OPTIONS:
            expected[key] = Parameter(parameter.kind, required, parameter.choices)
    assert sort_choices(parameters_of_typed_dict(getattr(model.module, f"{model.name}Input"))) == expected


@each_model
def test_model_fields_agree(model: Model) -> None:
    expected = sort_choices(parameters_of_schema(model.schema))
    parameters = sort_choices(parameters_of_model(model.model))
    assert parameters == expected
    assert list(parameters) == list(expected)


@each_model
def test_adapter_rules_agree(model: Model) -> None:
    def rule_data(rule: Any) -> dict[str, Any]:
        name = re.sub("(?<!^)([A-Z])", r"_\1", type(rule).__name__).lower()
        content = {key: value for key, value in vars(rule).items() if value not in (None, (), {})}
        data: dict[str, Any] = json.loads(json.dumps({name: content.get("names", content)}))
        return data

    rules = [dict([plain_content(rule)]) for rule in model.schema["x-kling"]["rules"]]
    assert [rule_data(rule) for rule in model.model.adapter.rules] == rules


# The overloads


@dataclass(frozen=True)
class Overload:
    """An overload of a call."""

    model: str
    typed: str
    options: Mapping[str, tuple[str, str]]
    returns: str
    is_async: bool


def overloads(stub: ast.Module) -> dict[tuple[str, str], list[Overload]]:
    """Return the overloads in a stub by class and method."""
    calls: dict[tuple[str, str], list[Overload]] = {}
    for client in stub.body:
        for method in client.body if isinstance(client, ast.ClassDef) else ():
            if isinstance(method, ast.Assign):
                assert ast.unparse(method) == "run_sync = run_direct"
                continue
            assert isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            if [ast.unparse(mark) for mark in method.decorator_list] == ["overload"]:
                assert isinstance(client, ast.ClassDef)
                calls.setdefault((client.name, method.name), []).append(overload(method))
    return calls


def overload(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Overload:
    arguments = method.args
    assert [argument.arg for argument in arguments.posonlyargs] == ["self", "model"]
    assert not arguments.args
    model = arguments.posonlyargs[1].annotation
    is_slug = isinstance(model, ast.Subscript) and ast.unparse(model.value) == "Literal"
    typed = ast.unparse(arguments.kwarg.annotation) if arguments.kwarg and arguments.kwarg.annotation else ""
    defaults = (ast.unparse(default) if default else "" for default in arguments.kw_defaults)
    return Overload(
        ast.literal_eval(model.slice) if is_slug else ast.unparse(model),  # type: ignore[union-attr, arg-type]
        typed.removeprefix("Unpack[").removesuffix("]"),
        {
            option.arg: (ast.unparse(option.annotation) if option.annotation else "", default)
            for option, default in zip(arguments.kwonlyargs, defaults, strict=True)
        },
        ast.unparse(method.returns) if method.returns else "",
        isinstance(method, ast.AsyncFunctionDef),
    )


@each_tree
def test_overloads_agree(tree: str) -> None:
    models, _ = TREES[tree]
    stub = ast.parse((models.parent / "client" / "_calls.pyi").read_text("utf-8"))
    imported = {
        name.asname or name.name: f"{line.module}.{name.name}"
        for line in stub.body
        if isinstance(line, ast.ImportFrom)
        for name in line.names
    }
    typed = [(entry.slug, f"{entry.module}.{entry.name}Input") for entry in index(tree)]
    stubbed = overloads(stub)
    methods = {
        (client, name): method
        for client in ("SyncCalls", "AsyncCalls")
        for name, method in vars(getattr(_calls, client)).items()
        if inspect.isfunction(method) and not name.startswith("_") and name != "run_sync"
    }
    assert stubbed.keys() == methods.keys()
    for call, method in methods.items():
        *by_slug, by_object = stubbed[call]
        assert [(item.model, imported[item.typed]) for item in by_slug] == typed
        assert (by_object.model, by_object.typed) == ("Params", "")
        options = {
            option.name: (option.annotation, repr(option.default))
            for option in inspect.signature(method).parameters.values()
            if option.kind is option.KEYWORD_ONLY
        }
        for item in stubbed[call]:
            assert item.options == options
            assert item.returns == inspect.signature(method).return_annotation
            assert item.is_async == inspect.iscoroutinefunction(method)


# Text


def parameters_of_page(text: str) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, kind, allowed, default, about in markdown_table(text, "Parameters"):
        required = default == "required"
        parameters[name.strip("`")] = Parameter(
            kind,
            required,
            **allowed_in(allowed, re.compile("`([^`]*)`").findall),
            default="" if required or not default else json_of(default.strip("`"), kind),
            about=remove_spaces(unescape(about).replace("`", "")),
        )
    return parameters


def markdown_table(text: str, title: str) -> Iterator[list[str]]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\|.*\|$", section[1] if section else "", re.MULTILINE)
    for row in rows[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def unescape(markdown: str) -> str:
    return re.sub(r"\\(\W)", r"\1", markdown)


def allowed_in(cell: str, choices_in: Callable[[str], list[str]]) -> dict[str, Any]:
    phrases = [re.sub(r"\.0\b", "", phrase) for phrase in cell.split("; ") if phrase]
    limits = {phrase for phrase in phrases if LIMIT.fullmatch(phrase)}
    values = [phrase.removeprefix("each ") for phrase in phrases if phrase not in limits]
    return {
        "limits": frozenset(limits),
        "choices": tuple(value for value in choices_in("".join(values)) if value not in ("null", "")),
    }


def json_of(text: str, kind: str) -> str:
    """Return the JSON of a default on a page, which is JSON or, where that is unambiguous, bare text."""
    bare = (
        kind.startswith(("string", "URL", "image", "video", "audio"))
        and not text.startswith('"')
        and text != "null"
    )
    return plain(text if bare else json.loads(text))


def parameters_of_show(text: str) -> dict[str, Parameter]:
    return {
        name: Parameter(
            kind,
            required=default == "required",
            **allowed_in(allowed, lambda text: text.split(", ")),
            default="" if default in ("required", "") else plain(json.loads(default)),
            about=remove_spaces(about),
        )
        for name, kind, allowed, default, about in shown_table(text, "parameter")
    }


def shown_table(text: str, first: str) -> Iterator[list[str]]:
    """Read a table by the columns of its head; a row goes on until an empty line, cells are cut between words."""
    table = re.search(rf"^ ({first} [^\n]*)\n ─+ *\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert table is not None, text
    starts = [head.start(1) for head in re.finditer(r"(?:^|\s{2,})(?=(\S))", table[1])]
    ends = [*starts[1:], None]
    for row in re.split(r"\n\s*\n", table[2]):
        lines = [line[1:] for line in row.splitlines() if line.strip()]
        cells = [
            " ".join(filter(None, (line[start:end].strip() for line in lines)))
            for start, end in zip(starts, ends, strict=True)
        ]
        if any(cells):
            yield cells


@pytest.fixture(scope="module")
def golden_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime of this repository with the models of the golden tree."""
    folder = tmp_path_factory.mktemp("golden")
    package = folder / "kling_adapters"
    package.mkdir()
    for path in RUNTIME.iterdir():
        if path.name not in ("models", "__pycache__"):
            (package / path.name).symlink_to(path)
    (package / "models").symlink_to(GOLDEN / "models")
    return folder


def show(model: Model, golden: Path, *options: str) -> str:
    command = "from kling_adapters.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", command, "show", model.slug, *options],
        cwd=golden if model.root == GOLDEN else ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def usual(latency: float | None) -> str:
    return "not documented" if latency is None else f"{round(latency)} s"


def price(facts: Mapping[str, Any]) -> str:
    if "pricing" not in facts:
        return ""
    pricing = facts["pricing"]
    figures = dict.fromkeys(plain(pricing[end]) for end in ("from", "to"))
    about = "about " if pricing.get("approximate") else ""
    drivers = f", by {', '.join(pricing['depends_on'])}" if "depends_on" in pricing else ""
    return f"; price {about}{' to '.join(figures)} {pricing['currency']} per {pricing['unit']}{drivers}"


def takes(schema: Mapping[str, Any]) -> str:
    """Return the line of a page about the inputs of a model."""
    media: dict[str, list[str]] = {}

    def collect(part: Mapping[str, Any], path: str) -> None:
        if kind := part.get("x-kling", {}).get("media"):
            media.setdefault(kind, []).append(f"`{path}`")
        if "items" in part:
            collect(part["items"], f"{path}[]")
        for name, inner in part.get("properties", {}).items():
            collect(inner, f"{path}.{name}".lstrip("."))

    collect({"properties": schema["properties"]}, "")
    listed = "; ".join(f"{kind} ({', '.join(paths)})" for kind, paths in media.items())
    duration = schema["properties"].get("duration", {})
    durations = [int(value) for value in duration.get("enum", ()) if value]
    durations += [duration["maximum"]] if "maximum" in duration else []
    longest = f"; longest duration {max(durations)} s" if durations else ""
    return f"Takes {listed or 'no media'}{longest}."


def expected_words(rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield each word that the wording of a rule must contain."""
    kind, content = split_rule(rule)
    if isinstance(content, list):
        yield from content
        return
    yield from (content[key] for key in ("field", "of") if key in content)
    if kind == "sum":
        yield from (limit if isinstance(limit, str) else plain(limit) for limit in content.values())
        return
    yield from content.get("present", ())
    for name, value in content.get("equals", {}).items():
        yield name
        yield from (choices(value) if isinstance(value, list) else choices([value]))
    for affected in content.get("then", {}).values():
        yield from affected
        for value in affected.values() if isinstance(affected, dict) else ():
            yield from (choices(value) if isinstance(value, list) else choices([value]))
    if kind == "references":
        yield from (content["token"].partition("{n}")[0], content["list"])
    if kind == "max_bytes":
        yield f"{content['bytes'] >> 20} MiB"


def has_rules(lines: Sequence[str], model: Model) -> bool:
    """Return whether there is a line for each rule: its text, which names every parameter and value of it."""
    rules = model.schema["x-kling"]["rules"]
    assert all(word in rule["text"] for rule in rules for word in expected_words(rule))
    return lines == [rule["text"] for rule in rules]


def discrepancies(model: Model) -> list[list[str]]:
    return [
        [remove_spaces(row[key]) for key in ("about", "page", "decision")]
        for row in model.schema["x-kling"]["discrepancies"]
    ]


def retirement_line(retired: Mapping[str, str]) -> str:
    return (
        f"Retired since {retired['since']}; use {retired['use']}. "
        "No job can be submitted; earlier jobs can still be collected."
    )


@each_model
def test_documentation_page_agrees(model: Model) -> None:
    expected, page, about = described_parameters(model.schema), model.page, model.schema["x-kling"]
    expected = {name: replace(part, about=part.about.replace("`", "")) for name, part in expected.items()}
    parameters = parameters_of_page(page)
    assert parameters == expected
    assert list(parameters) == list(expected)
    title, summary, *lines = re.findall("^[^<#\n].*|^# .*", page, re.MULTILINE)[:4]
    if retired := about.get("retired"):
        assert lines.pop(0) == retirement_line(retired)
    line = lines[0]
    assert re.findall("^Takes .*", page, re.MULTILINE) == [takes(model.schema)]
    assert unescape(title) == f"# {model.schema['title']}"
    assert unescape(summary) == model.schema["description"]
    assert line.replace(", by `", ", by ").replace("`.", ".") == (
        f"Slug `{model.slug}`; returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}."
    )
    rules = re.search(r"^## Rules\n\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
    lines = [unescape(line).removeprefix("- ") for line in rules[1].splitlines()] if rules else []
    assert has_rules(lines, model)
    unseen = re.search(r"^No stored copy .* Unseen: (.*)\. So a parameter", unescape(page), re.MULTILINE)
    assert (unseen and unseen[1]) == about["source"].get("unseen")
    rows = markdown_table(page, "Where the source contradicts itself")
    assert [[remove_spaces(unescape(cell)) for cell in row] for row in rows] == discrepancies(model)
    assert f"<{about['source']['page']}>, read {about['source']['read']}." in page


@each_model
def test_kling_show_agrees(model: Model, golden_runtime: Path) -> None:
    expected, text, about = (
        described_parameters(model.schema),
        show(model, golden_runtime),
        model.schema["x-kling"],
    )
    parameters = parameters_of_show(text)
    assert parameters == expected
    assert list(parameters) == list(expected)
    first, *lines = text.splitlines()[:3]
    if retired := about.get("retired"):
        assert lines.pop(0) == retirement_line(retired)
    second = lines[0]
    assert first == f"{model.slug} — {model.schema['description']}"
    assert second == (
        f"returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}"
        f"; package kling_adapters; from {about['source']['page']}"
    )
    unseen = re.search(r"^No stored copy .* Unseen: (.*?)\. A parameter", text, re.MULTILINE)
    assert (unseen and unseen[1]) == about["source"].get("unseen")
    rules = re.search(r"^Rules:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert has_rules([line.strip() for line in rules[1].strip().splitlines()] if rules else [], model)
    is_runnable = bool(model.schema["examples"]) and "retired" not in about
    assert (f"\n  kling run --sandbox {model.slug} " in text) == is_runnable
    rows = shown_table(text, "about") if about["discrepancies"] else ()
    assert [list(map(remove_spaces, row)) for row in rows] == discrepancies(model)


@each_model
def test_kling_show_json_is_schema(model: Model, golden_runtime: Path) -> None:
    assert json.loads(show(model, golden_runtime, "--json")) == model.schema


@each_tree
def test_catalog_and_readme_agree(tree: str) -> None:
    _, root = TREES[tree]
    readme = (root / "README.md").read_text("utf-8")
    models = [model for model in MODELS if model.root == root]
    for entry, model in zip(index(tree), models, strict=True):
        schema, about, adapter = model.schema, model.schema["x-kling"], model.model.adapter
        expected = (about["slug"], schema["title"], about["returns"], about["latency_seconds"])
        assert (entry.slug, entry.title, entry.returns, entry.latency) == expected
        assert (adapter.slug, adapter.title, adapter.returns, adapter.latency) == expected
        assert entry.retired == adapter.retired
        assert (adapter.retired and dataclasses.asdict(adapter.retired)) == about.get("retired")
        needs = ", ".join(f"`{name}`" for name in schema["required"])
        mark = "retired: " if "retired" in about else ""
        row = f"{usual(about['latency_seconds'])} | {needs} | {mark}[{schema['title']}]({about['source']['page']}) |"
        assert f"| [`{entry.slug}`](docs/models/{entry.slug}.md) | {about['returns']} | {row}\n" in readme
