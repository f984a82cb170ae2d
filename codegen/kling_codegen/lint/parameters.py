"""The parameters of a spec with their locations, and the type of a finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import MISSING

from kling_codegen.language import LintRule
from kling_codegen.messages import Location, Message
from kling_codegen.schema import Schema

Finding: TypeAlias = tuple[LintRule, Location, Message]


@dataclass(frozen=True)
class Parameter:
    """A parameter, or a property within one, and its location."""

    at: Location
    schema: Schema
    is_required: bool

    @property
    def path(self) -> str:
        """The name after the names of the enclosing objects: shots.prompt."""
        return parameter_path(self.at)

    @property
    def description(self) -> str:
        """The description; an empty text if there is none."""
        return "" if self.schema.description is MISSING else self.schema.description


def parameter_path(at: Location) -> str:
    """Return the path of the parameter at a location, such as shots.prompt; empty outside parameters."""
    steps = iter(at if at[:1] == ("input",) else ())
    return ".".join(str(next(steps)) for step in steps if step == "properties")


def walk_parameters(
    properties: Mapping[str, Schema], required: Iterable[str], at: Location = ("input",)
) -> Iterator[Parameter]:
    """Yield every parameter, followed by the parameters within it."""
    for name, schema in properties.items():
        location = (*at, "properties", name)
        yield Parameter(location, schema, name in required)
        if schema.other_form is not MISSING:
            schema, location = schema.other_form, (*location, "or")  # noqa: PLW2901
        while schema.items is not MISSING:
            schema, location = schema.items, (*location, "items")  # noqa: PLW2901
        if schema.properties is not MISSING:
            inner_required = [] if schema.required is MISSING else schema.required
            yield from walk_parameters(schema.properties, inner_required, location)
