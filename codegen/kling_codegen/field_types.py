"""The types of a model's parameters: the one caller of datamodel-code-generator.

Its source is read as a syntax tree, beside the schema it comes from, which has all other facts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from datamodel_code_generator import InputFileType, LiteralType, PythonVersion, generate
from datamodel_code_generator.enums import DataModelType, TargetPydanticVersion
from pydantic import MISSING

from kling_codegen.corrections import type_schema, without_alias
from kling_codegen.names import field_names
from kling_codegen.rules.paths import find_item
from kling_codegen.schema import Schema


@dataclass(frozen=True)
class TypedField:
    """One parameter, and the type that datamodel-code-generator infers for it; see corrections.py."""

    name: str
    wire: str
    schema: Schema
    type: ast.expr
    is_required: bool


@dataclass(frozen=True)
class TypedClass:
    """The model itself, or an object within it; `user` is the parameter that holds such objects."""

    name: str
    user: TypedField | None
    schema: Schema
    fields: tuple[TypedField, ...]


def infer_classes(name: str, schema: Schema) -> list[TypedClass]:
    """Return the classes of a schema, parts before their users; the last one is called `name`."""
    source = generate(
        type_schema(schema),
        input_file_type=InputFileType.JsonSchema,
        output_model_type=DataModelType.PydanticV2BaseModel,
        target_python_version=PythonVersion.PY_311,
        target_pydantic_version=TargetPydanticVersion.V2_14,
        class_name=name,
        base_class="kling_adapters.schema.params.Part",
        use_annotated=True,
        enum_field_as_literal=LiteralType.All,
        strict_nullable=True,
        keep_model_order=True,
        disable_timestamp=True,
        use_generic_container_types=True,
        use_standard_collections=True,
        formatters=[],
    )
    nodes = {node.name: node for node in ast.parse(str(source)).body if isinstance(node, ast.ClassDef)}
    return list(_walk_classes(nodes, name, schema, None))


def _walk_classes(
    nodes: Mapping[str, ast.ClassDef], name: str, schema: Schema, user: TypedField | None
) -> Iterator[TypedClass]:
    """Walk the classes and the schema side by side."""
    assert schema.properties is not MISSING
    names = field_names(schema.properties)
    required = () if schema.required is MISSING else schema.required
    annotations = [node.annotation for node in nodes[name].body if isinstance(node, ast.AnnAssign)]
    fields: list[TypedField] = []
    # By order: a field that is named like a class gets another name.
    for (wire, part), annotation in zip(schema.properties.items(), annotations, strict=True):
        field = TypedField(names[wire], wire, part, without_alias(annotation), wire in required)
        fields.append(field)
        inner, _ = find_item(part)
        if inner.kind == "object":
            [part_name] = [
                node.id for node in ast.walk(field.type) if isinstance(node, ast.Name) and node.id in nodes
            ]
            yield from _walk_classes(nodes, part_name, inner, field)
    yield TypedClass(name, user, schema, tuple(fields))
