"""The Markdown report of a drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kling_codegen import docs
from kling_codegen.diff.change import Change
from kling_codegen.diff.report import format_tables
from kling_codegen.drift.pages import PageResults
from kling_codegen.drift.spec_diff import format_spec_diff

TITLE: Final = "# Drift of the catalogue"


@dataclass(frozen=True)
class Drift:
    """The result of a comparison.

    Attributes:
        sources: what was compared, as sentences.
        changes: the changes of the list and of the pages.
        pages: the results of the pages.
        problems: what could not be compared.

    """

    sources: Sequence[str]
    changes: list[Change]
    pages: PageResults
    problems: Sequence[str]


def describe_no_change(drift: Drift) -> str:
    """Return the sentence that stands in place of changes."""
    return "Nothing has changed." if not drift.problems else "No change was found in what could be compared."


def format_report(drift: Drift) -> str:
    """Return the report as Markdown; every text of the list and of the pages is escaped."""
    lines = [TITLE, "", *(f"- {docs.prose(source)}" for source in drift.sources), ""]
    lines += format_tables(drift.changes) if drift.changes else [describe_no_change(drift)]
    if drift.problems:
        lines += ["", "## Not compared", "", *(f"- {docs.code(problem)}" for problem in drift.problems)]
    if drift.pages.unknown:
        lines += ["", "## Pages of models without a spec", ""]
        lines += [
            f"- {docs.code(name)} is the page of {docs.code(slug)}; "
            f"`kling-codegen draft FILE -o specs/{slug}.yaml` drafts its spec"
            for slug, name in drift.pages.unknown.items()
        ]
    changed = {change.model for change in drift.pages.changes}
    for slug, comparison in drift.pages.comparisons.items():
        if slug in changed and (difference := format_spec_diff(comparison)):
            fence = docs.make_fence(difference, 3)
            lines += ["", f"## {docs.prose(slug)}", "", f"{fence}diff", difference, fence]
    return "\n".join([*lines, ""])
