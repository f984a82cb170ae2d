"""Rules about groups of parameters that a single sentence states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kling_codegen.draft.page import Page

AT_LEAST, AT_MOST, EXACTLY = "at_least_one_of", "mutually_exclusive", "exactly_one_of"
READ_AS = {
    AT_LEAST: "taken to need at least one of",
    AT_MOST: "taken to allow at most one of",
    EXACTLY: "taken to need exactly one of",
}

SET = r"(?:given|provided|used|set|sent|specified|supplied)"
DO_SET = r"(?:(?:please|you must|must) )?(?:provide|give|specify|supply|send|set|pass)"
BARRED = rf"(?:cannot|can not|can't|must not|may not) be (?:combined|{SET})"
NEEDED = rf"(?: (?:is|are) (?:required|needed)| must be {SET})"
# A whole sentence, or one from a comma on: about the described parameter and each of LIST,
WITH_THIS = (
    rf"(?:{BARRED}(?: together)?|not(?: together)?|(?:is )?(?:incompatible|mutually exclusive)) with LIST"
)
# or about all of LIST. To be on the safe side, "either" by itself needs none, and "provide either" allows both.
TOGETHER = {
    rf"LIST (?:{BARRED} together|are mutually exclusive)": AT_MOST,
    rf"(?:{DO_SET} )?(?:only|at most) one of LIST(?: (?:can|may) be {SET})?": AT_MOST,
    rf"either LIST(?: (?:can|may) be {SET})?": AT_MOST,
    rf"{DO_SET} either LIST": AT_LEAST,
    rf"either LIST{NEEDED}": AT_LEAST,
    rf"(?:{DO_SET} )?at least one of LIST{NEEDED}?": AT_LEAST,
    rf"(?:{DO_SET} )?exactly one of LIST{NEEDED}?": EXACTLY,
}
SENTENCE = (
    # As little as possible before the form: the described parameter may be the first of LIST.
    r"(?:(?P<before>.*?[,:(]) ?)??(?:FORM)(?: at the same time)?(?P<not_both>,? (?:but )?not both)?[.!)]*"
)
# Before the comma, these could mean that the condition does not always hold.
RESTRICTS = re.compile(
    r"\b(?:if|when|unless|while|for|in|on|with|without|only|except|usually|should|either|or|nor|no|not)\b",
    re.IGNORECASE,
)


def find_groups(sentence: str, name: str, parameters: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rules that a sentence in the description of `name` states, each with its parameters."""
    names = rf"(?-i:{'|'.join(parameters)})\b"
    single = rf"(?:the )?['\"`]?{names}['\"`]?(?: parameter)?"
    # Not with "and": together with two of them can mean something else than with each.
    name_list = rf"(?P<list>{single}(?:(?:,|,? or) {single})*)"
    form = rf"(?:(?:it|this|this parameter|{name}) )?{WITH_THIS.replace('LIST', name_list)}"
    if match := _match(form, sentence, name, parameters):
        for excluded in re.findall(names, match["list"]):
            yield from _rules(AT_MOST, [name, excluded], parameters)
    name_list = rf"(?P<list>{single}(?:(?:,|,? and|,? or) {single})+)"
    for form, key in TOGETHER.items():
        if match := _match(form.replace("LIST", name_list), sentence, name, parameters):
            key = EXACTLY if key == AT_LEAST and match["not_both"] else key  # noqa: PLW2901
            yield from _rules(key, re.findall(names, match["list"]), parameters)


def _rules(key: str, names: list[str], parameters: list[str]) -> Iterator[tuple[str, list[str]]]:
    # In the order of the page, so that each member of a group yields the same rule.
    group = [name for name in parameters if name in names]
    if len(group) > 1:
        yield key, group


def _match(form: str, sentence: str, name: str, parameters: list[str]) -> re.Match[str] | None:
    match = re.fullmatch(SENTENCE.replace("FORM", form), sentence, re.IGNORECASE)
    before = (match and match["before"]) or ""
    neighbours = {*re.findall(r"\w+", before)} & {*parameters} - {name}
    return None if neighbours or RESTRICTS.search(before) else match


def find_objection(key: str, group: list[str], inside: Mapping[str, Any], page: Page) -> str:
    """Return a contradiction between a rule and the page; empty if there is none."""
    for name in group:
        schema = inside["properties"][name]
        if name in inside.get("required", ()):
            return f"{name} is required"
        if "boolean" in schema["type"]:
            return f"{name} can be set to false"
        if schema.get("default") not in (None, "", []):
            return f"{name} has a value when it is not set"
    sent = [name for name in group if page.sent.get(name) not in (None, "", [])]
    if key != AT_LEAST and len(sent) > 1:
        return f"the example sends {' and '.join(sent)}"
    # An empty value in the example is a placeholder.
    sends_none = page.sent_line and not page.sent.keys() & {*group}
    return "the example sends none of them" if key != AT_MOST and sends_none else ""
