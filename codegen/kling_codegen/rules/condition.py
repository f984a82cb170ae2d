"""The interface of a kind of rule to the compiler."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kling_codegen.messages import LocatedMessage, Location, Message
from kling_codegen.schema import Schema


@dataclass(frozen=True)
class Part:
    """The smallest part of a condition that `kling-codegen diff` compares.

    Attributes:
        parameters: the parameters; with `name` they identify the part.
        value: the part in the form of a diff.
        limit: the bound, for a part that is one.
        is_lower: whether `limit` is a lower bound; otherwise a smaller limit is narrower.
        beyond: the values beyond the limit, such as larger files.
        allowed: the allowed values, for a part that lists them.
        any_of: the parameters of which one must be set, if the part asks for that.
        is_unconditional: whether `any_of` holds for every call.

    """

    parameters: tuple[str, ...]
    name: str
    value: Any
    limit: float | None = None
    is_lower: bool = False
    beyond: str = ""
    allowed: tuple[Any, ...] | None = None
    any_of: frozenset[str] = frozenset()
    is_unconditional: bool = False


class Condition(ABC):
    """One kind of rule.

    Locations count from the value of the rule's key. A parameter counts as set if it has a value other than null;
    a default does not count as set.
    """

    # The reference in specs/README.md: the value of the key, and the meaning of the rule.
    example: ClassVar[str]
    meaning: ClassVar[str]
    # True if names can be paths into nested parameters.
    takes_paths: ClassVar[bool] = False

    @abstractmethod
    def parameters(self) -> Iterator[tuple[Location, str]]:
        """Yield the name of each parameter in the condition, and the location of the name."""

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        """Yield parameters that a condition of this kind cannot have. Unknown names are found elsewhere."""
        yield from ()

    @abstractmethod
    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """Yield the violations by an example; `values` includes the defaults of unset parameters."""

    @abstractmethod
    def text(self) -> str:
        """Return the condition as one sentence, for the documentation and for `kling show`."""

    @abstractmethod
    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments of the runtime class, which has the same name."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """Yield the parts that `kling-codegen diff` compares, independent of their grouping."""

    def json_schema(self, properties: Mapping[str, Schema]) -> dict[str, Any]:
        """Return the condition in keywords of JSON Schema, for the packaged schema; empty without such a form.

        Only kinds from `exactly_one_of` on have one; the schema of a model that does not use them stays as it is.
        """
        del properties
        return {}

    def can_refuse_default(self, name: str, default: Any) -> bool:
        """Return whether this default can make a call without `name` violate the condition."""
        del name, default
        return False

    def redundancies(self, required: Sequence[str]) -> Iterator[LocatedMessage]:
        """Yield the parts without effect, for `kling-codegen lint`."""
        del required
        yield from ()


def quote(value: Any) -> str:
    """Return a value within a sentence: plain text as it is, everything else as JSON."""
    is_plain = isinstance(value, str) and value and value == " ".join(value.split())
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def join_names(names: Sequence[str]) -> str:
    """Return names within a sentence: `a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
