"""The rule Sum: a number in the items of a list that adds up to another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from kling_adapters import _text
from kling_adapters.problems import Problem
from kling_adapters.schema.paths import read_number

_LARGEST_FRACTION = 2**53


@dataclass(frozen=True)
class Sum:
    """The numbers in all items of a list must add up to a parameter, or to a number within limits.

    It is checked if the list has items and each has the number; a documented default counts.

    Attributes:
        of: The list and the number in its items, such as `shots.duration`.
        equals: The parameter that is the sum; a documented default counts.
        minimum: The smallest allowed sum.
        maximum: The largest allowed sum.

    """

    of: str
    equals: str | None = dataclasses.field(default=None, kw_only=True)
    minimum: float | None = dataclasses.field(default=None, kw_only=True)
    maximum: float | None = dataclasses.field(default=None, kw_only=True)

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        list_name, _, name = self.of.partition(".")
        total = _add(values.get(list_name), name)
        if total is None:
            return
        message, value = f"{self.of} adds up to {_show(total)}", set_values.get(list_name)
        expected = None if self.equals is None else _exact(values.get(self.equals))
        if expected is not None and total != expected:
            yield Problem(list_name, f"{message}, but {self.equals} is {_show(expected)}", value)
        if self.minimum is not None and total < Fraction(repr(self.minimum)):
            yield Problem(list_name, message, value, f"at least {_text.format_number(self.minimum)}")
        if self.maximum is not None and total > Fraction(repr(self.maximum)):
            yield Problem(list_name, message, value, f"at most {_text.format_number(self.maximum)}")


def _add(items: Any, name: str) -> Fraction | None:
    """Return the sum of a number in all items; None if there are no items, or one does not have it."""
    if not isinstance(items, list):
        return None
    total = Fraction()
    for item in cast("Sequence[Any]", items):
        number = _exact(cast("Mapping[str, Any]", item).get(name)) if isinstance(item, dict) else None
        if number is None:
            return None
        total += number
    return total if items else None


def _exact(value: Any) -> Fraction | None:
    """Return a number as it is written: of 0.1, the tenth and not the float next to it."""
    number = read_number(value)
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _show(number: Fraction) -> str:
    # A large number has no float next to it.
    is_large = abs(number) > _LARGEST_FRACTION
    return _text.format_number(round(number) if is_large else float(number))
