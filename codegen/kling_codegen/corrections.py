"""Corrections of the types of datamodel-code-generator, with their reasons.

Before the call, `type_schema` leaves out the parts that need no inference:

- names of fields: they are ours, so that it has no reason to change one and to add an alias;
- bounds: for a bounded item of a list it writes a RootModel, and for the bound 0 it writes 0.0;
- defaults: it would share a list between all objects, and validate values that the spec has checked;
- null: in a union with MISSING it would come first, while pydantic tries the members in order;
- what is required: it decides about the default, which is ours;
- format uri: it has no type for media, so it gets ours;
- the text beside a list (`or`): errors of a union name each of its members.

After the call, `model_type` and `input_type` put null, MISSING and the bounds of items back, give classes their final
names, add the text beside a list (`TextOr`), and wrap a Literal where pydantic alone accepts too little (`IntOrStr`: 5
for "5" and the reverse, because the pages send both) or too much (`BoolOnly`: 1 for True).
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import MISSING

from kling_codegen.literals import text_literal
from kling_codegen.messages import format_number
from kling_codegen.names import field_names
from kling_codegen.schema import Schema

# The bounds of a schema as arguments of pydantic's Field, in the order in which they are written.
BOUNDS: Mapping[str, str] = {
    "minimum": "ge",
    "maximum": "le",
    "maxLength": "max_length",
    "minLength": "min_length",
    "maxItems": "max_length",
    "minItems": "min_length",
}


def type_schema(schema: Schema) -> dict[str, Any]:
    """Return the part of a schema that datamodel-code-generator receives."""
    if schema.format is not MISSING:
        kind = "" if schema.media is MISSING else schema.media.capitalize()
        return {"type": "string", "customTypePath": f"kling_adapters.schema.param_types.{kind}Media"}
    if schema.other_form is not MISSING:
        return type_schema(schema.other_form)
    if schema.items is not MISSING:
        return {"type": "array", "items": type_schema(schema.items)}
    if schema.properties is not MISSING:
        names = field_names(schema.properties)
        properties = {names[wire]: type_schema(part) for wire, part in schema.properties.items()}
        return {"type": "object", "properties": properties, "required": list(properties)}
    if _is_null(schema):
        return {"type": "null"}
    plain: dict[str, Any] = {"type": schema.kind}
    if schema.enum is not MISSING:
        plain["enum"] = [value for value in schema.enum if value is not None]
    return plain


def without_alias(annotation: ast.expr) -> ast.expr:
    """Return the bare type: a field that is named like its class is renamed by the generator, with an alias."""
    match annotation:
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([bare, *_])):
            return bare
        case _:
            return annotation


def model_type(node: ast.expr, schema: Schema, class_names: Mapping[str, str], *, is_optional: bool) -> str:
    """Return the annotation of a field in the class, without its own bounds."""

    def leaf(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return class_names.get(node.id, node.id)
        return _wrap_literal(node)

    text = _with_items(node, schema.list_form, leaf, _bounded)
    if schema.other_form is not MISSING:
        text = f"TextOr[{_bounded(text, schema.other_form)}]"
    if is_optional:
        text += " | MISSING"
    # In a union, None comes last.
    return f"{text} | None" if _needs_none(schema) else text


def input_type(node: ast.expr, schema: Schema, class_names: Mapping[str, str]) -> str:
    """Return the annotation of a key in the TypedDict: no bounds, no MISSING, and a dict is accepted for an object."""

    def leaf(node: ast.expr) -> str:
        name = class_names.get(node.id) if isinstance(node, ast.Name) else None
        return f"{name} | {name}Input" if name else ast.unparse(node)

    text = _with_items(node, schema.list_form, leaf, lambda text, _: text)
    if schema.other_form is not MISSING:
        text = f"str | {text}"
    return f"{text} | None" if _needs_none(schema) else text


def bounds(schema: Schema) -> list[str]:
    """Return the bounds of a schema as arguments of pydantic's Field."""
    keywords = schema.keywords()
    if schema.kind == "integer":
        # pydantic refuses a fractional bound of an integer.
        rounding = {"minimum": math.ceil, "maximum": math.floor}
        keywords |= {
            name: function(keywords[name]) for name, function in rounding.items() if name in keywords
        }
    return [
        f"{argument}={format_number(keywords[name])}" for name, argument in BOUNDS.items() if name in keywords
    ]


def deprecation_mark(schema: Schema) -> str:
    """Return the mark of a deprecated parameter, which follows the Field."""
    if schema.deprecated is MISSING:
        return ""
    use = "" if schema.deprecated.use is MISSING else f", use={text_literal(schema.deprecated.use)}"
    return f", Deprecation(since={str(schema.deprecated.since)!r}{use})"


def _with_items(
    node: ast.expr, schema: Schema, leaf: Callable[[ast.expr], str], bound: Callable[[str, Schema], str]
) -> str:
    """Return a type with the corrections at every depth of its items."""
    if not isinstance(node, ast.Subscript) or schema.items is MISSING:
        return leaf(node)
    item = _with_items(node.slice, schema.items, leaf, bound)
    if _needs_none(schema.items):
        item += " | None"
    return f"{ast.unparse(node.value)}[{bound(item, schema.items)}]"


def _bounded(text: str, schema: Schema) -> str:
    arguments = bounds(schema)
    return f"Annotated[{text}, Field({', '.join(arguments)})]" if arguments else text


def _wrap_literal(node: ast.expr) -> str:
    text = ast.unparse(node)
    match node:
        case ast.Subscript(ast.Name("Literal"), slice=choices):
            parts = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            values = [ast.literal_eval(part) for part in parts]
        case _:
            return text
    if all(isinstance(value, bool) for value in values):
        return f"BoolOnly[{text}]"
    return f"IntOrStr[{text}]" if _is_numeric(values) else text


def _is_numeric(values: list[Any]) -> bool:
    are_integers = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    return are_integers or all(
        isinstance(value, str) and re.fullmatch("0|[1-9][0-9]*", value) for value in values
    )


def _is_null(schema: Schema) -> bool:
    return schema.enum is not MISSING and schema.enum == [None]


def _needs_none(schema: Schema) -> bool:
    return schema.nullable and not _is_null(schema)
