"""The base of rules about a group of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import ConfigDict, Field, RootModel

from kling_codegen.closed import Text, iter_repeated
from kling_codegen.messages import LocatedMessage, Location, Message
from kling_codegen.rules.condition import Condition
from kling_codegen.schema import Schema


class Group(Condition, RootModel[Annotated[list[Text], Field(min_length=2)]]):
    """A condition about several parameters, none of which is required."""

    model_config = ConfigDict(strict=True, frozen=True)

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield from (((index,), name) for index, name in enumerate(self.root))

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        for index, name in iter_repeated(self.root):
            yield (index,), Message(f"{name} is listed twice")
        for index, name in enumerate(self.root):
            if name in properties and name in required:
                yield (index,), Message(f"{name} is required, so it is always set")

    def arguments(self) -> tuple[tuple[str, ...], dict[str, object]]:
        return tuple(self.root), {}
