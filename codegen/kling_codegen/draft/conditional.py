"""Conditions and sums that a single sentence states: the rules `when` and `sum`.

A sentence is read as a whole or not at all: a part that is not understood could change the meaning of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kling_codegen.draft.parameters import Parameters, Schema
from kling_codegen.keywords import bare_kind

STARTS = re.compile(r"(?:if|when|whenever)\b", re.IGNORECASE)
# The sentence states a condition or a sum: a limit in it is not one of the described parameter.
CONDITIONAL = re.compile(r"\b(?:if|when|whenever|unless|(?:values|sum) of)\b", re.IGNORECASE)

# What a condition can state, other than a limit.
OBLIGATION = re.compile(
    r"\d|\b(?:must|has to|cannot|can't|required|supported|allowed|available)\b", re.IGNORECASE
)

# A sentence without any of these states no rule of this module.
STATES = re.compile(r"\b(?:if|when|whenever|must)\b", re.IGNORECASE)

_SET = r"(?:set|given|provided|used|present|sent|specified|supplied)"
_UNIT = r"(?: ?(?:s|secs?|seconds?))?"
_CONSEQUENCES: Mapping[str, str] = {
    "required": rf"(?:must|has to) be {_SET}|is (?:also )?required",
    "forbidden": rf"(?:must not|cannot|can't|may not) be {_SET}|is not (?:supported|allowed|available|accepted)",
    "minimum": rf"must be at least (?P<number>-?[\d.]+){_UNIT}",
    "maximum": rf"(?:must be at most|cannot exceed|must not exceed) (?P<number>-?[\d.]+){_UNIT}",
    "min_length": r"must have at least (?P<number>\d+) char(?:acter)?s?",
    "max_length": r"must have at most (?P<number>\d+) char(?:acter)?s?",
    "min_items": r"must have at least (?P<number>\d+) items?",
    "max_items": r"must have at most (?P<number>\d+) items?",
    "allowed": r"(?:must|can only|may only|has to) be (?P<choices>.+)|is limited to (?P<more>.+)",
}
# Longer than any fraction that Python writes; a longer number is not a bound of a parameter.
_LONGEST_NUMBER = 30


def read_conditional(sentence: str, parameters: Parameters) -> Schema | None:
    """Return the rule that a sentence states; None if it states none, or one that is not clear."""
    text = sentence.strip().rstrip(".!;")
    rule = _read_sum(text, parameters) or _read_when(text, parameters)
    return rule if rule and parameters.accept(rule) else None


def _read_when(text: str, parameters: Parameters) -> Schema | None:
    condition, consequence = _split(text)
    if not condition:
        return None
    equals: Schema = {}
    present: list[str] = []
    for phrase in _split_clauses(condition, parameters):
        if not _read_condition(phrase, parameters, equals, present):
            return None
    then: Schema = {}
    for phrase in _split_clauses(consequence, parameters):
        if not _read_consequence(phrase, parameters, then):
            return None
    filled = {key: part for key, part in (("equals", equals), ("present", present)) if part}
    return {"when": {**filled, "then": then}}


def _split(text: str) -> tuple[str, str]:
    """Return the condition and its consequences; the condition is empty if the sentence has none."""
    if match := STARTS.match(text):
        condition, comma, consequence = text[match.end() :].partition(",")
        return (condition.strip(), re.sub(r"^then ", "", consequence.strip())) if comma else ("", "")
    consequence, *conditions = re.split(rf"\b{STARTS.pattern}", text, flags=re.IGNORECASE)
    return (conditions[0].strip(), consequence.strip().rstrip(",")) if len(conditions) == 1 else ("", "")


def _split_clauses(text: str, parameters: Parameters) -> list[str]:
    verb = r"(?:must|has to|can|cannot|may|is|are|equals)\b"
    clauses = re.split(rf"(?:,? and |, )(?=(?:{parameters.pattern}) {verb})", text, flags=re.IGNORECASE)
    return [clause.strip() for clause in clauses]


def _read_condition(phrase: str, parameters: Parameters, equals: Schema, present: list[str]) -> bool:
    subject = rf"(?P<name>{parameters.pattern})"
    if match := re.fullmatch(rf"{subject} is {_SET}", phrase, re.IGNORECASE):
        path = parameters.resolve(match["name"])
        present += [path] if path else []
        return path is not None
    match = re.fullmatch(rf"{subject} (?:is set to|is|equals|=) (?P<choices>.+)", phrase, re.IGNORECASE)
    path = parameters.resolve(match["name"]) if match else None
    if match is None or path is None or path in equals:
        return False
    choices = _read_choices(match["choices"], parameters.schemas[path])
    equals[path] = choices[0] if len(choices) == 1 else choices
    return bool(choices)


def _read_consequence(phrase: str, parameters: Parameters, then: Schema) -> bool:
    subject = rf"(?:(?P<name>{parameters.pattern}) )?"
    for key, form in _CONSEQUENCES.items():
        match = re.fullmatch(rf"{subject}(?:{form})", phrase, re.IGNORECASE)
        match = match or (re.fullmatch(r"required", phrase, re.IGNORECASE) if key == "required" else None)
        if match is None:
            continue
        name = match.groupdict().get("name")
        path = parameters.resolve(name) if name else parameters.described
        return path is not None and _add_consequence(key, path, match, parameters, then)
    return False


def _add_consequence(key: str, path: str, match: re.Match[str], parameters: Parameters, then: Schema) -> bool:
    groups, schema = match.groupdict(), parameters.schemas[path]
    if key in ("required", "forbidden"):
        then[key] = [*then.get(key, []), path]
        return True
    if key == "allowed":
        limit: Any = _read_choices(groups["choices"] or groups["more"], schema)
    else:
        limit = _read_number(groups["number"])
    is_new = path not in then.get(key, {})
    then[key] = {**then.get(key, {}), path: limit}
    return is_new and limit not in (None, [])


def _read_choices(text: str, schema: Schema) -> list[Any]:
    """Return the values of a list in words; none if one of them is unknown."""
    choices: list[Any] = []
    for word in re.split(r",? or |, ", text):
        value = _read_value(word.strip("'\"`"), schema)
        if value is None:
            return []
        choices.append(value)
    return choices


def _read_value(word: str, schema: Schema) -> Any:
    choices = [choice for choice in schema.get("enum", ()) if choice is not None]
    kind = bare_kind(schema["type"])
    if choices:
        forms = (word.casefold(), re.sub(rf"(?<=\d){_UNIT}$", "", word.casefold()))
        spelled = [choice for choice in choices if str(choice).casefold() in forms]
        return spelled[0] if len(spelled) == 1 else None
    if kind == "boolean":
        return {"true": True, "enabled": True, "false": False, "disabled": False}.get(word.casefold())
    number = _read_number(re.sub(rf"{_UNIT}$", "", word)) if kind in ("integer", "number") else None
    return None if isinstance(number, float) and kind == "integer" else number


def _read_number(text: str) -> int | float | None:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text) or len(text) > _LONGEST_NUMBER:
        return None
    return float(text) if "." in text else int(text)


def _read_sum(text: str, parameters: Parameters) -> Schema | None:
    match = re.fullmatch(
        rf"(?:the )?(?:values|sum) of (?P<name>{parameters.pattern}) must (?:add up to|be|equal) (?P<limits>.+)",
        text,
        re.IGNORECASE,
    )
    path = parameters.resolve(match["name"]) if match else None
    if match is None or path is None:
        return None
    rule: Schema = {"of": path}
    for phrase in re.split(r",? and |, ", match["limits"]):
        bound = re.fullmatch(r"at (least|most) (-?[\d.]+)", phrase, re.IGNORECASE)
        key = "equals" if bound is None else "minimum" if bound[1].lower() == "least" else "maximum"
        # A sum is a parameter of the model, not of an item.
        name = phrase.strip("'\"`")
        total = name if name in parameters.schemas else None
        limit = _read_number(bound[2]) if bound else total
        if limit is None or key in rule:
            return None
        rule[key] = limit
    return {"sum": rule}
