"""Which parameters exclude each other, and of which one must be given, where a sentence says so and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kling_codegen.draft.page import Page

AT_LEAST, AT_MOST = "at_least_one_of", "mutually_exclusive"
TAKEN = {AT_LEAST: "taken to need at least one of", AT_MOST: "taken to allow at most one of"}

GIVEN = r"(?:given|provided|used|set|sent|specified|supplied)"
GIVE = r"(?:(?:please|you must|must) )?(?:provide|give|specify|supply|send|set|pass)"
BARRED = rf"(?:cannot|can not|can't|must not|may not) be (?:combined|{GIVEN})"
NEEDED = rf"(?: (?:is|are) (?:required|needed)| must be {GIVEN})"
# How a whole sentence, or one from a comma on, says it: of the parameter described and each of LIST,
WITH_THIS = (
    rf"(?:{BARRED}(?: together)?|not(?: together)?|(?:is )?(?:incompatible|mutually exclusive)) with LIST"
)
# or of all of LIST. To be on the safe side, "either" by itself needs none, and "provide either" allows both.
TOGETHER = {
    rf"LIST (?:{BARRED} together|are mutually exclusive)": [AT_MOST],
    rf"(?:{GIVE} )?only one of LIST(?: (?:can|may) be {GIVEN})?": [AT_MOST],
    rf"either LIST(?: (?:can|may) be {GIVEN})?": [AT_MOST],
    rf"{GIVE} either LIST": [AT_LEAST],
    rf"either LIST{NEEDED}": [AT_LEAST],
    rf"(?:{GIVE} )?at least one of LIST{NEEDED}?": [AT_LEAST],
    rf"(?:{GIVE} )?exactly one of LIST{NEEDED}?": [AT_LEAST, AT_MOST],
}
SENTENCE = (
    r"(?:(?P<before>.*[,:(]) ?)?(?:FORM)(?: at the same time)?(?P<not_both>,? (?:but )?not both)?[.!)]*"
)
# Before the comma, these could mean that the rest does not always hold.
RESTRICTS = re.compile(
    r"\b(?:if|when|unless|while|for|in|on|with|without|only|except|usually|should|either|or|nor|no|not)\b",
    re.IGNORECASE,
)


def stated(sentence: str, name: str, known: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rules that a sentence in the description of `name` states, each with its parameters."""
    names = rf"(?-i:{'|'.join(known)})\b"
    one = rf"(?:the )?['\"`]?{names}['\"`]?(?: parameter)?"
    # Not with "and": together with both of them can be something else than with each.
    several = rf"(?P<list>{one}(?:(?:,|,? or) {one})*)"
    form = rf"(?:(?:it|this|this parameter|{name}) )?{WITH_THIS.replace('LIST', several)}"
    if match := _match(form, sentence, name, known):
        for other in re.findall(names, match["list"]):
            yield from _rules([AT_MOST], [name, other], known)
    several = rf"(?P<list>{one}(?:(?:,|,? and|,? or) {one})+)"
    for form, keys in TOGETHER.items():
        if match := _match(form.replace("LIST", several), sentence, name, known):
            also = [AT_MOST] if match["not_both"] and AT_MOST not in keys else []
            yield from _rules([*keys, *also], re.findall(names, match["list"]), known)


def _rules(keys: list[str], names: list[str], known: list[str]) -> Iterator[tuple[str, list[str]]]:
    # In the order of the page, so that it does not matter which of them is described.
    group = [name for name in known if name in names]
    yield from ((key, group) for key in keys if len(group) > 1)


def _match(form: str, sentence: str, name: str, known: list[str]) -> re.Match[str] | None:
    match = re.fullmatch(SENTENCE.replace("FORM", form), sentence, re.IGNORECASE)
    before = (match and match["before"]) or ""
    others = {*re.findall(r"\w+", before)} & {*known} - {name}
    return None if others or RESTRICTS.search(before) else match


def against(key: str, group: list[str], inside: Mapping[str, Any], page: Page) -> str:
    """Return what else on the page speaks against a rule, or nothing."""
    for name in group:
        schema = inside["properties"][name]
        if name in inside.get("required", ()):
            return f"{name} is required"
        if "boolean" in schema["type"]:
            return f"{name} can be given as false"
        if schema.get("default") not in (None, "", []):
            return f"{name} has a value when it is not given"
    sent = [name for name in group if page.sent.get(name) not in (None, "", [])]
    if key == AT_MOST and len(sent) > 1:
        return f"the example sends {' and '.join(sent)}"
    # What it sends empty is a place to put something.
    none = page.sent_line and not page.sent.keys() & {*group}
    return "the example sends none of them" if key == AT_LEAST and none else ""
