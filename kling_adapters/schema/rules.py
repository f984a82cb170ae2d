"""Rules: conditions between parameters that JSON Schema expresses badly."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from kling_adapters import _text
from kling_adapters.errors import Problem
from kling_adapters.media.inputs import measure_media


class Rule(Protocol):
    """What JSON Schema says badly: a condition between parameters."""

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with `values`: parameters by wire name, an unset one holding its documented default.

        `given` has only those that were set.
        """
        ...


@dataclass(frozen=True)
class Requires:
    """If `field` is given, each parameter of `present` must be given and each of `equals` must have its value."""

    field: str
    present: Sequence[str] = dataclasses.field(default=(), kw_only=True)
    equals: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any], kw_only=True)

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule. A default is a value, but it does not count as given."""
        value = given.get(self.field)
        if value is None:
            return
        for name in self.present:
            if given.get(name) is None:
                yield Problem(self.field, f"needs {name}, which is not given", value)
        for name, wanted in self.equals.items():
            actual = values.get(name)
            # To Python, True is 1.
            if actual != wanted or isinstance(actual, bool) != isinstance(wanted, bool):
                yield Problem(self.field, f"needs {name}={wanted!r}, which is {_text.show(actual)}", value)


@dataclass(frozen=True)
class References:
    """Each `token` with a number in the text `field` must name an item of `list`, counted from 1."""

    field: str
    token: str = dataclasses.field(kw_only=True)
    list: str = dataclasses.field(kw_only=True)

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        text, items = values.get(self.field), values.get(self.list)
        if items is None:
            items = ()
        if not isinstance(text, str) or not isinstance(items, list | tuple):
            return
        count = len(cast("Sequence[Any]", items))
        before, after = map(re.escape, self.token.split("{n}"))
        # A token that starts with the number is looked for once in each run of digits, not at each digit.
        start = before or "(?<![0-9])"
        found = re.finditer(f"{start}([0-9]+){after}", text)
        for match in {match[0]: match for match in found}.values():
            # An endless number must not be turned into an int: it cannot name an item anyway.
            number = match[1].lstrip("0")
            if not number or len(number) > 9 or int(number) > count:
                yield Problem(
                    self.field,
                    f"names {_text.shorten(match[0], 80)}, but {self.list} has {_count(count)}",
                    text,
                )


@dataclass(frozen=True, init=False)
class AtLeastOneOf:
    """One of the parameters `names` must be given, or several.

    A documented default does not count as given: the rule asks what the caller chose, and a group with a default
    in it could never be broken. None counts as not given.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        if all(given.get(name) is None for name in self.names):
            first, *others = self.names
            yield Problem(
                first,
                f"not given, and neither is {' or '.join(others)}",
                allowed=f"at least one of {', '.join(self.names)}",
            )


@dataclass(frozen=True, init=False)
class MutuallyExclusive:
    """Only one of the parameters `names` may be given.

    A documented default does not count as given: it is what the gateway falls back on, so it excludes nothing, and
    two parameters with defaults could otherwise never be used. None counts as not given.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        first, *others = [name for name in self.names if given.get(name) is not None] or [""]
        for name in others:
            yield Problem(
                name,
                f"cannot be given together with {first}",
                given[name],
                f"only one of {', '.join(self.names)}",
            )


@dataclass(frozen=True)
class MaxBytes:
    """A file given for `field` may have at most `bytes` bytes. A URL is not fetched, so it never breaks this."""

    field: str
    bytes: int = dataclasses.field(kw_only=True)

    def problems(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        value = given.get(self.field)
        size = measure_media(value)
        if size is not None and size > self.bytes:
            yield Problem(self.field, f"{size} bytes are too many", value, f"at most {self.bytes}")


def _count(items: int) -> str:
    return "no items" if items == 0 else f"{items} item{'' if items == 1 else 's'}"
