"""Conditions in keywords of JSON Schema, for the packaged schema of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import MISSING

from kling_codegen.rules.consequences import BOUNDS
from kling_codegen.rules.paths import find_target
from kling_codegen.schema import Schema

Form: TypeAlias = dict[str, Any]


def set_form(name: str, schema: Schema) -> Form:
    """Return the form of an object in which a parameter is set."""
    is_set: Form = {"required": [name]}
    return {**is_set, "properties": {name: {"not": {"type": "null"}}}} if schema.nullable else is_set


def equals_form(name: str, schema: Schema, choices: Sequence[Any]) -> Form:
    """Return the form of an object in which a parameter, or its default, has one of these values."""
    has_value: Form = {"properties": {name: {"enum": list(choices)}}}
    unset_value = None if schema.default is MISSING else schema.default
    return has_value if unset_value in choices else {"required": [name], **has_value}


def consequence_form(name: str, schema: Schema, key: str, limit: Any) -> Form:
    """Return the form of an object that has a consequence of a condition."""
    if key == "required":
        return set_form(name, schema)
    if key == "forbidden":
        value: Any = {"type": "null"} if schema.nullable else False
    elif key == "allowed":
        value = {"enum": [*limit, None] if schema.nullable and None not in limit else list(limit)}
    else:
        value = {BOUNDS[key].keyword: limit}
    return {"properties": {name: value}}


class ConditionForms:
    """The form of a condition and its consequences, some of which can be about the items of one list.

    Args:
        properties: The parameters of the model.

    """

    def __init__(self, properties: Mapping[str, Schema]) -> None:
        self._properties = properties
        self._list_path = ""
        # Outside the list, and for an item of it.
        self._conditions: tuple[list[Form], list[Form]] = ([], [])
        self._consequences: tuple[list[Form], list[Form]] = ([], [])

    def add_condition(self, path: str, make_form: Callable[[str, Schema], Form]) -> None:
        """Add a part of the condition; `make_form` makes the form of the object that has the parameter."""
        form, is_in_list = self._nest(path, make_form, must_exist=True)
        self._conditions[is_in_list].append(form)

    def add_consequence(self, path: str, make_form: Callable[[str, Schema], Form]) -> None:
        """Add a consequence, as `add_condition` does."""
        form, is_in_list = self._nest(path, make_form, must_exist=False)
        self._consequences[is_in_list].append(form)

    def _nest(
        self, path: str, make_form: Callable[[str, Schema], Form], *, must_exist: bool
    ) -> tuple[Form, bool]:
        target = find_target(path, self._properties, ())
        if target is None:
            raise ValueError(f"{path} is not a parameter")
        self._list_path = target.list_path or self._list_path
        relative_path = path.removeprefix(f"{target.list_path}.") if target.list_path else path
        form = make_form(path.rpartition(".")[2], target.schema)
        return _nest(relative_path, form, must_exist=must_exist), bool(target.list_path)

    def build(self) -> Form:
        """Return the form of the whole."""
        outer_conditions, item_conditions = self._conditions
        outer_consequences, item_consequences = self._consequences
        forms: list[Form] = []
        if outer_consequences:
            conditions = list(outer_conditions)
            if item_conditions:
                conditions.append(self._nest_in_list(_combine(item_conditions), must_exist=True))
            forms.append(_imply(conditions, _combine(outer_consequences)))
        if item_consequences:
            of_item = _imply(item_conditions, _combine(item_consequences))
            forms.append(_imply(outer_conditions, self._nest_in_list(of_item, must_exist=False)))
        return _combine(forms)

    def _nest_in_list(self, form: Form, *, must_exist: bool) -> Form:
        return _nest_in_list(self._list_path, self._properties, form, must_exist=must_exist)


def _imply(conditions: Sequence[Form], form: Form) -> Form:
    return {"if": _combine(conditions), "then": form} if conditions else form


def _combine(forms: Sequence[Form]) -> Form:
    """Return the form of all forms together."""
    return forms[0] if len(forms) == 1 else {"allOf": list(forms)}


def _nest(path: str, form: Form, *, must_exist: bool) -> Form:
    """Return the form of an object around the object that has the parameter at a path through objects.

    Args:
        path: The path of the parameter.
        form: The form of the object that has the parameter.
        must_exist: True for a condition, which does not hold if an object is missing.

    """
    for name in reversed(path.split(".")[:-1]):
        if must_exist:
            form = {"required": [name], "properties": {name: {"type": "object", **form}}}
        else:
            form = {"properties": {name: form}}
    return form


def _nest_in_list(list_path: str, properties: Mapping[str, Schema], form: Form, *, must_exist: bool) -> Form:
    """Return the form of an object around every item of a list; around one of them if `must_exist`."""
    name, _, rest = list_path.partition(".")
    schema, levels = properties[name].list_form, 0
    while schema.items is not MISSING:
        schema, levels = schema.items, levels + 1
    if rest and schema.properties is not MISSING:
        form = _nest_in_list(rest, schema.properties, form, must_exist=must_exist)
    form = {"type": "object", **form} if must_exist else form
    for _ in range(levels):
        form = {"type": "array", "contains": form} if must_exist else {"items": form}
    inside: Form = {"properties": {name: form}}
    return {"required": [name], **inside} if must_exist else inside
