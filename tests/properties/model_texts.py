"""Texts that a page and `kling show` must have about a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import (
    Any,
)

from tests.properties.descriptions import Model, choices, plain, remove_spaces
from tests.properties.prose_rules import split_rule

LIMIT = re.compile(r"(each )?(at least \S+|at most \S+|\S+ to \S+)( items| characters)?")


def allowed_in(cell: str, choices_in: Callable[[str], list[str]]) -> dict[str, Any]:
    phrases = [re.sub(r"\.0\b", "", phrase) for phrase in cell.split("; ") if phrase]
    limits = {phrase for phrase in phrases if LIMIT.fullmatch(phrase)}
    values = [phrase.removeprefix("each ") for phrase in phrases if phrase not in limits]
    return {
        "limits": frozenset(limits),
        "choices": tuple(value for value in choices_in("".join(values)) if value not in ("null", "")),
    }


def usual(latency: float | None) -> str:
    return "not documented" if latency is None else f"{round(latency)} s"


def price(facts: Mapping[str, Any]) -> str:
    if "pricing" not in facts:
        return ""
    pricing = facts["pricing"]
    figures = dict.fromkeys(plain(pricing[end]) for end in ("from", "to"))
    about = "about " if pricing.get("approximate") else ""
    drivers = f", by {', '.join(pricing['depends_on'])}" if "depends_on" in pricing else ""
    return f"; price {about}{' to '.join(figures)} {pricing['currency']} per {pricing['unit']}{drivers}"


def expected_words(rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield each word that the wording of a rule must contain."""
    kind, content = split_rule(rule)
    if isinstance(content, list):
        yield from content
        return
    yield from (content[key] for key in ("field", "of") if key in content)
    if kind == "sum":
        yield from (limit if isinstance(limit, str) else plain(limit) for limit in content.values())
        return
    yield from content.get("present", ())
    for name, value in content.get("equals", {}).items():
        yield name
        yield from (choices(value) if isinstance(value, list) else choices([value]))
    for affected in content.get("then", {}).values():
        yield from affected
        for value in affected.values() if isinstance(affected, dict) else ():
            yield from (choices(value) if isinstance(value, list) else choices([value]))
    if kind == "references":
        yield from (content["token"].partition("{n}")[0], content["list"])
    if kind == "max_bytes":
        yield f"{content['bytes'] >> 20} MiB"


def has_rules(lines: Sequence[str], model: Model) -> bool:
    """Return whether there is a line for each rule: its text, which names every parameter and value of it."""
    rules = model.schema["x-kling"]["rules"]
    assert all(word in rule["text"] for rule in rules for word in expected_words(rule))
    return lines == [rule["text"] for rule in rules]


def discrepancies(model: Model) -> list[list[str]]:
    return [
        [remove_spaces(row[key]) for key in ("about", "page", "decision")]
        for row in model.schema["x-kling"]["discrepancies"]
    ]


def retirement_line(retired: Mapping[str, str]) -> str:
    return (
        f"Retired since {retired['since']}; use {retired['use']}. "
        "No job can be submitted; earlier jobs can still be collected."
    )
