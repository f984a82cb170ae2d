"""One parameter of a page, with the notes about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kling_codegen.draft.blocks import Block
from kling_codegen.draft.notes import Notes
from kling_codegen.schema import Schema


@dataclass(frozen=True)
class Subject:
    """A parameter, its value in the example, and the notes."""

    path: str
    kind: str
    block: Block
    sent: Any  # the value in the example; MISSING if there is none
    notes: Notes
    evidence: Schema | None = None  # the parameter in an existing spec

    def doubt(self, text: str) -> None:
        """Note a doubt in the line of the values."""
        self.notes.doubt(self.block.values_line, self.path, text)

    def leave_out(self, text: str) -> None:
        """Note values that are not in the draft, because the page does not show how to read them."""
        self.notes.undecided[self.path] = self.block.values
        self.doubt(f"{text}; left out")

    def discrepancy(self, page: str, decision: str) -> None:
        """Note a contradiction in the line of the values."""
        self.notes.discrepancy(self.block.values_line, self.path, page, decision)
