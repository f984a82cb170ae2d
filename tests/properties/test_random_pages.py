"""A page written from a spec becomes a draft with the same facts."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis.strategies import booleans
from kling_codegen.diff.models import compare_specs
from kling_codegen.draft.compare import compare_page
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.page import NotAPage
from kling_codegen.language import Spec as ParsedSpec
from kling_codegen.load.folder import Specs
from ruamel.yaml import YAML

from .changes import Change, changes
from .generated import differences
from .pages import facts, page, reduce_to_page
from .spec_schemas import texts
from .specs import Spec, documents

SOME_PAGES = settings(
    max_examples=max(1, settings().max_examples // 6), suppress_health_check=list(HealthCheck)
)
# Each has a page for every kind of change.
FEW_PAGES = settings(SOME_PAGES, max_examples=max(1, settings().max_examples // 30))
EVERY_RULE = Path(__file__).parents[1] / "golden" / "core" / "specs" / "every-rule.yaml"
DAY = date(2026, 1, 31)
# Its page shows "-10-2", which could also be -10 and -2.
NEGATIVE_VALUES: Spec = {
    "slug": "kling-n",
    "title": "Negative",
    "returns": "video",
    "latency_seconds": None,
    "input": {"properties": {"seed": {"type": "integer", "enum": [-1, 0, -2]}}},
}


def read_draft(text: str) -> Any:
    """Return the spec that is drafted from a page."""
    drafted_spec = draft_spec(text, "page.txt", DAY)
    assert not [note for note in drafted_spec.notes if "does not load" in note.text]
    return YAML(typ="safe", pure=True).load(drafted_spec.yaml)


def without_discrepancies(spec: Any) -> Any:
    """Return a draft without discrepancies, which depend on its page; its rules in an order of their own."""
    facts_of_spec = {key: value for key, value in spec.items() if key != "discrepancies"}
    return facts_of_spec | {"rules": sorted(spec.get("rules", []), key=str)}


def test_draft_has_every_rule_of_page() -> None:
    """A golden spec uses every kind of rule; all are stated on its page, and drafted from it."""
    spec = YAML(typ="safe", pure=True).load(EVERY_RULE.read_text("utf-8"))
    content = reduce_to_page(spec)
    content["rules"] = spec["rules"]
    assert differences(facts(read_draft(page(content))), facts(content)) == []


@SOME_PAGES
@given(documents())
def test_draft_has_facts_of_page(spec: Spec) -> None:
    content = reduce_to_page(spec)
    assume(content["input"]["properties"])
    once = read_draft(page(content))
    assert differences(facts(once), facts(content)) == []
    assert (
        differences(
            without_discrepancies(read_draft(page(reduce_to_page(once)))), without_discrepancies(once)
        )
        == []
    )


@SOME_PAGES
@example(NEGATIVE_VALUES)
@given(documents())
def test_joined_numbers_are_read_or_doubted(spec: Spec) -> None:
    content = reduce_to_page(spec)
    assume(content["input"]["properties"])
    drafted_spec = draft_spec(page(content, run_together=True), "page.txt", DAY)
    doubted = {note.about for note in drafted_spec.notes if note.sort == "doubt"}
    once = YAML(typ="safe", pure=True).load(drafted_spec.yaml)
    for difference in differences(facts(once), facts(content)):
        path, _, key = difference.partition(": ")[0].removeprefix(".input.").rpartition(".")
        assert (key in ("enum", "default"), path in doubted) == (True, True), difference


@SOME_PAGES
@given(documents(), booleans())
def test_page_does_not_differ_from_its_draft(spec: Spec, run_together: bool) -> None:
    content = reduce_to_page(spec)
    assume(content["input"]["properties"])
    text = page(content, run_together=run_together)
    drafted = draft_spec(text, "page.txt", DAY).content
    # Numbers that the page runs together are read as the spec has them.
    original = drafted | {"input": content["input"], "rules": content["rules"], "examples": []}
    for existing in (drafted, original):
        comparison = compare_page(text, "page.txt", ParsedSpec.model_validate(existing))
        # A draft leaves out values that it cannot read, and each comparison says so.
        unread = ["the draft cannot read them: compare them with the page"] if existing is drafted else []
        assert [str(change) for change in comparison.changes if change.effect not in unread] == []


@FEW_PAGES
@given(changes())
def test_changed_page_has_the_changes_of_diff(drawn: list[Change]) -> None:
    for change in drawn:
        before, after = reduce_to_page(change.old), reduce_to_page(change.new)
        if not before["input"]["properties"] or not after["input"]["properties"]:
            continue
        drafted = draft_spec(page(before), "page.txt", DAY).content
        facts_of_both = {
            key: part for key, part in drafted.items() if key not in ("rules", "discrepancies", "examples")
        }
        old, new = (
            ParsedSpec.model_validate(facts_of_both | {key: content[key] for key in ("input", "returns")})
            for content in (before, after)
        )
        comparison = compare_page(page(after | {"title": before["title"]}), "page.txt", old)
        reported = {
            (part.level, part.path, part.aspect)
            for part in comparison.changes
            if part.aspect != "latency_seconds"
        }
        expected = {
            (part.level, part.path, part.aspect)
            for part in compare_specs(Specs(None, (old,)), Specs(None, (new,)))
        }
        # Of a parameter that is removed and added, the page shows that only the name differs.
        if not any(aspect == "name" for _, _, aspect in reported):
            assert reported == expected


@SOME_PAGES
@given(documents(), texts())
def test_any_page_gives_draft_or_reason(spec: Spec, words: str) -> None:
    content = reduce_to_page(spec)
    assume(content["input"]["properties"])
    with suppress(NotAPage):
        read_draft(page(content).replace("What it shows.", words))
