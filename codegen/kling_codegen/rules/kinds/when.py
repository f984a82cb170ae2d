"""The rule `when`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field

from kling_codegen.closed import Closed, Text, iter_repeated
from kling_codegen.keywords import UNKNOWN
from kling_codegen.messages import LocatedMessage, Location, Message, format_value
from kling_codegen.rules.condition import Condition, Part, join_names
from kling_codegen.rules.consequences import (
    BOUNDS,
    COMPARED_KINDS,
    Then,
    describe_consequence,
    is_violated,
    join_choices,
    uncomparable,
)
from kling_codegen.rules.paths import Indexes, Target, find_target, find_values
from kling_codegen.rules.standard_form import ConditionForms, consequence_form, equals_form, set_form
from kling_codegen.schema import Schema, violations

# A condition with more combinations of values is compared as a whole.
_MAX_COMBINATIONS = 64


class When(Condition, Closed):
    """If each of `equals` has a value of its list and each of `present` is set, `then` holds."""

    example: ClassVar = "{equals: {mode: std}, present: [image_url], then: {maximum: {duration: 5}}}"
    meaning: ClassVar = "what a condition limits, requires or forbids"
    takes_paths: ClassVar = True

    equals: Annotated[
        dict[Text, Any], Field(description="Parameters and their value, or a list of values.")
    ] = {}
    present: Annotated[list[Text], Field(description="Parameters that are set.")] = []
    then: Annotated[Then, Field(description="What holds under the condition, see below.")]

    def problems(self) -> Iterator[LocatedMessage]:
        if not self.equals and not self.present:
            yield (), Message("when needs equals or present")
        for index, name in iter_repeated(self.present):
            yield ("present", index), Message(f"{name} is listed twice")

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield from ((("equals", name), name) for name in self.equals)
        yield from ((("present", index), name) for index, name in enumerate(self.present))
        yield from ((("then", *at), name) for at, name, _, _ in self.then.iter_consequences())

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        for name, choices in self._choices.items():
            if target := find_target(name, properties, required):
                yield from _equals_errors(name, choices, self.equals[name], target)
        for at, message in self.then.reference_errors(properties, required):
            yield ("then", *at), message
        in_list: tuple[str, str] | None = None
        for at, name in self.parameters():
            target = find_target(name, properties, required)
            if target is None or not target.list_path:
                continue
            in_list = in_list or (name, target.list_path)
            if target.list_path != in_list[1]:
                text = (
                    f"{name} is in the list {target.list_path}, and {in_list[0]} is in the list {in_list[1]}"
                )
                yield at, Message(text, "one list in a rule")

    @property
    def _choices(self) -> dict[str, list[Any]]:
        return {
            name: [*cast("Sequence[Any]", value)] if isinstance(value, list) else [value]
            for name, value in self.equals.items()
        }

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        items = self._find_items(set_values, values)
        for _, name, key, limit in self.then.iter_consequences():
            is_broken = any(
                is_violated(key, value, limit)
                for indexes, value in find_values(name, set_values)
                if items and (items == {()} or indexes == () or indexes in items)
            )
            if is_broken:
                consequence = describe_consequence(name, key, limit)
                yield Message(f"{consequence} if {self._condition_text}")

    def _find_items(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> set[Indexes]:
        """Return the items for which the condition holds; `()` if it is about no list."""
        matches = [
            {indexes for indexes, value in find_values(name, values) if value in choices}
            for name, choices in self._choices.items()
        ]
        matches += [
            {indexes for indexes, value in find_values(name, set_values) if value is not None}
            for name in self.present
        ]
        items: set[Indexes] = {()}
        for matching in matches:
            if matching != {()}:
                items = matching if items == {()} else items & matching
        return items

    def text(self) -> str:
        return f"If {self._condition_text}, {self.then.text()}."

    @property
    def _condition_text(self) -> str:
        parts = [f"{name} is {join_choices(choices)}" for name, choices in self._choices.items()]
        return join_names(parts + [f"{name} is set" for name in self.present])

    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        condition = {
            "equals": {name: tuple(choices) for name, choices in self._choices.items()},
            "present": tuple(self.present),
        }
        consequences: dict[str, Any] = {
            "allowed": {name: tuple(choices) for name, choices in self.then.allowed.items()},
            **{
                name: getattr(self.then, name)
                for name in Then.model_fields
                if name.startswith(("min", "max"))
            },
            "required": tuple(self.then.required),
            "forbidden": tuple(self.then.forbidden),
        }
        return (), {key: value for key, value in (condition | consequences).items() if value}

    def parts(self) -> Iterator[Part]:
        combinations: list[dict[str, Any]] = [self.equals]
        if math.prod(map(len, self._choices.values())) <= _MAX_COMBINATIONS:
            combinations = [
                dict(zip(self._choices, values, strict=True)) for values in product(*self._choices.values())
            ]
        for equals in combinations:
            condition: dict[str, Any] = {name: equals[name] for name in sorted(equals)}
            condition |= {"set": sorted(self.present)} if self.present else {}
            for _, name, key, limit in self.then.iter_consequences():
                yield _make_part(name, key, limit, condition, [*self.equals, *self.present])

    def json_schema(self, properties: Mapping[str, Schema]) -> dict[str, Any]:
        forms = ConditionForms(properties)
        for path, choices in self._choices.items():
            forms.add_condition(path, partial(equals_form, choices=choices))
        for path in self.present:
            forms.add_condition(path, set_form)
        for _, path, key, limit in self.then.iter_consequences():
            forms.add_consequence(path, partial(consequence_form, key=key, limit=limit))
        return forms.build()

    def can_refuse_default(self, name: str, default: Any) -> bool:
        return default in self._choices.get(name.replace("[]", ""), ())

    def redundancies(self, required: Sequence[str]) -> Iterator[LocatedMessage]:
        for at, name in self.parameters():
            if at[-2] in ("present", "required") and name in required:
                yield at, Message(f"{name} is required, so it is always set")


def _equals_errors(name: str, choices: list[Any], value: Any, target: Target) -> Iterator[LocatedMessage]:
    schema = target.schema
    if schema.kind not in (*COMPARED_KINDS, UNKNOWN):
        yield ("equals", name), uncomparable(name, schema.kind)
        return
    if "format" in schema.keywords():
        yield ("equals", name), Message(f"{name} has a format, and callers may pass a file for it")
        return
    if not choices:
        yield ("equals", name), Message(f"{name} needs a value")
    for index, choice in iter_repeated(choices):
        yield ("equals", name, index), Message(f"the value {format_value(choice)} is listed twice")
    for index, choice in enumerate(choices):
        at: Location = ("equals", name, index) if isinstance(value, list) else ("equals", name)
        for below, message in violations(schema, choice):
            yield (*at, *below), message.with_subject(f"{name}:")


def _make_part(name: str, key: str, limit: Any, condition: Mapping[str, Any], names: Sequence[str]) -> Part:
    """Return one consequence of a condition; an unlimited parameter is the same as no rule."""
    aspect = f"{key} when {json.dumps(condition, ensure_ascii=False)}"
    parameters = tuple(dict.fromkeys([name, *sorted(names)]))
    if key in BOUNDS:
        bound = BOUNDS[key]
        return Part(parameters, aspect, limit, limit=limit, beyond=bound.beyond, is_lower=bound.is_lower)
    if key == "allowed":
        return Part(parameters, aspect, limit, allowed=tuple(limit))
    return Part(parameters, aspect, {"when": dict(condition), "then": key})
