"""The rule `at_least_one_of`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from kling_codegen.messages import Message, format_list
from kling_codegen.rules.condition import Part
from kling_codegen.rules.group import Group


class AtLeastOneOf(Group):
    """One of these parameters must be set, or several; a default does not count as set."""

    example: ClassVar = "[image_url, video_url]"
    meaning: ClassVar = "one of these must be set, or several; none of them is required by itself"

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        if not any(name in set_values for name in self.root):
            yield Message("is incomplete", f"at least one of {format_list(self.root)}")

    def text(self) -> str:
        return f"At least one of {', '.join(self.root)} must be set."

    def parts(self) -> Iterator[Part]:
        names = sorted(self.root)
        value = {"at_least_one_of": names}
        yield Part(tuple(names), "at_least_one_of", value, any_of=frozenset(names), is_unconditional=True)
