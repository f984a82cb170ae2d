"""What a person must look at after drafting: doubts, contradictions of the page, and its own words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Note:
    """One line of the list; `line` is that of the page."""

    line: int
    sort: str
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.line}: {self.sort}: {self.about}: {self.what}"


@dataclass
class Notes:
    """Collects notes, and discrepancies in the form of a spec."""

    all: list[Note] = field(default_factory=list[Note])
    discrepancies: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def doubt(self, line: int, about: str, what: str) -> None:
        """Note what the page only implies, or what could not be decided."""
        self.all.append(Note(line, "doubt", about, what))

    def discrepancy(self, line: int, about: str, page: str, decision: str) -> None:
        """Note where the page contradicts itself; the decision of the draft is a doubt, too."""
        self.discrepancies.append({"about": about, "page": page, "decision": decision})
        self.doubt(line, about, f"{page}; drafted: {decision}")

    def words(self, line: int, about: str, text: str) -> None:
        """Note the page's own words, which do not enter a spec."""
        self.all.append(Note(line, "words", about, text))
