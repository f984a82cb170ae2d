"""What will be written: every name, type and order is decided here, and the templates only lay it out."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import MISSING

from kling_codegen import docs, language, names, params, rules
from kling_codegen.schema import HTTP_URL

LINE_LENGTH = 110
# Of the longest string literal that fits behind `description=` in a Field.
TEXT_LENGTH = 84

# The package of the models that the clients of kling-adapters have typed calls for.
CORE = "kling_adapters.models"


@dataclass(frozen=True)
class Field:
    """One field of a class; all but the names is Python source. `default` is None for a required field."""

    name: str
    wire: str
    type: str
    input_type: str
    arguments: tuple[str, ...]
    default: str | None

    @property
    def fits(self) -> bool:
        """Whether the declaration fits on one line."""
        annotation = f"Annotated[{self.type}, Field({', '.join(self.arguments)})]"
        return len(f"    {self.name}: {annotation} = {self.default or ''}") <= LINE_LENGTH


@dataclass(frozen=True)
class Class:
    """One class of a module and the TypedDict of the same parameters."""

    name: str
    input_name: str
    summary: str
    description: str | None
    fields: tuple[Field, ...]
    input_fields: tuple[Field, ...]

    @property
    def functional(self) -> bool:
        """Whether the TypedDict has a key that cannot be written in a class statement."""
        return any(
            names.is_taken(field.wire) or field.wire.startswith("__") or not names.can_be_argument(field.wire)
            for field in self.input_fields
        )


@dataclass(frozen=True)
class Rule:
    """A call of one of the rule classes of kling_adapters.schema.rules."""

    name: str
    fields: tuple[str, ...]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Module:
    """One model: the module of its classes, its schema and its documentation.

    `by_slug`: the clients have typed calls for its slug, which need a TypedDict of the parameters.
    """

    slug: str
    package: str
    by_slug: bool
    name: str
    title: str
    page: str
    read: str
    returns: str
    latency: float | None
    rules: tuple[Rule, ...]
    parts: tuple[Class, ...]
    model: Class
    json_schema: Mapping[str, Any]
    document: docs.Page

    @property
    def entry(self) -> Entry:
        """What is said of the model beside its own files."""
        return Entry(
            slug=self.slug,
            title=self.title,
            returns=self.returns,
            latency=self.latency,
            usual=self.document.usual,
            needs=self.document.needs,
            page=self.page,
            module=self.name,
            model=self.model.name,
            input=self.model.input_name,
        )


@dataclass(frozen=True)
class Entry:
    """What the index, the typed calls and the table of models say of one; the last three are names in Python."""

    slug: str
    title: str
    returns: str
    latency: float | None
    usual: str
    needs: str
    page: str
    module: str
    model: str
    input: str


def package_name(folder: Path) -> str:
    """Return the name that a folder is imported by: its own, below every folder above it with an __init__.py."""
    folder = folder.absolute()
    parts = [folder.name]
    while (folder := folder.parent) != folder.parent and (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
    return ".".join(parts)


def build(spec: language.Spec, package: str = CORE) -> Module:
    """Decide everything about the files of one model; `package` is the name its package is imported by."""
    by_slug = package == CORE
    name = names.class_name(spec.slug)
    raw = params.classes(name, spec.input.as_schema())
    final = _class_names(raw)
    *parts, model = [_class(each, final, spec.summary) for each in raw]
    return Module(
        slug=spec.slug,
        package=package,
        by_slug=by_slug,
        name=names.module_name(spec.slug),
        title=spec.title,
        page=spec.source.page,
        read=spec.source.read.isoformat(),
        returns=spec.returns,
        latency=spec.latency_seconds,
        rules=tuple(_rule(rule) for rule in spec.rules),
        parts=tuple(parts),
        model=model,
        json_schema=_json_schema(spec),
        document=docs.page(spec, name, package, by_slug=by_slug),
    )


def _class_names(raw: list[params.RawClass]) -> dict[str, str]:
    """Return the final name of each class: neither it nor its TypedDict may be called like anything else."""
    *parts, model = [each.name for each in raw]
    # A field would hide a class of its name from its own annotation.
    taken = {model, f"{model}Input", *(field.name for each in raw for field in each.fields)} | names.TAKEN
    final = {model: model}
    for part in parts:
        name = part
        while {name, f"{name}Input"} & taken or names.is_taken(name):
            name += "Model"
        final[part] = name
        taken |= {name, f"{name}Input"}
    return final


def _class(raw: params.RawClass, final: Mapping[str, str], summary: str) -> Class:
    name = final[raw.name]
    fields = tuple(_field(field, final) for field in raw.fields)
    if raw.user is None:
        called = tuple(field for field in fields if field.wire not in docs.CALL_ARGUMENTS)
        return Class(name, f"{name}Input", summary, None, fields, called)
    about = None if raw.schema.description is MISSING else raw.schema.description
    role = "The value" if raw.user.schema.items is MISSING else "An item"
    return Class(name, f"{name}Input", f"{role} of `{raw.user.wire}`.", about, fields, fields)


def _field(raw: params.RawField, final: Mapping[str, str]) -> Field:
    arguments = [f"alias={raw.wire!r}"] if raw.name != raw.wire else []
    arguments += [f"{key}={_bound(value)}" for key, value in raw.constraints.items()]
    if raw.schema.description is not MISSING:
        arguments.append(f"description={text(raw.schema.description)}")
    input_type = ast.unparse(_InputType(final).visit(copy.deepcopy(raw.type)))
    return Field(
        name=raw.name,
        wire=raw.wire,
        type=ast.unparse(_ModelType(final).visit(copy.deepcopy(raw.type))),
        input_type=input_type if raw.default is None else f"NotRequired[{input_type}]",
        arguments=tuple(arguments),
        default=_default(raw.default),
    )


def text(value: str) -> str:
    """Return a string literal, in pieces if it is long: ruff does not cut strings."""
    if len(repr(value)) <= TEXT_LENGTH:
        return repr(value)
    pieces = textwrap.wrap(
        value,
        TEXT_LENGTH - len("''"),
        drop_whitespace=False,
        replace_whitespace=False,
        expand_tabs=False,
        break_on_hyphens=False,
    )
    return f"({' '.join(map(repr, pieces))})"


def _default(raw: ast.expr | None) -> str | None:
    match raw:
        case None:
            return None
        case ast.Constant(str(value)):
            return text(value)
        case ast.List(items):
            # All objects share the default of a list, so it must not be one that can be changed.
            return ast.unparse(ast.Tuple(items, ast.Load()))
        case _:
            return ast.unparse(raw)


def _bound(raw: ast.expr) -> str:
    """Return a bound as a spec has it: datamodel-code-generator makes 0.0 of 0."""
    value = ast.literal_eval(raw)
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return repr(int(value) if whole else value)


class _ModelType(ast.NodeTransformer):
    """The annotation in the class: final names, and what a Literal needs beside it.

    IntOrStr where a page may send "5" for 5 or 5 for "5"; BoolOnly where 1 would pass for True.
    """

    def __init__(self, final: Mapping[str, str]) -> None:
        self.final = final

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.final.get(node.id, node.id))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        match self.generic_visit(node):
            case ast.BinOp(
                ast.BinOp(kind, ast.BitOr(), ast.Constant(None) as none), or_, ast.Name("MISSING") as missing
            ):
                # None comes last in a union.
                return ast.BinOp(ast.BinOp(kind, or_, missing), or_, none)
            case other:
                return other

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) != "Literal":
            return self.generic_visit(node)
        values = [ast.literal_eval(value) for value in _parts(node.slice)]
        if all(isinstance(value, bool) for value in values):
            return ast.Subscript(ast.Name("BoolOnly"), node)
        return ast.Subscript(ast.Name("IntOrStr"), node) if _is_numeric(values) else node


class _InputType(_ModelType):
    """The annotation in the TypedDict: no constraints, no MISSING, and a dict does for an object."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = self.final.get(node.id)
        return ast.BinOp(ast.Name(name), ast.BitOr(), ast.Name(f"{name}Input")) if name else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if ast.unparse(node.right) != "MISSING":
            return self.generic_visit(node)
        left: ast.AST = self.visit(node.left)
        return left

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        match node:
            case ast.Subscript(ast.Name("Annotated"), ast.Tuple([annotation, *_])):
                bare: ast.AST = self.visit(annotation)
                return bare
            case ast.Subscript(ast.Name("Literal")):
                return node
            case _:
                return self.generic_visit(node)


