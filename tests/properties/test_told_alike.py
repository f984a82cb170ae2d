"""Every place that tells what a model takes tells the same.

Each is read in a way of its own, by nothing that wrote it: overloads by their syntax, TypedDicts and models as Python
holds them, pages and the tables of `kling show` as text. What they are compared with is the packaged JSON Schema. The
golden tree goes the same way, because its specs use every keyword there is.
"""

from __future__ import annotations

import ast
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

ROOT = Path(__file__).parents[2]
RUNTIME = Path(kling_adapters.__file__).parent
GOLDEN = ROOT / "tests" / "golden" / "core"
# Of `submit` and `run` themselves: a parameter that is called so can only be given in an object.
OPTIONS = {"extra", "save_to", "timeout"}
BOUNDS = {
    "": ("minimum", "maximum"),
    " characters": ("minLength", "maxLength"),
    " items": ("minItems", "maxItems"),
}
LIMIT = re.compile(r"(each )?(at least \S+|at most \S+|\S+ to \S+)( items| characters)?")


@dataclass(frozen=True)
class Told:
    """One parameter; `choices` and `default` as the text of a command or as JSON, `about` without its spaces."""

    kind: str
    required: bool
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    default: str = ""
    about: str = ""


@dataclass(frozen=True)
class Model:
    """One model of a tree: this repository, or the golden one."""

    slug: str
    name: str
    models: Path
    root: Path

    @property
    def module(self) -> types.ModuleType:
        return load(self.models / f"{re.sub('[.-]', '_', self.slug)}.py")

    @cached_property
    def model(self) -> type[Params]:
        found: type[Params] = getattr(self.module, self.name)
        return found

    @cached_property
    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.models / "schemas" / f"{self.slug}.json").read_text("utf-8"))
        return found

    @property
    def page(self) -> str:
        return (self.root / "docs" / "models" / f"{self.slug}.md").read_text("utf-8")


def load(path: Path) -> types.ModuleType:
    """Import a file; one of this repository is imported as what it is."""
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
    found: tuple[CatalogEntry, ...] = load(TREES[tree][0] / "__init__.py").CATALOG
    return found


MODELS = [Model(entry.slug, entry.name, *TREES[tree]) for tree in TREES for entry in index(tree)]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.slug)
each_tree = pytest.mark.parametrize("tree", TREES)


# The JSON Schema


def of_schema(schema: Mapping[str, Any], prefix: str = "") -> dict[str, Told]:
    told: dict[str, Told] = {}
    for name, part in schema["properties"].items():
        inner, path, each, limits = part, prefix + name, "", set[str]()
        while True:
            bounds = ((unit, inner.get(low), inner.get(high)) for unit, (low, high) in BOUNDS.items())
            limits |= {words(each, unit, low, high) for unit, low, high in bounds} - {""}
            if "items" not in inner:
                break
            inner, path, each = inner["items"], f"{path}[]", "each "
        told[prefix + name] = Told(
            kind_of_schema(part),
            required=name in schema.get("required", ()),
            choices=choices(inner.get("enum", ())),
            limits=frozenset(limits),
            default=plain(part["default"]) if "default" in part else "",
            about=squeezed(part.get("description", "")),
        )
        if "properties" in inner:
            told |= of_schema(inner, f"{path}.")
    return told


def kind_of_schema(part: Mapping[str, Any]) -> str:
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    kind = "URL or file" if part.get("format") == "uri" else kinds[0]
    if kind == "array":
        kind = f"list of {kind_of_schema(part['items'])}"
    return f"{kind} or null" if "null" in kinds else kind


def words(each: str, unit: str, low: Any, high: Any) -> str:
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f"{each}at least {plain(low)}{unit}"
        case None, _:
            return f"{each}at most {plain(high)}{unit}"
        case _:
            return f"{each}{plain(low)} to {plain(high)}{unit}"


