"""The rule `exactly_one_of`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from kling_codegen.messages import Message, format_list
from kling_codegen.rules.condition import Part
from kling_codegen.rules.group import Group
from kling_codegen.rules.kinds.at_least_one_of import AtLeastOneOf
from kling_codegen.rules.kinds.mutually_exclusive import MutuallyExclusive
from kling_codegen.rules.standard_form import set_form
from kling_codegen.schema import Schema


class ExactlyOneOf(Group):
    """One of these parameters must be set, and no other; a default does not count as set."""

    example: ClassVar = "[image_url, video_url]"
    meaning: ClassVar = "one of these must be set, and only one"

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        names = [name for name in self.root if name in set_values]
        if len(names) != 1:
            text = f"sets {' and '.join(names)} together" if names else "is incomplete"
            yield Message(text, f"exactly one of {format_list(self.root)}")

    def text(self) -> str:
        return f"Exactly one of {', '.join(self.root)} must be set."

    def parts(self) -> Iterator[Part]:
        yield from AtLeastOneOf(self.root).parts()
        yield from MutuallyExclusive(self.root).parts()

    def json_schema(self, properties: Mapping[str, Schema]) -> dict[str, Any]:
        return {"oneOf": [set_form(name, properties[name]) for name in self.root]}