def _parts(literal: ast.expr) -> list[ast.expr]:
    return literal.elts if isinstance(literal, ast.Tuple) else [literal]


def _is_numeric(values: list[Any]) -> bool:
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    return whole or all(isinstance(value, str) and re.fullmatch("0|[1-9][0-9]*", value) for value in values)


def _rule(rule: rules.Rule) -> Rule:
    condition = rule.condition()
    assert condition is not None
    match condition[1]:
        case rules.AtLeastOneOf(root=group):
            return Rule("AtLeastOneOf", tuple(group), {})
        case rules.MutuallyExclusive(root=group):
            return Rule("MutuallyExclusive", tuple(group), {})
        case rules.Requires(field=field, present=present, equals=equals):
            given = {"present": tuple(present), "equals": equals}
            return Rule("Requires", (field,), {key: value for key, value in given.items() if value})
        case rules.References(field=field, token=token, list=items):
            return Rule("References", (field,), {"token": token, "list": items})
        case rules.MaxBytes(field=field, bytes=size):
            return Rule("MaxBytes", (field,), {"bytes": size})


def _json_schema(spec: language.Spec) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a model; what it cannot say is under x-kling."""
    plain = spec.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec.title,
        "description": spec.summary,
        "type": "object",
        "additionalProperties": False,
        "required": plain["input"].get("required", []),
        "properties": {name: _closed(part) for name, part in plain["input"]["properties"].items()},
        "examples": [example["input"] for example in plain.get("examples", [])],
        "x-kling": {
            "slug": spec.slug,
            "returns": spec.returns,
            "latency_seconds": spec.latency_seconds,
            **({"pricing": plain["pricing"]} if "pricing" in plain else {}),
            "rules": plain.get("rules", []),
            "discrepancies": plain.get("discrepancies", []),
            "source": plain["source"],
        },
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Write out what the spec language implies: what a URI looks like, and that objects take nothing else."""
    closed = dict(schema)
    if closed.get("format") == "uri":
        closed["pattern"] = HTTP_URL
    if "items" in closed:
        closed["items"] = _closed(closed["items"])
    if "properties" in closed:
        closed["additionalProperties"] = False
        closed["properties"] = {name: _closed(part) for name, part in closed["properties"].items()}
    return closed
