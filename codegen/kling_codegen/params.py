"""Plain JSON Schema -> classes and their fields. The one caller of datamodel-code-generator.

Only its types are used. They are read as syntax trees, walked beside the schema they come from, which has all
other facts. It is given the names that the fields will have, so that it has no reason to change them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datamodel_code_generator import InputFileType, LiteralType, PythonVersion, generate
from datamodel_code_generator.enums import DataModelType, TargetPydanticVersion
from pydantic import MISSING

from kling_codegen.names import field_names
from kling_codegen.schema import Schema


@dataclass(frozen=True)
class RawField:
    """One parameter: what the spec says of it, and what datamodel-code-generator makes of that.

    `type` is its annotation without Annotated, `constraints` the keywords of its Field, `default` what it is
    set to, or None for a required parameter.
    """

    name: str
    wire: str
    schema: Schema
    type: ast.expr
    constraints: Mapping[str, ast.expr]
    default: ast.expr | None


@dataclass(frozen=True)
class RawClass:
    """The model itself, or an object within it; `user` is the parameter that holds such objects."""

    name: str
    schema: Schema
    user: RawField | None
    fields: tuple[RawField, ...]


def classes(name: str, schema: Schema) -> list[RawClass]:
    """Return the classes that `schema` needs, each after those it is made of; the last is called `name`."""
    source = generate(
        _plain(schema),
        input_file_type=InputFileType.JsonSchema,
        output_model_type=DataModelType.PydanticV2BaseModel,
        target_python_version=PythonVersion.PY_311,
        target_pydantic_version=TargetPydanticVersion.V2_14,
        class_name=name,
        base_class="kling_adapters.schema.params.Part",
        use_annotated=True,
        field_constraints=True,
        enum_field_as_literal=LiteralType.All,
        strict_nullable=True,
        use_missing_sentinel=True,
        keep_model_order=True,
        disable_timestamp=True,
        use_generic_container_types=True,
        use_standard_collections=True,
        formatters=[],
    )
    nodes = {node.name: node for node in ast.parse(str(source)).body if isinstance(node, ast.ClassDef)}
    return list(_classes(nodes, name, schema, None))


def _plain(schema: Schema) -> dict[str, Any]:
    """Return the schema as plain JSON, with the names that the fields will have, and a URI as Media."""
    plain = schema.given()
    plain.pop("description", None)
    if schema.items is not MISSING:
        plain["items"] = _plain(schema.items)
        # No item is ever unset. It would come back as a constraint that pydantic warns of.
        plain["items"].pop("default", None)
    if schema.properties is not MISSING:
        called = field_names(schema.properties)
        plain["properties"] = {called[wire]: _plain(part) for wire, part in schema.properties.items()}
        plain["required"] = [called[wire] for wire in plain.get("required", [])]
    if plain.pop("format", None) == "uri":
        plain["customTypePath"] = "kling_adapters.schema.param_types.Media"
        if schema.nullable:
            # Beside a list of types it would drop the null.
            default: dict[str, Any] = {"default": plain.pop("default")} if "default" in plain else {}
            return {"anyOf": [plain | {"type": "string"}, {"type": "null"}], **default}
    return plain


def _classes(
    nodes: Mapping[str, ast.ClassDef], name: str, schema: Schema, user: RawField | None
) -> Iterator[RawClass]:
    """Walk the classes and the schema side by side."""
    assert schema.properties is not MISSING
    called = field_names(schema.properties)
    fields: list[RawField] = []
    # By order: a field that is called like a class gets another name.
    for (wire, part), node in zip(schema.properties.items(), _assignments(nodes[name]), strict=True):
        field = _field(nodes, called[wire], wire, part, node)
        fields.append(field)
        inner = part
        while inner.items is not MISSING:
            inner = inner.items
        if inner.kind == "object":
            [used] = [
                node.id for node in ast.walk(field.type) if isinstance(node, ast.Name) and node.id in nodes
            ]
            yield from _classes(nodes, used, inner, field)
    yield RawClass(name, schema, user, tuple(fields))


def _field(
    nodes: Mapping[str, ast.ClassDef], name: str, wire: str, schema: Schema, node: ast.AnnAssign
) -> RawField:
    annotation = node.annotation
    constraints: dict[str, ast.expr] = {}
    match annotation:
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([inner, ast.Call(keywords=given)])):
            annotation = inner
            constraints = {keyword.arg: keyword.value for keyword in given if keyword.arg}
            # Defaults are documentation, and load.py has checked them; names are ours.
            for unwanted in ("validate_default", "alias"):
                constraints.pop(unwanted, None)
        case _:
            pass
    return RawField(name, wire, schema, _Inline(nodes).visit(annotation), constraints, node.value)


class _Inline(ast.NodeTransformer):
    """Writes out the RootModel that datamodel-code-generator makes of an array item with a constraint."""

    def __init__(self, nodes: Mapping[str, ast.ClassDef]) -> None:
        self.nodes = nodes

    def visit_Name(self, node: ast.Name) -> ast.AST:
        definition = self.nodes.get(node.id)
        if definition is None or not ast.unparse(definition.bases[0]).startswith("RootModel["):
            return node
        annotation: ast.AST = self.visit(_assignments(definition)[0].annotation)
        return annotation

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        node = ast.BinOp(self.visit(node.left), node.op, self.visit(node.right))
        return node.left if _takes_none(node.left) and _takes_none(node.right) else node


def _takes_none(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(ast.Name("Annotated"), ast.Tuple([inner, *_])):
            return _takes_none(inner)
        case ast.BinOp(left, _, right):
            return _takes_none(left) or _takes_none(right)
        case _:
            return isinstance(node, ast.Constant) and node.value is None


def _assignments(node: ast.ClassDef) -> list[ast.AnnAssign]:
    return [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
