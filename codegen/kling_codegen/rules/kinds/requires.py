"""The rule `requires`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kling_codegen.closed import Closed, Text
from kling_codegen.messages import LocatedMessage, Location, Message, format_value
from kling_codegen.rules.condition import Condition, Part, join_names, quote
from kling_codegen.schema import Schema, violations


class Requires(Condition, Closed):
    """If `field` is set, each of `present` must be set, and each of `equals` must have that value."""

    example: ClassVar = "{field: tail_image_url, present: [image_url], equals: {mode: pro}}"
    meaning: ClassVar = "a parameter that needs others to be set, or to have a value"

    field: Annotated[Text, Field(description="The parameter that needs others.")]
    present: Annotated[list[Text], Field(description="Parameters that must be set with it.")] = []
    equals: Annotated[dict[str, Any], Field(description="Parameters and the values they must have.")] = {}

    def problems(self) -> Iterator[LocatedMessage]:
        if not self.present and not self.equals:
            yield (), Message("requires needs present or equals")

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield ("field",), self.field
        yield from ((("present", index), name) for index, name in enumerate(self.present))
        yield from ((("equals", name), name) for name in self.equals)

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        for name in self.equals.keys() & properties.keys():
            for at, message in violations(properties[name], self.equals[name]):
                yield ("equals", name, *at), message.with_subject(f"{name}:")

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        if self.field not in set_values:
            return
        for name in self.present:
            if name not in set_values:
                yield Message(f"{self.field} needs {name}, which is not set")
        for name, expected in self.equals.items():
            if set_values.get(name, values.get(name)) != expected:
                yield Message(f"{self.field} needs {name} to be {format_value(expected)}")

    def text(self) -> str:
        needs = [f"{name} to be set" for name in self.present]
        needs += [f"{name} to be {quote(value)}" for name, value in self.equals.items()]
        return f"{self.field} needs {join_names(needs)}."

    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        keywords = {"present": tuple(self.present), "equals": self.equals}
        return (self.field,), {key: value for key, value in keywords.items() if value}

    def parts(self) -> Iterator[Part]:
        for name in self.present:
            yield Part((self.field,), f"requires {name}", {"requires": name}, any_of=frozenset({name}))
        for name, value in self.equals.items():
            yield Part((self.field,), f"requires {name} {value!r}", {"requires": {name: value}})

    def can_refuse_default(self, name: str, default: Any) -> bool:
        return bool(self.equals.get(name, default) != default)

    def redundancies(self, required: Sequence[str]) -> Iterator[LocatedMessage]:
        for at, name in self.parameters():
            if at[0] == "present" and name in required:
                yield at, Message(f"{name} is required, so it is always set")
            elif at[0] != "field" and name == self.field:
                yield at, Message(f"{name} needs itself")
