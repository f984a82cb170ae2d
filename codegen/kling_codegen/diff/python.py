"""The changes of names in Python, and of the accepted forms of a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kling_codegen.diff.change import Change, limit_change
from kling_codegen.diff.renames import rename_path
from kling_codegen.ir import Class, build_module
from kling_codegen.language import Spec
from kling_codegen.rules.paths import find_item
from kling_codegen.schema import Schema


def compare_names(old: Spec, new: Spec, renamed: Mapping[str, str]) -> Iterator[Change]:
    """Yield classes and attributes with another name, and parameters that no longer accept "5" for 5.

    An old name in `renamed` is an attribute at run time, too.
    """
    before = {rename_path(path, renamed): kind for path, kind in _classes_by_path(old).items()}
    after = _classes_by_path(new)
    for path in before.keys() & after.keys():
        old_class, new_class = before[path], after[path]
        if old_class.name != new_class.name:
            yield Change(
                "breaking", path, "class", old_class.name, new_class.name, "imports of the class fail"
            )
        fields = {field.wire: field for field in new_class.fields}
        for field in old_class.fields:
            wire = field.wire if path else renamed.get(field.wire, field.wire)
            at, new_field = f"{path}.{wire}".lstrip("."), fields.get(wire, field)
            is_readable = wire != field.wire and field.name == field.wire
            if field.name != new_field.name and not is_readable:
                effect = "code that reads it fails"
                yield Change("breaking", at, "attribute", field.name, new_field.name, effect)
            if "IntOrStr[" in field.type and "IntOrStr[" not in new_field.type:
                affected = 'alternate forms such as "5" for 5'
                yield limit_change(at, "alternate form", "accepted", "refused", affected, narrower=True)


def _classes_by_path(spec: Spec) -> dict[str, Class]:
    """Return the class of each object of a model by its path; that of the model itself is empty."""
    module = build_module(spec)
    paths = _object_paths(spec.input.as_schema(), "")
    return dict(zip(paths, (*module.parts, module.model), strict=True))


def _object_paths(schema: Schema, path: str) -> Iterator[str]:
    """Yield the path of each object, those within it first, as the classes come."""
    for name, part in schema.keywords().get("properties", {}).items():
        inner, at = find_item(part, f"{path}.{name}".lstrip("."))
        if inner.kind == "object":
            yield from _object_paths(inner, at)
    yield path
