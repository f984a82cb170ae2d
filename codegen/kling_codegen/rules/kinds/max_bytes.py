"""The rule `max_bytes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text
from kling_codegen.keywords import UNKNOWN
from kling_codegen.messages import LocatedMessage, Location, Message
from kling_codegen.rules.condition import Condition, Part
from kling_codegen.rules.paths import find_target
from kling_codegen.schema import Schema


class MaxBytes(Condition, Closed):
    """A local file for `field` may have at most `bytes` bytes."""

    example: ClassVar = "{field: image_url, bytes: 52428800}"
    meaning: ClassVar = "the largest size of a local file"
    takes_paths: ClassVar = True

    field: Annotated[Text, Field(description="A parameter with format uri, or the path of one.")]
    bytes: Annotated[int, Field(gt=0, description="The largest size of a local file, in bytes.")]

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield ("field",), self.field

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        target = find_target(self.field, properties, required)
        if target and target.schema.kind != UNKNOWN and target.schema.format is MISSING:
            yield ("field",), Message(f"{self.field} must have format uri")

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """Yield nothing: an example has URLs, whose sizes are unknown."""
        yield from ()

    def text(self) -> str:
        mebibytes = f" ({self.bytes >> 20} MiB)" if self.bytes % (1 << 20) == 0 else ""
        return f"A local file for {self.field} can have at most {self.bytes} bytes{mebibytes}."

    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        return (self.field,), {"bytes": self.bytes}

    def parts(self) -> Iterator[Part]:
        yield Part((self.field,), "max_bytes", self.bytes, limit=self.bytes, beyond="larger files")
