"""Composition of a draft spec from the facts of a page, with notes for its reviewer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import ValidationError

from kling_codegen.draft import example, prose
from kling_codegen.draft.evidence import NO_EVIDENCE, Evidence
from kling_codegen.draft.nesting import Node, nest
from kling_codegen.draft.notes import Note, Notes
from kling_codegen.draft.page import KINDS, MAKES, Page, read_page
from kling_codegen.draft.parameters import Parameters, Schema, collect_schemas, read_input
from kling_codegen.draft.table import Table, short_number
from kling_codegen.draft.write import to_yaml
from kling_codegen.language import Spec
from kling_codegen.load.document import Document
from kling_codegen.messages import format_location

MODEL_PAGE = "https://www.segmind.com/models/{slug}/api"
PRICE = re.compile(
    r"~?\$(\d+(?:\.\d+)?)(?: - \$(\d+(?:\.\d+)?))?(?: per (generation|second|minute|image|megapixel))?"
)


@dataclass(frozen=True)
class Draft:
    """A draft spec as text and as plain values, and notes for its reviewer."""

    yaml: str
    notes: list[Note]
    content: dict[str, Any]
    page: Page
    gaps: Notes


def draft_spec(text: str, document: str, read: date, evidence: Evidence = NO_EVIDENCE) -> Draft:
    """Draft a spec from the text of a page; an existing spec decides what could be read in several ways.

    Raises:
        NotAPage: The text is not a documentation page of a model.

    """
    notes = Notes()
    page = read_page(text, notes)
    tree = nest(page, notes, evidence)
    table = Table(page, notes, evidence)
    inside = table.read_level(tree, "", page.sent)
    properties, blocks = inside["properties"], [node.block for node in tree]
    _check_tagline(page, notes)
    parameters = Parameters("", collect_schemas(properties), read_input(inside))
    rules = [rule for node in tree for rule in _read_rules(node, inside, parameters, page, notes)]
    rules += [*prose.find_references(page, blocks, properties, notes), *table.rules]
    # Two parameters that exclude each other may both state the rule.
    rules = [rule for index, rule in enumerate(rules) if rule not in rules[:index]]
    source = {"page": MODEL_PAGE.format(slug=page.slug), "document": document, "read": read}
    if notes.cut_name:
        source["unseen"] = f"the rest of {notes.cut_name}, the rows after it, and the response type"
    spec: dict[str, Any] = {
        "slug": page.slug,
        "title": page.title,
        "summary": "TODO: one sentence of our own.",
        "returns": page.returns,
        "latency_seconds": page.latency and short_number(page.latency),
        **_read_price(page, notes),
        "source": source,
        "input": inside,
        **({"rules": rules} if rules else {}),
        **({"discrepancies": notes.discrepancies} if notes.discrepancies else {}),
        "examples": [{"name": "as on the page", "input": example.repair_example(inside, page)}],
    }
    _check(spec, page, notes)
    return Draft(to_yaml(spec), sorted(set(notes.all)), spec, page, notes)


def _read_rules(node: Node, inside: Schema, parameters: Parameters, page: Page, notes: Notes) -> list[Schema]:
    """Return the rules that the description of a parameter states."""
    sentences: list[str] = []
    described = replace(parameters, described=node.block.name)
    stated = list(prose.find_stated_rules(node, described, notes, sentences))
    return [*stated, *prose.find_conditions(node.block, sentences, inside, page, notes)]


def _check_tagline(page: Page, notes: Notes) -> None:
    output_kinds = {match[1].lower() for match in MAKES.finditer(page.tagline)}
    kinds = output_kinds or {
        kind for kind in KINDS if re.search(rf"\b{kind}s?\b", page.tagline, re.IGNORECASE)
    }
    if kinds and page.returns not in kinds:
        contradiction = (
            f"it speaks of {' and '.join(sorted(kinds))}, while the response type is {page.returns}"
        )
        notes.discrepancy(page.tagline_line, "tagline", contradiction, f"returns {page.returns}")


def _read_price(page: Page, notes: Notes) -> Schema:
    if not page.price:
        return {}
    line, text = page.price
    match = PRICE.fullmatch(text)
    if not match:
        notes.doubt(line, "pricing", f"the page asks {text}; left out of the draft")
        return {}
    low, high, unit = match.groups()
    if not unit:
        notes.doubt(
            line, "pricing", f"the page asks {text} without saying for what; drafted as for a generation"
        )
    price = {"currency": "USD", "from": float(low), "to": float(high or low), "unit": unit or "generation"}
    return {"pricing": price | ({"approximate": True} if text.startswith("~") else {})}


def _check(spec: dict[str, Any], page: Page, notes: Notes) -> None:
    """Note the problems of the draft; leave out the example if it is the only problem."""
    problems = find_problems(spec)
    if problems and all(at.startswith("examples") for at, _ in problems):
        notes.doubt(page.sent_line or 1, "examples", f"left out: {problems[0][1]}")
        del spec["examples"]
        problems = find_problems(spec)
    for at, problem in problems:
        notes.doubt(1, at, f"the draft does not load yet: {problem}")


def find_problems(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the problems of the content of a spec in the words of `generate`, each with its place."""
    try:
        Spec.model_validate(spec)
    except ValidationError:
        # The messages of `generate`, which needs the text of the spec.
        document = Document(to_yaml(spec))
        document.validate(Spec)
        return [(format_location(at), str(message)) for at, message in document.problems]
    return []
