"""One parameter of a page, with the notes about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kling_codegen.draft.blocks import Block
from kling_codegen.draft.notes import Notes


@dataclass(frozen=True)
class Subject:
    """A parameter, its value in the example, and the notes."""

    path: str
    kind: str
    block: Block
    sent: Any  # the value in the example; MISSING if there is none
    notes: Notes

    def doubt(self, text: str) -> None:
        """Note a doubt in the line of the values."""
        self.notes.doubt(self.block.values_line, self.path, text)

    def discrepancy(self, page: str, decision: str) -> None:
        """Note a contradiction in the line of the values."""
        self.notes.discrepancy(self.block.values_line, self.path, page, decision)
