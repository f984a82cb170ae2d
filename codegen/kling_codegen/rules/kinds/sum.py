"""The rule `sum`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text
from kling_codegen.keywords import LARGEST, UNKNOWN, Number
from kling_codegen.messages import LocatedMessage, Location, Message, format_number
from kling_codegen.rules.condition import Condition, Part, join_names
from kling_codegen.rules.paths import find_target
from kling_codegen.schema import Schema

_NUMBERS = ("integer", "number", UNKNOWN)


class Sum(Condition, Closed):
    """The numbers `of` all items of a list must add up to the parameter `equals`, or to a number within limits."""

    example: ClassVar = "{of: shots.duration, equals: duration, minimum: 3, maximum: 15}"
    meaning: ClassVar = "a number in the items of a list that adds up to another, or to one within limits"
    takes_paths: ClassVar = True

    of: Annotated[Text, Field(description="A number in the items of a list.")]
    equals: Annotated[Text | MISSING, Field(description="The parameter that is the sum.")] = MISSING
    minimum: Annotated[Number | MISSING, Field(description="The smallest allowed sum.")] = MISSING
    maximum: Annotated[Number | MISSING, Field(description="The largest allowed sum.")] = MISSING

    def problems(self) -> Iterator[LocatedMessage]:
        if self.model_fields_set == {"of"}:
            yield (), Message("sum needs equals, minimum or maximum")
        if self.minimum is not MISSING and self.maximum is not MISSING and self.minimum > self.maximum:
            yield ("maximum",), Message(f"maximum {self.maximum} is below minimum {self.minimum}")

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield ("of",), self.of
        if self.equals is not MISSING:
            yield ("equals",), self.equals

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        target = find_target(self.of, properties, required)
        if target and (target.schema.kind not in _NUMBERS or not _is_in_list(self.of, properties)):
            yield (
                ("of",),
                Message(f"{self.of} is not a number in the items of a list", "such as shots.duration"),
            )
        total = None if self.equals is MISSING else find_target(self.equals, properties, required)
        if total and (total.schema.kind not in _NUMBERS or "." in str(self.equals)):
            yield ("equals",), Message(f"{self.equals} is not a parameter of the model that is a number")

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        list_name, _, name = self.of.partition(".")
        items: Any = values.get(list_name)
        numbers = (
            [item.get(name) if item else None for item in items or ()] if not isinstance(items, str) else []
        )
        if not numbers or None in numbers:
            return
        total = sum(map(_exact, numbers), Fraction())
        expected = None if self.equals is MISSING else values.get(self.equals)
        bounds = (
            (self.minimum is not MISSING and total < _exact(self.minimum)),
            (self.maximum is not MISSING and total > _exact(self.maximum)),
            (expected is not None and total != _exact(expected)),
        )
        if any(bounds):
            # A large number has no float next to it.
            is_whole = total.denominator == 1 or abs(total) > LARGEST
            text = f"{self.of} adds up to {round(total) if is_whole else float(total)}"
            yield Message(text, self._limits_text)

    def text(self) -> str:
        return f"The values of {self.of} must add up to {self._limits_text}."

    @property
    def _limits_text(self) -> str:
        limits = [] if self.equals is MISSING else [f"{self.equals}"]
        limits += [] if self.minimum is MISSING else [f"at least {format_number(self.minimum)}"]
        limits += [] if self.maximum is MISSING else [f"at most {format_number(self.maximum)}"]
        return join_names(limits)

    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        limits = {name: getattr(self, name) for name in ("equals", "minimum", "maximum")}
        return (self.of,), {name: limit for name, limit in limits.items() if limit is not MISSING}

    def parts(self) -> Iterator[Part]:
        if self.equals is not MISSING:
            value = {"sum": {"of": self.of, "equals": self.equals}}
            yield Part((self.of, self.equals), "sum", value)
        if self.minimum is not MISSING:
            yield Part(
                (self.of,), "sum minimum", self.minimum, self.minimum, beyond="smaller sums", is_lower=True
            )
        if self.maximum is not MISSING:
            yield Part((self.of,), "sum maximum", self.maximum, self.maximum, beyond="larger sums")

    def can_refuse_default(self, name: str, default: Any) -> bool:
        return name.replace("[]", "") in (self.of, self.equals)


def _is_in_list(path: str, properties: Mapping[str, Schema]) -> bool:
    """Return whether a path is that of a property of the items of a list of objects."""
    list_name, _, name = path.partition(".")
    items = properties[list_name].list_form.items
    return bool(name) and "." not in name and items is not MISSING and items.kind in ("object", UNKNOWN)


def _exact(number: Any) -> Fraction:
    """Return a number as it is written: of 0.1, the tenth and not the float next to it."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)
