"""A list that the description of a text describes: the other form of the parameter."""

from __future__ import annotations

import re
from typing import Any

from pydantic import MISSING

from kling_codegen.draft.blocks import SCALAR_TYPES, URLS, Block
from kling_codegen.draft.parameters import Schema
from kling_codegen.draft.subject import Subject
from kling_codegen.schema import Schema as ParameterSchema

LIST = re.compile(r"\b(?:list|array) of\b", re.IGNORECASE)
TYPES = {**SCALAR_TYPES, "list": "array", "array": "array"}
MEMBER = re.compile(rf"['\"`]?\b([A-Za-z_]\w{{0,60}})['\"`]? \(({'|'.join(TYPES)})\)")
# A description of more members would be a table.
MAX_MEMBERS = 20


def read_list_form(subject: Subject) -> Schema:
    """Return the keyword `or` of a text whose description lists the members of objects; empty for other texts."""
    evidence = subject.evidence
    form = MISSING if evidence is None else evidence.other_form
    members = _find_members(subject.block)
    if form is not MISSING and (not members or members.keys() == _find_names(form)):
        return {"or": form.model_dump(by_alias=True, exclude_unset=True)}
    if not members:
        return {}
    subject.discrepancy(
        f"the table says {subject.block.type}, the description speaks of a list", "both forms are accepted"
    )
    properties = {name: _make_member(name, kind) for name, kind in members.items()}
    return {"or": {"type": "array", "items": {"type": "object", "properties": properties}}}


def _find_members(block: Block) -> dict[str, str]:
    if block.type not in ("string", "str") or not LIST.search(block.text):
        return {}
    return dict(MEMBER.findall(block.text)[:MAX_MEMBERS])


def _find_names(form: ParameterSchema) -> set[str]:
    parts = MISSING if form.items is MISSING else form.items.properties
    return set() if parts is MISSING else set(parts)


def _make_member(name: str, word: str) -> dict[str, Any]:
    kind = TYPES[word]
    text: dict[str, Any] = {"type": "string"} | ({"format": "uri"} if URLS.search(name) else {})
    schemas: dict[str, dict[str, Any]] = {"array": {"type": "array", "items": text}, "string": text}
    return {**schemas.get(kind, {"type": kind}), "description": f"TODO: say what {name} does."}
