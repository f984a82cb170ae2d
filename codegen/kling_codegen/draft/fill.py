"""A page as a spec to compare with an existing one: what no page states is taken from the existing spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pydantic import ValidationError

from kling_codegen.draft.compose import Draft
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import NotAPage
from kling_codegen.draft.table import ORDER
from kling_codegen.language import Spec
from kling_codegen.rules.rule import iter_conditions

# The rules that sentences of a page become; any other rule of a spec stands on a decision of its author.
DRAFTED_RULES: Final = frozenset(
    {"at_least_one_of", "exactly_one_of", "max_bytes", "mutually_exclusive", "references", "requires"}
)
_STATED: Final = frozenset(ORDER) - {"description"}
_LIMITS: Final = ("minLength", "maxLength", "minItems", "maxItems")


def fill_draft(draft: Draft, spec: Spec) -> Spec:
    """Return the spec with the facts of the page in place of its own.

    Args:
        draft: The draft of the page, made with the spec as evidence.
        spec: The existing spec of the same model.

    Raises:
        NotAPage: The facts of the page do not make a valid spec.

    """
    content, old = draft.content, spec.model_dump(by_alias=True, exclude_unset=True)
    doubted = {note.about for note in draft.notes if note.sort == "doubt"}
    for fact in ("title", "returns", "latency_seconds", "pricing"):
        is_shown = content.get(fact) is not None and (fact == "pricing" or fact not in doubted)
        if is_shown:
            old[fact] = content[fact]
    inside = _fill_object(old["input"], content["input"], "", draft.gaps)
    paths = set(_iter_paths(inside["properties"]))
    old |= {"input": inside, "rules": [*content.get("rules", ()), *_kept_rules(spec, paths, draft.gaps)]}
    try:
        return Spec.model_validate(strip_texts(old))
    except ValidationError as error:
        details = error.errors()[0]
        at = ".".join(map(str, details["loc"]))
        raise NotAPage(f"its facts do not make a valid spec: {details['msg']}, at {at}") from None


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
    return {"required": required, "properties": properties}


def _fill_schema(old: Mapping[str, Any], new: Mapping[str, Any], path: str, gaps: Notes) -> dict[str, Any]:
    if gaps.cut_line and path.rpartition(".")[2] == gaps.cut_name:
        return dict(old)
    keywords = {key: part for key, part in old.items() if key not in _STATED}
    keywords |= {key: part for key, part in new.items() if key != "description"}
    unread: tuple[str, ...] = _LIMITS if path in gaps.unread else ()
    if path in gaps.undecided and old["type"] == new["type"]:
        unread = (*unread, "enum", "default")
    keywords |= {key: old[key] for key in unread if key in old and key not in new}
    if "items" in old and "items" in new:
        # No page says of a list of texts that they are URLs, but by its name.
        items = {"format": old["items"]["format"]} if "format" in old["items"] else {}
        is_plain = new["items"]["type"] == old["items"]["type"] == "string"
        keywords["items"] = _fill_schema(old["items"], new["items"] | (items if is_plain else {}), path, gaps)
    if "properties" in old and "properties" in new:
        keywords |= _fill_object(old, new, f"{path}.", gaps)
    return keywords


def _kept_rules(spec: Spec, paths: AbstractSet[str], gaps: Notes) -> Iterator[dict[str, Any]]:
    """Yield the rules of the spec that the page may state in a sentence that was not understood."""
    for rule in spec.rules:
        for key, condition in iter_conditions([rule]):
            names = {name for _, name in condition.parameters()}
            is_kept = key not in DRAFTED_RULES or names & gaps.unread or gaps.cut_line
            if is_kept and names <= paths:
                yield rule.model_dump(by_alias=True, exclude_unset=True)


def _iter_paths(properties: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, schema in properties.items():
        yield f"{prefix}{name}"
        inner = schema
        while "items" in inner:
            inner = inner["items"]
        yield from _iter_paths(inner.get("properties", {}), f"{prefix}{name}.")
