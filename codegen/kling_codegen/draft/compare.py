"""The differences between a documentation page and an existing spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import MISSING

from kling_codegen.diff.change import Change
from kling_codegen.diff.models import compare_specs
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.evidence import Evidence, collect_evidence, list_values
from kling_codegen.draft.fill import fill_draft, strip_texts
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import NotAPage
from kling_codegen.draft.parameters import collect_schemas
from kling_codegen.draft.renames import find_renames, undo_renames
from kling_codegen.language import Spec
from kling_codegen.load.folder import Specs

RENAMED = "calls that set it are refused; only the name differs, so renamed_from may keep them working"


@dataclass(frozen=True)
class Comparison:
    """A page beside an existing spec.

    Attributes:
        spec: the existing spec, without the texts that no page has.
        filled: the same with the facts of the page.
        changes: the changes from the first to the second.
        cut_line: the line in which the page ends within its parameters; 0 for a whole page.

    """

    spec: Spec
    filled: Spec
    changes: list[Change]
    cut_line: int


def compare_page(text: str, document: str, spec: Spec) -> Comparison:
    """Compare a page with an existing spec.

    A fact that the page does not show, or that cannot be read from it, is not a change. Texts of the author of the
    spec are not compared.

    Args:
        text: The text of the page.
        document: The name of the stored copy.
        spec: The existing spec of the model.

    Raises:
        NotAPage: The text is not a documentation page of this model.

    """
    evidence = dict(collect_evidence(spec.input.properties))
    draft = draft_spec(text, document, spec.source.read, evidence)
    if draft.page.slug != spec.slug:
        raise NotAPage(f"it is the page of {draft.page.slug}, the spec is that of {spec.slug}")
    content = spec.model_dump(by_alias=True, exclude_unset=True)
    before, after = (collect_schemas(side["input"]["properties"]) for side in (content, draft.content))
    renames = find_renames(before, after)
    filled = aligned = fill_draft(draft, draft.content, spec)
    if renames:
        aligned = fill_draft(draft, undo_renames(draft.content, renames), spec)
    old = Spec.model_validate(strip_texts(content))
    changes = [
        Change("breaking", path, "name", path, name, RENAMED, model=spec.slug)
        for path, name in renames.items()
    ]
    compared = compare_specs(Specs(None, (old,)), Specs(None, (aligned,)))
    # The description of a renamed parameter is that of the draft.
    changes += [change for change in compared if change.aspect != "description"]
    changes += _find_undecided(draft.gaps, evidence, spec.slug)
    return Comparison(old, filled, changes, draft.gaps.cut_line)


def _find_undecided(gaps: Notes, before: Evidence, slug: str) -> Iterator[Change]:
    """Yield the values of the spec that the page prints differently, if it is unclear how to read them."""
    for path, text in gaps.undecided.items():
        schema = before.get(path)
        if schema and (list_values(schema) or schema.default is not MISSING):
            values = list_values(schema) or schema.default
            effect = "the draft cannot read them: compare them with the page"
            yield Change("warning", path, "values", values, text, effect, model=slug)
