"""Findings about a description: limits and conditions that the rest of the spec lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import MISSING

from kling_codegen.language import Spec
from kling_codegen.lint.parameters import Finding, Parameter
from kling_codegen.messages import Message, format_number
from kling_codegen.rules.consequences import BOUNDS
from kling_codegen.rules.kinds.max_bytes import MaxBytes
from kling_codegen.rules.kinds.references import References
from kling_codegen.rules.kinds.when import When
from kling_codegen.rules.rule import iter_conditions


def check_description(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a parameter without a description, or with one that only repeats the name."""
    words = set(re.findall("[a-z0-9]+", parameter.description.lower()))
    name = set(re.findall("[a-z0-9]+", parameter.path.lower()))
    if not parameter.description:
        yield "no-description", (), Message("the description is missing")
    elif words <= name | {"a", "an", "the", "of"}:
        yield "no-description", ("description",), Message("the description only repeats the name")


_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_WORDS, 1)}
_NUMBER = rf"(\d[\d,]*(?:\.\d+)?|(?:{'|'.join(_WORDS)})\b)"
_UNIT = r"[ -]?([a-zA-Z%]+)?"
_LIMITS = [
    (re.compile(pattern, re.IGNORECASE), groups)
    for pattern, groups in (
        (
            rf"\b(?:between|from|range:?) {_NUMBER}(?: ?(?:and|to|-|\u2013) ?){_NUMBER}{_UNIT}",
            ("least", "most"),
        ),
        (
            rf"\b(?:max(?:imum)?\.?(?: of)?:?|at most|up to|(?:no|not) more than|(?:limited|limit) (?:to|of)) {_NUMBER}{_UNIT}",
            ("most",),
        ),
        (
            rf"\b(?:min(?:imum)?\.?(?: of)?:?|at least|(?:no|not) (?:less|fewer) than) {_NUMBER}{_UNIT}",
            ("least",),
        ),
    )
]
_BYTES = {
    "kb": 1,
    "mb": 2,
    "gb": 3,
    "kib": 1,
    "mib": 2,
    "gib": 3,
    "kilobytes": 1,
    "megabytes": 2,
    "gigabytes": 3,
}
_LETTERS = {"char", "chars", "character", "characters", "letter", "letters"}
_KEYWORDS = {
    "most": {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"},
    "least": {"string": "minLength", "array": "minItems", "integer": "minimum", "number": "minimum"},
}


def check_limits(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a limit of the description that is neither in the schema nor in a rule."""
    unread = parameter.description
    for pattern, ends in _LIMITS:
        for match in pattern.finditer(unread):
            *figures, unit = match.groups()
            for end, figure in zip(ends, figures, strict=True):
                value = _NUMBERS.get(figure.lower()) or float(figure.replace(",", "").rstrip("."))
                suggestion = _missing_limit(spec, parameter, end, value, (unit or "").lower())
                if suggestion:
                    text = (
                        f'the description states a limit, "{match[0].strip()}", that the spec does not have'
                    )
                    yield "limit-in-prose", ("description",), Message(text, suggestion=suggestion)
        unread = pattern.sub("", unread)


def _missing_limit(spec: Spec, parameter: Parameter, end: str, value: float, unit: str) -> str:
    """Return the keyword that should state the limit; an empty text if the spec has the limit."""
    if unit in _BYTES:
        sizes = {
            condition.bytes
            for _, condition in iter_conditions(spec.rules)
            if isinstance(condition, MaxBytes) and condition.field == parameter.path
        }
        is_present = sizes & {base ** _BYTES[unit] * value for base in (1000, 1024)}
        return "" if is_present else "the rule max_bytes"
    schema = parameter.schema.list_form
    if schema.kind == "array" and unit in _LETTERS and schema.items is not MISSING:
        schema = schema.items
    keywords = schema.keywords()
    choices = [str(choice) for choice in keywords.get("enum", ())]
    numbers = [float(choice) for choice in choices if re.fullmatch(r"\d+(\.\d+)?", choice)]
    if f"{format_number(value)}{unit}".lower() in (choice.lower() for choice in choices):
        return ""
    if numbers:
        limit = max(numbers) if end == "most" else min(numbers)
        return "" if limit == value else "enum"
    keyword = _KEYWORDS[end].get(schema.kind, "")
    if value in _conditional_limits(spec, parameter.path, keyword):
        return ""
    return _missing_keyword(keywords, keyword, value, unit)


def _conditional_limits(spec: Spec, path: str, keyword: str) -> list[float]:
    """Return the limits of a parameter under conditions."""
    consequences = [
        consequence
        for _, condition in iter_conditions(spec.rules)
        if isinstance(condition, When)
        for consequence in condition.then.iter_consequences()
    ]
    return [
        limit
        for _, name, key, limit in consequences
        if name == path and key in BOUNDS and BOUNDS[key].keyword == keyword
    ]


def _missing_keyword(keywords: dict[str, Any], keyword: str, value: float, unit: str) -> str:
    counts_other_units = keyword in {"minLength", "maxLength"} and unit not in _LETTERS
    if not keyword or counts_other_units:
        return "a silence with the reason, as no keyword can express it"
    return "" if keywords.get(keyword) == value else f"{keyword}: {format_number(value)}"


_NEEDS = re.compile(
    r"\b(?:needs|requires|depends on|(?:only|used|together|combined) with|not with|instead of|ignored|"
    r"(?:required|only|allowed|supported|available) (?:if|when))\b",
    re.IGNORECASE,
)


def check_conditions(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a condition of the description that no rule has."""
    groups = [
        {part for _, name in condition.parameters() for part in (name, name.partition(".")[0])}
        for _, condition in iter_conditions(spec.rules)
    ]
    root = parameter.at[2]
    neighbours = set(spec.input.properties) - {root}
    for sentence in re.split(r"[.;]\s", parameter.description):
        names = sorted(neighbours & set(re.findall(r"\w+", sentence))) if _NEEDS.search(sentence) else ()
        for name in names:
            # `prompt`, `image` and the like are also words of the language.
            is_name = "_" in name or f"`{name}`" in sentence
            if is_name and not any({root, name} <= group for group in groups):
                text = f"the description states a condition with {name} that no rule has"
                yield "rule-in-prose", ("description",), Message(text)
    tokens = [
        condition.token for _, condition in iter_conditions(spec.rules) if isinstance(condition, References)
    ]
    for start in sorted(set(re.findall(r"(?:@[A-Z][a-z]+|<<<\w+_)(?=\d)", parameter.description))):
        if not any(token.startswith(start) for token in tokens):
            text = f"the description names items as {start}1, but no rule references has that token"
            yield "rule-in-prose", ("description",), Message(text)
