"""A page that says what a spec says becomes a draft that says it, too."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.page import NotAPage
from ruamel.yaml import YAML

from .generated import differences
from .pages import facts, page, sayable
from .specs import Spec, documents, texts

MANY = settings(max_examples=max(1, settings().max_examples // 6), suppress_health_check=list(HealthCheck))
DAY = date(2026, 1, 31)


def drafted(text: str) -> Any:
    """Return the spec that is drafted of a page."""
    made = draft_spec(text, "page.txt", DAY)
    assert not [note for note in made.notes if "does not load" in note.text]
    return YAML(typ="safe", pure=True).load(made.yaml)


def told(spec: Any) -> Any:
    """Return a draft without what it says of its page: another one may contradict itself less."""
    return {key: value for key, value in spec.items() if key != "discrepancies"}


@MANY
@given(documents())
def test_a_page_becomes_a_draft_that_says_the_same(spec: Spec) -> None:
    said = sayable(spec)
    assume(said["input"]["properties"])
    once = drafted(page(said))
    assert differences(facts(once), facts(said)) == []
    assert differences(told(drafted(page(sayable(once)))), told(once)) == []


@MANY
@given(documents())
def test_numbers_that_run_together_are_read_or_doubted(spec: Spec) -> None:
    said = sayable(spec)
    assume(said["input"]["properties"])
    made = draft_spec(page(said, run_together=True), "page.txt", DAY)
    doubted = {note.about for note in made.notes if note.sort == "doubt"}
    once = YAML(typ="safe", pure=True).load(made.yaml)
    for difference in differences(facts(once), facts(said)):
        path, _, key = difference.partition(": ")[0].removeprefix(".input.").rpartition(".")
        assert (key in ("enum", "default"), path in doubted) == (True, True), difference


@MANY
@given(documents(), texts())
def test_a_page_in_any_words_gives_a_draft_or_a_reason(spec: Spec, words: str) -> None:
    said = sayable(spec)
    assume(said["input"]["properties"])
    with suppress(NotAPage):
        drafted(page(said).replace("What it shows.", words))
