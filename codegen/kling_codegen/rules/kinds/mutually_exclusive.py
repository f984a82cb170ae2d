"""The rule `mutually_exclusive`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, ClassVar

from kling_codegen.messages import Message, format_list
from kling_codegen.rules.condition import Part
from kling_codegen.rules.group import Group


class MutuallyExclusive(Group):
    """Only one of these parameters may be set; a default does not count as set."""

    example: ClassVar = "[image_url, video_url]"
    meaning: ClassVar = "at most one of these may be set"

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        names = [name for name in self.root if name in set_values]
        if len(names) > 1:
            yield Message(f"sets {' and '.join(names)} together", f"only one of {format_list(self.root)}")

    def text(self) -> str:
        return f"At most one of {', '.join(self.root)} can be set."

    def parts(self) -> Iterator[Part]:
        for pair in combinations(sorted(self.root), 2):
            yield Part(pair, "mutually_exclusive", {"mutually_exclusive": list(pair)})
