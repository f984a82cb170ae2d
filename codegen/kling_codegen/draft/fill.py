"""A page as a spec to compare with an existing one: what no page states is taken from the existing spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from kling_codegen.draft.compose import Draft, find_problems
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import NotAPage
from kling_codegen.draft.table import STATED
from kling_codegen.keywords import ANNOTATIONS, bare_kind
from kling_codegen.language import Spec
from kling_codegen.rules.condition import Condition
from kling_codegen.rules.rule import Rule, iter_conditions
from kling_codegen.schema import Input

# Sentences state these in so many ways that one without a rule in the draft proves nothing.
_HARD_RULES: Final = frozenset({"when", "sum"})
# The parts of a price that a page states.
_PRICE: Final = frozenset({"currency", "from", "to", "unit", "approximate"})
_LIMITS: Final = ("minLength", "maxLength", "minItems", "maxItems")


def fill_draft(draft: Draft, content: Mapping[str, Any], spec: Spec) -> Spec:
    """Return the spec with the facts of the page in place of its own.

    Args:
        draft: The draft of the page, made with the spec as evidence.
        content: Its content, perhaps with old names of parameters.
        spec: The existing spec of the same model.

    Raises:
        NotAPage: The facts of the page do not make a valid spec.

    """
    old = spec.model_dump(by_alias=True, exclude_unset=True)
    price = old.get("pricing", {})
    doubted = {note.about for note in draft.notes if note.sort == "doubt"}
    for fact in ("title", "returns", "latency_seconds", "pricing"):
        is_shown = content.get(fact) is not None and (fact == "pricing" or fact not in doubted)
        if is_shown:
            old[fact] = content[fact]
            if fact == "pricing":
                old[fact] = content[fact] | {key: part for key, part in price.items() if key not in _PRICE}
    # The oldest layout has no response type, and is not a page of today.
    if not draft.gaps.cut_line and "returns" not in doubted:
        old["source"].pop("unseen", None)
    inside = _fill_object(old["input"], content["input"], "", draft.gaps)
    rules = content.get("rules", [])
    old |= {"input": inside, "rules": [*rules, *_kept_rules(spec, inside, rules, draft.gaps)]}
    filled = strip_texts(old)
    if problems := find_problems(filled):
        at, problem = problems[0]
        raise NotAPage(f"its facts do not make a valid spec: {problem}, at {at}")
    return Spec.model_validate(filled)


def strip_texts(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a spec without the sections that are its author's own."""
    return {key: part for key, part in content.items() if key not in ("examples", "discrepancies", "lint")}


def _fill_object(old: Mapping[str, Any], new: Mapping[str, Any], path: str, gaps: Notes) -> dict[str, Any]:
    """Return an object of the page with the keywords of the spec that no page states."""
    before, after = old["properties"], new["properties"]
    # In the order of the spec, so that a diff of the two has no other lines than those that differ.
    names = [*(name for name in before if name in after), *(name for name in after if name not in before)]
    properties = {
        name: _fill_schema(before[name], after[name], f"{path}{name}", gaps)
        if name in before
        else after[name]
        for name in names
    }
    required = list(new.get("required", ()))
    for name, schema in before.items():
        # A page may drop a deprecated parameter; one that is cut off shows nothing of what follows.
        if name not in after and (gaps.cut_line or "deprecated" in schema):
            properties[name] = schema
            required += [name] if name in old.get("required", ()) else []
    names_required = {"required": required} if required or "required" in old else {}
    return {**names_required, "properties": properties}


def _fill_schema(old: Mapping[str, Any], new: Mapping[str, Any], path: str, gaps: Notes) -> dict[str, Any]:
    if gaps.cut_line and path.rpartition(".")[2] == gaps.cut_name:
        return dict(old)
    is_same_kind = bare_kind(old["type"]) == bare_kind(new["type"])
    fits = is_same_kind and ("format" in old) == ("format" in new)
    keywords = {key: part for key, part in new.items() if key in STATED}
    keywords |= {key: part for key, part in old.items() if key not in STATED and (fits or key in ANNOTATIONS)}
    if is_same_kind:
        unread = _LIMITS if path in gaps.unread else ()
        values = _fitting_values(old, new) if path in gaps.undecided else {}
        keywords = {key: old[key] for key in unread if key in old} | values | keywords
    if "items" in old and "items" in new:
        # No page says of a list of texts that they are URLs, but by its name.
        items = {"format": old["items"]["format"]} if "format" in old["items"] else {}
        is_plain = new["items"]["type"] == old["items"]["type"] == "string"
        keywords["items"] = _fill_schema(old["items"], new["items"] | (items if is_plain else {}), path, gaps)
    if "properties" in old and "properties" in new:
        keywords |= _fill_object(old, new, f"{path}.", gaps)
    return keywords


def _find_subject(key: str, condition: Condition) -> tuple[str, frozenset[str]]:
    return key, frozenset(name for _, name in condition.parameters())


def _fitting_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allowed values and the default of the spec, if those that were read fit beside them."""
    values = {key: old[key] for key in ("enum", "default") if key in old}
    default = new.get("default", values.get("default"))
    is_fitting = "enum" not in new and (default is None or default in values.get("enum", [default]))
    return values if is_fitting else {}


def _kept_rules(
    spec: Spec, inside: Mapping[str, Any], drafted: Sequence[Any], gaps: Notes
) -> Iterator[dict[str, Any]]:
    """Yield the rules of the spec that the page may state in a sentence that was not understood."""
    try:
        parameters = Input.model_validate(inside)
        subjects = [_find_subject(*part) for part in iter_conditions(map(Rule.model_validate, drafted))]
    except ValidationError:
        return  # `find_problems` reports it
    for rule in spec.rules:
        for key, condition in iter_conditions([rule]):
            subject = _find_subject(key, condition)
            is_unclear = key in _HARD_RULES and subject not in subjects
            is_kept = is_unclear or subject[1] & gaps.unread or gaps.cut_line
            # A rule about a parameter that is gone, or has another type, goes with it.
            if is_kept and not any(rule.reference_errors(parameters.properties, parameters.required)):
                yield rule.model_dump(by_alias=True, exclude_unset=True)
