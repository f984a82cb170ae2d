"""Rules: conditions between parameters that JSON Schema cannot express well."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kling_adapters import _text
from kling_adapters.media.inputs import measure_media
from kling_adapters.problems import Problem
from kling_adapters.schema.paths import count_items, find_values, format_location, is_same
from kling_adapters.schema.totals import Sum
from kling_adapters.schema.when import When

__all__ = [
    "AtLeastOneOf",
    "ExactlyOneOf",
    "MaxBytes",
    "MutuallyExclusive",
    "References",
    "Requires",
    "Rule",
    "Sum",
    "When",
]


class Rule(Protocol):
    """A condition between parameters."""

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the violations of this rule.

        Args:
            values: The parameters by the gateway's names, nested ones included; an unset one has its documented
                default.
            set_values: Only the parameters that the caller set. In all rules, None counts as not set.

        Yields:
            One problem for each violation.

        """
        ...


@dataclass(frozen=True)
class Requires:
    """If `field` is set, other parameters must be set, or have a certain value.

    Attributes:
        field: The parameter that requires others.
        present: Parameters that must be set; a documented default is not enough.
        equals: Parameters that must have a value; a documented default counts.

    """

    field: str
    present: Sequence[str] = dataclasses.field(default=(), kw_only=True)
    equals: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any], kw_only=True)

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        value = set_values.get(self.field)
        if value is None:
            return
        for name in self.present:
            if set_values.get(name) is None:
                yield Problem(self.field, f"requires {name}, which is not set", value)
        for name, expected in self.equals.items():
            # In `values`, an object has defaults that the caller did not set.
            actual = set_values.get(name, values.get(name))
            if not is_same(actual, expected):
                message = f"requires {name}={expected!r}, but {name} is {_text.show(actual)}"
                yield Problem(self.field, message, value)


@dataclass(frozen=True)
class References:
    """Each token with a number in a text must refer to an item of a list.

    Attributes:
        field: The parameter with the text.
        token: The token, such as `@Image{n}`; `{n}` stands for the number of the item, from 1.
        list: The parameter with the list.

    """

    field: str
    token: str = dataclasses.field(kw_only=True)
    list: str = dataclasses.field(kw_only=True)

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        text = values.get(self.field)
        if not isinstance(text, str):
            return
        numbers = _compile_token(self.token).findall(text)
        count = count_items(values, self.list)
        if count is None:
            return
        for number in dict.fromkeys(numbers):
            # A very long number is not converted to an int: it cannot refer to an item anyway.
            digits = number.lstrip("0")
            if not digits or len(digits) > 9 or int(digits) > count:
                token = _text.shorten(self.token.replace("{n}", number), 80)
                yield Problem(
                    self.field, f"refers to {token}, but {self.list} has {_count_items(count)}", text
                )


@functools.cache
def _compile_token(token: str) -> re.Pattern[str]:
    before, after = map(re.escape, token.split("{n}"))
    # A token that starts with the number is searched once per run of digits, not at each digit.
    start = before or "(?<![0-9])"
    return re.compile(f"{start}([0-9]+){after}")


@dataclass(frozen=True, init=False)
class _Group:
    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, init=False)
class AtLeastOneOf(_Group):
    """At least one of some parameters must be set.

    A documented default does not count: otherwise a group with a default in it could never be violated.

    Attributes:
        names: The parameters.

    """

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        if all(set_values.get(name) is None for name in self.names):
            yield _missing_problem(self.names, "at least one of")


@dataclass(frozen=True, init=False)
class MutuallyExclusive(_Group):
    """At most one of some parameters may be set.

    A documented default does not count: otherwise two parameters with defaults could never be used.

    Attributes:
        names: The parameters.

    """

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        yield from _iter_conflicts(self.names, set_values, "only one of")


@dataclass(frozen=True, init=False)
class ExactlyOneOf(_Group):
    """One of some parameters must be set, and no other.

    A documented default does not count, as in the other rules about groups.

    Attributes:
        names: The parameters.

    """

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        if all(set_values.get(name) is None for name in self.names):
            yield _missing_problem(self.names, "exactly one of")
        yield from _iter_conflicts(self.names, set_values, "exactly one of")


@dataclass(frozen=True)
class MaxBytes:
    """A file must not be larger than a limit. A URL is not fetched, so it never violates this rule.

    Attributes:
        field: The parameter with the file, or its path: `elements.frontal_image_url` is that of every element.
        bytes: The limit in bytes.

    """

    field: str
    bytes: int = dataclasses.field(kw_only=True)

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        for location, value in find_values(self.field, set_values):
            size = measure_media(value)
            if size is not None and size > self.bytes:
                path = format_location(location)
                yield Problem(path, f"too many bytes ({size})", value, f"at most {self.bytes}")


def _missing_problem(names: Sequence[str], number: str) -> Problem:
    listed = ", ".join(names)
    return Problem(names[0], f"none of {listed} is set", allowed=f"{number} {listed}")


def _iter_conflicts(names: Sequence[str], set_values: Mapping[str, Any], number: str) -> Iterator[Problem]:
    """Yield a problem at each set parameter after the first one."""
    first, *conflicts = [name for name in names if set_values.get(name) is not None] or [""]
    for name in conflicts:
        allowed = f"{number} {', '.join(names)}"
        yield Problem(name, f"cannot be combined with {first}", set_values.get(name), allowed)


def _count_items(count: int) -> str:
    return "no items" if count == 0 else f"{count} item{'' if count == 1 else 's'}"
