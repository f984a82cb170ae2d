"""Notes for the person who checks a draft: doubts, contradictions of the page, and its own words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Note:
    """One line of the list; `line` is that of the page."""

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

    def doubt(self, line: int, about: str, text: str) -> None:
        """Note a fact that the page only implies, or that could not be decided."""
        self.all.append(Note(line, "doubt", about, text))

    def discrepancy(self, line: int, about: str, page: str, decision: str) -> None:
        """Note a contradiction of the page; the decision of the draft is a doubt, too."""
        self.discrepancies.append({"about": about, "page": page, "decision": decision})
        self.doubt(line, about, f"{page}; drafted: {decision}")

    def quote_page(self, line: int, about: str, text: str) -> None:
        """Note the page's own words, which do not enter a spec."""
        self.all.append(Note(line, "words", about, text))
