"""Notes for the reviewer of a draft: doubts, contradictions of the page, and quotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, order=True)
class Note:
    """One note; `line` is the line of the page."""

    line: int
    sort: str
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.line}: {self.sort}: {self.about}: {self.text}"


@dataclass
class Notes:
    """Collects notes, and discrepancies in the form of a spec."""

    all: list[Note] = field(default_factory=list[Note])
    discrepancies: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    # Parameters whose values the draft leaves out, because they could be read in several ways or in none.
    undecided: dict[str, str] = field(default_factory=dict[str, str])
    # Parameters whose description has a limit or a condition that the draft leaves out.
    unread: set[str] = field(default_factory=set[str])
    # Values on the page of parameters that accept others, too.
    shown_values: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    # The line in which the page ends within its parameters, and the last one; 0 for a whole page.
    cut_line: int = 0
    cut_name: str = ""

    def doubt(self, line: int, about: str, text: str) -> None:
        """Note an implied or undecided fact."""
        self.all.append(Note(line, "doubt", about, text))

    def unread_sentence(self, line: int, about: str, text: str) -> None:
        """Note a sentence with a limit or a condition that is not in the draft."""
        self.unread.add(about)
        self.doubt(line, about, text)

    def discrepancy(self, line: int, about: str, page: str, decision: str) -> None:
        """Note a contradiction of the page; the decision of the draft is a doubt, too."""
        self.discrepancies.append({"about": about, "page": page, "decision": decision})
        self.doubt(line, about, f"{page}; drafted: {decision}")

    def quote_page(self, line: int, about: str, text: str) -> None:
        """Note a quotation of the page, which must not be copied to a spec."""
        self.all.append(Note(line, "words", about, text))