def plain(value: Any) -> str:
    """The JSON of a value; 1.0 is 1, whoever writes it."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def choices(values: Iterable[Any]) -> tuple[str, ...]:
    """The text of allowed values; null is part of the kind."""
    return tuple(value if isinstance(value, str) else plain(value) for value in values if value is not None)


def squeezed(text: str) -> str:
    return "".join(text.split())


# Python's types


@dataclass(frozen=True)
class Shape:
    """What an annotation tells, and the class of the object in it, at whatever depth."""

    kind: str
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    holds: Any = None
    depth: int = 0


def shape(annotation: Any, metadata: Sequence[Any] = ()) -> Shape:
    while get_origin(annotation) in (Annotated, NotRequired):
        annotation, *more = get_args(annotation)
        metadata = [*more, *metadata]
    found = bare_shape(annotation, metadata)
    known = {
        kind: getattr(limit, name)
        for item in metadata
        for limit in (item.metadata if isinstance(item, FieldInfo) else [item])
        for kind, name in ((Ge, "ge"), (Le, "le"), (MinLen, "min_length"), (MaxLen, "max_length"))
        if isinstance(limit, kind)
    }
    unit = " items" if found.kind.startswith("list") else " characters"
    limits = {
        words("", "", known.get(Ge), known.get(Le)),
        words("", unit, known.get(MinLen), known.get(MaxLen)),
    }
    return replace(found, limits=found.limits | limits - {""})


def bare_shape(annotation: Any, metadata: Sequence[Any]) -> Shape:
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in arguments if member not in (types.NoneType, MISSING)]
        if set(members) == {str, Path, bytes, bytearray, memoryview, IO[bytes]}:
            found = Shape("URL or file")
        elif len(members) == 2:
            model, typed = members
            assert f"{model.__name__}Input" == typed.__name__
            found = Shape("object", holds=typed)
        else:
            [member] = members
            found = shape(member, metadata)
        nullable = types.NoneType in arguments
        return replace(found, kind=f"{found.kind} or null") if nullable else found
    if get_origin(annotation) is Literal:
        return replace(bare_shape(type(arguments[0]), ()), choices=choices(arguments))
    if get_origin(annotation) is Sequence:
        item = shape(arguments[0])
        limits = frozenset(f"each {limit.removeprefix('each ')}" for limit in item.limits)
        return replace(item, kind=f"list of {item.kind}", limits=limits, depth=item.depth + 1)
    if is_typeddict(annotation) or issubclass(annotation, BaseModel):
        return Shape("object", holds=annotation)
    return Shape({str: "string", int: "integer", float: "number", bool: "boolean"}[annotation])


def of_typed_dict(typed: Any, prefix: str = "") -> dict[str, Told]:
    told: dict[str, Told] = {}
    for name, hint in get_type_hints(typed, include_extras=True).items():
        found = shape(hint)
        told[prefix + name] = Told(found.kind, name in typed.__required_keys__, found.choices)
        if found.holds is not None:
            told |= of_typed_dict(found.holds, f"{prefix}{name}{'[]' * found.depth}.")
    return told


def of_model(model: type[BaseModel], prefix: str = "") -> dict[str, Told]:
    told: dict[str, Told] = {}
    for name, field in model.model_fields.items():
        found, wire = shape(field.annotation, field.metadata), field.alias or name
        unsaid = field.is_required() or field.default is MISSING
        told[prefix + wire] = Told(
            found.kind,
            field.is_required(),
            found.choices,
            found.limits,
            "" if unsaid else plain(field.default),
            squeezed(field.description or ""),
        )
        if found.holds is not None:
            told |= of_model(found.holds, f"{prefix}{wire}{'[]' * found.depth}.")
    return told


def unordered(told: Mapping[str, Told]) -> dict[str, Told]:
    """The same in which allowed values have no order: to Python, a Literal is that of any other order."""
    return {name: replace(each, choices=tuple(sorted(each.choices))) for name, each in told.items()}


@each_model
def test_the_typed_dict(model: Model) -> None:
    expected = {
        name: Told(told.kind, told.required, told.choices)
        for name, told in unordered(of_schema(model.schema)).items()
        if name not in OPTIONS
    }
    assert unordered(of_typed_dict(getattr(model.module, f"{model.name}Input"))) == expected


@each_model
def test_the_fields_of_the_model(model: Model) -> None:
    expected, found = unordered(of_schema(model.schema)), unordered(of_model(model.model))
    assert found == expected
    assert list(found) == list(expected)


@each_model
def test_the_rules_of_the_adapter(model: Model) -> None:
    def known(rule: Any) -> dict[str, Any]:
        name = re.sub("(?<!^)([A-Z])", r"_\1", type(rule).__name__).lower()
        given = {key: value for key, value in vars(rule).items() if value}
        found: dict[str, Any] = json.loads(json.dumps({name: given.get("names", given)}))
        return found

    assert [known(rule) for rule in model.model.adapter.rules] == model.schema["x-kling"]["rules"]


# The overloads


@dataclass(frozen=True)
class Overload:
    """One overload of a call: of which model, with which TypedDict and options, and what it returns."""

    model: str
    typed: str
    options: Mapping[str, tuple[str, str]]
    returns: str
    is_async: bool


def overloads(stub: ast.Module) -> dict[tuple[str, str], list[Overload]]:
    """Every call of the clients, by class and method, as the stub has them."""
    found: dict[tuple[str, str], list[Overload]] = {}
    for client in stub.body:
        for method in client.body if isinstance(client, ast.ClassDef) else ():
            if isinstance(method, ast.Assign):
                assert ast.unparse(method) == "run_sync = run_direct"
                continue
            assert isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            if [ast.unparse(mark) for mark in method.decorator_list] == ["overload"]:
                assert isinstance(client, ast.ClassDef)
                found.setdefault((client.name, method.name), []).append(overload(method))
    return found


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
def test_the_overloads(tree: str) -> None:
    models, _ = TREES[tree]
    stub = ast.parse((models.parent / "client" / "_calls.pyi").read_text("utf-8"))
    imported = {
        name.asname or name.name: f"{line.module}.{name.name}"
        for line in stub.body
        if isinstance(line, ast.ImportFrom)
        for name in line.names
    }
    typed = [(entry.slug, f"{entry.module}.{entry.name}Input") for entry in index(tree)]
    found = overloads(stub)
    methods = {
        (client, name): method
        for client in ("SyncCalls", "AsyncCalls")
        for name, method in vars(getattr(_calls, client)).items()
        if inspect.isfunction(method) and not name.startswith("_") and name != "run_sync"
    }
    assert found.keys() == methods.keys()
    for call, method in methods.items():
        *by_slug, by_object = found[call]
        assert [(each.model, imported[each.typed]) for each in by_slug] == typed
        assert (by_object.model, by_object.typed) == ("Params", "")
        options = {
            option.name: (option.annotation, repr(option.default))
            for option in inspect.signature(method).parameters.values()
            if option.kind is option.KEYWORD_ONLY
        }
        for each in found[call]:
            assert each.options == options
            assert each.returns == inspect.signature(method).return_annotation
            assert each.is_async == inspect.iscoroutinefunction(method)


# Text


def of_page(text: str) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for name, kind, allowed, default, about in markdown_table(text, "Parameters"):
        required = default == "required"
        told[name.strip("`")] = Told(
            kind,
            required,
            **allowed_in(allowed, re.compile("`([^`]*)`").findall),
            default="" if required or not default else json_of(default.strip("`"), kind),
            about=squeezed(unescaped(about)),
        )
    return told


def markdown_table(text: str, title: str) -> Iterator[list[str]]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\|.*\|$", section[1] if section else "", re.MULTILINE)
    for row in rows[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def unescaped(markdown: str) -> str:
    return re.sub(r"\\(\W)", r"\1", markdown)


def allowed_in(cell: str, choices_in: Callable[[str], list[str]]) -> dict[str, Any]:
    phrases = [re.sub(r"\.0\b", "", phrase) for phrase in cell.split("; ") if phrase]
    limits = {phrase for phrase in phrases if LIMIT.fullmatch(phrase)}
    given = [phrase.removeprefix("each ") for phrase in phrases if phrase not in limits]
    return {
        "limits": frozenset(limits),
        "choices": tuple(value for value in choices_in("".join(given)) if value not in ("null", "")),
    }


def json_of(text: str, kind: str) -> str:
    """A default of a page is JSON, or bare text where that can be told apart."""
    bare = kind.startswith(("string", "URL")) and not text.startswith('"') and text != "null"
    return plain(text if bare else json.loads(text))


def of_show(text: str) -> dict[str, Told]:
    return {
        name: Told(
            kind,
            required=default == "required",
            **allowed_in(allowed, lambda text: text.split(", ")),
            default="" if default in ("required", "") else plain(json.loads(default)),
            about=squeezed(about),
        )
        for name, kind, allowed, default, about in shown_table(text, "parameter")
    }


def shown_table(text: str, first: str) -> Iterator[list[str]]:
    """Read a table by the columns of its head; a row goes on until an empty line, cells are cut between words."""
    found = re.search(rf"^ ({first} [^\n]*)\n ─+ *\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, text
    starts = [head.start(1) for head in re.finditer(r"(?:^|\s{2,})(?=(\S))", found[1])]
    ends = [*starts[1:], None]
    for row in re.split(r"\n\s*\n", found[2]):
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


def price(about: Mapping[str, Any]) -> str:
    if "pricing" not in about:
        return ""
    given = about["pricing"]
    figures = dict.fromkeys(plain(given[end]) for end in ("from", "to"))
    return f"; price {' to '.join(figures)} {given['currency']} per {given['unit']}"


def told_of_rule(rule: Mapping[str, Any]) -> Iterator[str]:
    """What has to be in the words of a rule."""
    [(kind, given)] = rule.items()
    if isinstance(given, list):
        yield from given
        return
    yield given["field"]
    yield from given.get("present", ())
    for name, value in given.get("equals", {}).items():
        yield from (name, value if isinstance(value, str) else plain(value))
    if kind == "references":
        yield from (given["token"].partition("{n}")[0], given["list"])
    if kind == "max_bytes":
        yield f"{given['bytes'] >> 20} MiB"


def has_rules(lines: Sequence[str], model: Model) -> bool:
    """Whether there is a line for each rule, with everything that it is about."""
    rules = model.schema["x-kling"]["rules"]
    return len(lines) == len(rules) and all(
        word in line for line, rule in zip(lines, rules, strict=True) for word in told_of_rule(rule)
    )


def discrepancies(model: Model) -> list[list[str]]:
    return [
        [squeezed(row[key]) for key in ("about", "page", "decision")]
        for row in model.schema["x-kling"]["discrepancies"]
    ]


@each_model
def test_the_page(model: Model) -> None:
    expected, page, about = of_schema(model.schema), model.page, model.schema["x-kling"]
    found = of_page(page)
    assert found == expected
    assert list(found) == list(expected)
    title, summary, line = re.findall("^[^<#\n].*|^# .*", page, re.MULTILINE)[:3]
    assert unescaped(title) == f"# {model.schema['title']}"
    assert unescaped(summary) == model.schema["description"]
    assert line == (
        f"Slug `{model.slug}`; returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}."
    )
    rules = re.search(r"^## Rules\n\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
    assert has_rules(rules[1].splitlines() if rules else [], model)
    rows = markdown_table(page, "Where the source contradicts itself")
    assert [[squeezed(unescaped(cell)) for cell in row] for row in rows] == discrepancies(model)
    assert f"<{about['source']['page']}>, read {about['source']['read']}." in page


@each_model
def test_kling_show(model: Model, golden_runtime: Path) -> None:
    expected, text, about = of_schema(model.schema), show(model, golden_runtime), model.schema["x-kling"]
    found = of_show(text)
    assert found == expected
    assert list(found) == list(expected)
    first, second = text.splitlines()[:2]
    assert first == f"{model.slug} — {model.schema['description']}"
    assert second == (
        f"returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}"
        f"; from {about['source']['page']}"
    )
    rules = re.search(r"^Rules:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert has_rules(rules[1].strip().splitlines() if rules else [], model)
    assert f"\n  kling run --sandbox {model.slug} " in text or not model.schema["examples"]
    rows = shown_table(text, "about") if about["discrepancies"] else ()
    assert [list(map(squeezed, row)) for row in rows] == discrepancies(model)


@each_model
def test_kling_show_json(model: Model, golden_runtime: Path) -> None:
    assert json.loads(show(model, golden_runtime, "--json")) == model.schema


@each_tree
def test_the_index(tree: str) -> None:
    _, root = TREES[tree]
    readme = (root / "README.md").read_text("utf-8")
    models = [model for model in MODELS if model.root == root]
    for entry, model in zip(index(tree), models, strict=True):
        schema, about, adapter = model.schema, model.schema["x-kling"], model.model.adapter
        told = (about["slug"], schema["title"], about["returns"], about["latency_seconds"])
        assert (entry.slug, entry.title, entry.returns, entry.latency) == told
        assert (adapter.slug, adapter.title, adapter.returns, adapter.latency) == told
        needs = ", ".join(f"`{name}`" for name in schema["required"])
        row = (
            f"{usual(about['latency_seconds'])} | {needs} | [{schema['title']}]({about['source']['page']}) |"
        )
        assert f"| [`{entry.slug}`](docs/models/{entry.slug}.md) | {about['returns']} | {row}\n" in readme
