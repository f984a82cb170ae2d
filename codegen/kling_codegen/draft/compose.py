"""What a page shows -> a draft spec, with notes on all that a person must look at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import MISSING, ValidationError

from kling_codegen.draft import example, prose, values
from kling_codegen.draft import page as pages
from kling_codegen.draft.nesting import Level, Node, nest
from kling_codegen.draft.notes import Note, Notes
from kling_codegen.draft.page import Page
from kling_codegen.draft.prose import Schema
from kling_codegen.draft.write import to_yaml
from kling_codegen.language import Spec

MODEL_PAGE = "https://www.segmind.com/models/{slug}/api"
TYPES = ("string", "integer", "number", "boolean", "array", "object")
# The order in which a person would write them.
ORDER = ("type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default",
         "description", "items", "required", "properties")  # fmt: skip
URLS = re.compile(r"(?<![A-Za-z])URLs?(?![A-Za-z])", re.IGNORECASE)
MAKES = re.compile(r"\b(?:text|image|video|audio)[- ]?(?:to|2)[- ]?(video|image|audio|text)\b", re.IGNORECASE)
PRICE = re.compile(
    r"~?\$(\d+(?:\.\d+)?)(?: - \$(\d+(?:\.\d+)?))?(?: per (generation|second|minute|image|megapixel))?"
)


@dataclass(frozen=True)
class Draft:
    """A draft spec, and what to look at before it is used."""

    yaml: str
    notes: list[Note]


def draft(text: str, document: str, read: date) -> Draft:
    """Draft a spec from the text of a page. Raises NotAPage."""
    notes = Notes()
    page = pages.read(text, notes)
    tree = nest(page, notes)
    table = _Table(page, notes)
    inside = table.level(tree, "", page.sent)
    properties, blocks = inside["properties"], [node.block for node in tree]
    _tagline(page, notes)
    rules = [rule for block in blocks for rule in prose.conditions(block, inside, page, notes)]
    rules += [*prose.references(page, blocks, properties, notes), *table.rules]
    # The descriptions of two parameters that exclude each other may both say so.
    rules = [rule for index, rule in enumerate(rules) if rule not in rules[:index]]
    source = {"page": MODEL_PAGE.format(slug=page.slug), "document": document, "read": read}
    spec: dict[str, Any] = {
        "slug": page.slug,
        "title": page.title,
        "summary": "TODO: one sentence of our own.",
        "returns": page.returns,
        "latency_seconds": page.latency and _short(page.latency),
        **_pricing(page, notes),
        "source": source,
        "input": inside,
        **({"rules": rules} if rules else {}),
        **({"discrepancies": notes.discrepancies} if notes.discrepancies else {}),
        "examples": [{"name": "as on the page", "input": example.repaired(inside, page)}],
    }
    _check(spec, page, notes)
    return Draft(to_yaml(spec), sorted(set(notes.all)))


@dataclass
class _Table:
    """Turns the parameters of a page into schemas, and collects the rules that their limits bring."""

    page: Page
    notes: Notes
    rules: list[Schema] = field(default_factory=list[Schema])

    def level(self, level: Level, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return required and properties of one level."""
        properties: Schema = {}
        for node in level:
            name = node.block.name
            if name in properties:
                self.notes.doubt(
                    node.block.line, f"{path}{name}", "it is there twice; the second is left out"
                )
            else:
                properties[name] = self.parameter(node, f"{path}{name}", sent)
        for name in sent.keys() - properties.keys():
            line = self.page.line_of(name)
            self.notes.doubt(
                line, f"{path}{name}", "the example sends it, the table does not list it; left out"
            )
        required = [node.block.name for node in level if node.block.required]
        return ({"required": list(dict.fromkeys(required))} if required else {}) | {"properties": properties}

    def parameter(self, node: Node, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return the schema of one parameter."""
        block = node.block
        self.notes.words(block.text_line, path, block.text or "nothing")
        schema = self.declared(node, path, sent)
        about = values.About(path, schema["type"], block, sent.get(block.name, MISSING), self.notes)
        default, allowed = values.read(about)
        if allowed and "format" in schema:
            about.doubt("allowed values beside type string (uri); left out")
        elif allowed:
            schema["enum"] = allowed
        elif block.range and schema["type"] in ("integer", "number"):
            low, high = (float(end) for end in block.range)
            schema |= {"minimum": _short(low), "maximum": _short(high)}
        elif block.range:
            about.doubt(f"a range {' to '.join(block.range)} beside type {schema['type']}; left out")
        self.rules += prose.limits(path, block, schema, self.notes)
        _default(schema, default, about)
        if "." not in path and self.page.sent_line:
            _compare(schema, self.page.line_of(block.name), about)
        schema["description"] = f"TODO: say what {path} does."
        return {name: schema[name] for name in ORDER if name in schema}

    def declared(self, node: Node, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return the schema of the declared type alone."""
        block = node.block
        word, _, extra = block.type.partition(" ")
        base = word.replace("[]", "")
        if base not in TYPES or extra not in ("", "(uri)"):
            said = f"the type {block.type} is not known" if block.type else "no type is shown"
            base = base if base in TYPES else "string"
            self.notes.doubt(block.line, path, f"{said}; drafted as {base}")
        schema: Schema = {"type": base}
        if base == "object":
            match sent.get(block.name):
                case [inner, *_] | inner:  # of a list, its first item
                    given = inner if example.is_object(inner) else {}
            schema |= self.level(node.parts, f"{path}.", given)
        elif base == "array":
            self.notes.doubt(block.line, path, "the type of its items is not shown; drafted as string")
            schema["items"] = {"type": "string"}
        elif extra == "(uri)":
            schema["format"] = "uri"
        elif base == "string" and (told := _says_url(block)):
            decision = "each item is a URL" if "[]" in word else "a URL"
            self.notes.discrepancy(
                block.line, path, f"the table says {block.type}, the {told} says URL", decision
            )
            schema["format"] = "uri"
        for _ in range(word.count("[]")):
            schema = {"type": "array", "items": schema}
        return schema


def _says_url(block: pages.Block) -> str:
    """Return what says that a text, or each text of a list, is a URL. Of a single text only its name is believed."""
    if URLS.search(block.name):
        return "name"
    told = "[]" in block.type and URLS.search(block.text) and "base64" not in block.text.lower()
    return "description" if told else ""


def _default(schema: Schema, default: Any, about: values.About) -> None:
    """Put the default into the schema, unless it is a sample, or none that the schema allows."""
    if default is MISSING:
        return
    block, is_url = about.block, schema.get("format") or schema.get("items", {}).get("format")
    prompt = re.search(r"(?:^|_)(?:prompt|text)$", block.name) and "negative" not in block.name
    sort = "sample URL" if is_url else "sample prompt" if prompt else "value"
    optional = "optional, without a default"
    if block.required:
        if default not in (None, ""):
            about.discrepancy(
                f"it is required, yet a {sort} stands as its default", "required, without a default"
            )
    elif default is None:
        about.discrepancy(
            f"the type is {block.type}, the default is null", "null is accepted and counts as not given"
        )
        schema |= {"type": [schema["type"], "null"], "default": None}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    elif default and (is_url or (prompt and default == about.sent)):
        about.discrepancy(f"a {sort} stands as the default of an optional parameter", optional)
    elif schema["type"] == "object" or not example.fits(schema, default):
        about.discrepancy(f"its default is {_shown(default)}, which the table does not allow", optional)
    else:
        schema["default"] = default


def _compare(schema: Schema, line: int, about: values.About) -> None:
    """Compare a parameter with what the example sends for it."""
    sent, kind, required = about.sent, schema["type"], about.block.required
    if sent is MISSING and not required:
        return
    if sent is MISSING:
        said, decision = "it is required, yet the example leaves it out", "required"
    elif sent in ("", [], None) and required:
        said, decision = "it is required, yet the example sends it empty", "required, and never empty"
    elif kind in ("integer", "number") and isinstance(sent, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", sent):
        both = "; the text form is accepted and sent as an integer" if "enum" in schema else ""
        said, decision = f'the table says {kind}, the example sends the text "{sent}"', f"{kind}{both}"
    elif not example.fits(schema, sent):
        said, decision = (
            f"the example sends {_shown(sent)}, which the table does not allow",
            "as in the table",
        )
    else:
        return
    about.notes.discrepancy(line, about.path, said, decision)


def _tagline(page: Page, notes: Notes) -> None:
    makes = {match[1].lower() for match in MAKES.finditer(page.tagline)}
    said = makes or {kind for kind in pages.KINDS if re.search(rf"\b{kind}s?\b", page.tagline, re.IGNORECASE)}
    if said and page.returns not in said:
        told = f"it speaks of {' and '.join(sorted(said))}, while the response type is {page.returns}"
        notes.discrepancy(page.tagline_line, "tagline", told, f"returns {page.returns}")


def _pricing(page: Page, notes: Notes) -> Schema:
    if not page.price:
        return {}
    line, text = page.price
    match = PRICE.fullmatch(text)
    if not match:
        notes.doubt(line, "pricing", f"the page asks {text}; the draft does not say so")
        return {}
    low, high, unit = match.groups()
    if not unit:
        notes.doubt(
            line, "pricing", f"the page asks {text} without saying for what; drafted as for a generation"
        )
    from_to = {"from": float(low), "to": float(high or low)}
    return {"pricing": {"currency": "USD", **from_to, "unit": unit or "generation"}}


def _check(spec: dict[str, Any], page: Page, notes: Notes) -> None:
    """Note why the draft does not load, if it does not; leave out an example that is the only reason."""
    found = _problems(spec)
    if found and all(at.startswith("examples") for at, _ in found):
        notes.doubt(page.sent_line or 1, "examples", f"left out: {found[0][1]}")
        del spec["examples"]
        found = _problems(spec)
    for at, what in found:
        notes.doubt(1, at, f"the draft does not load yet: {what}")


def _problems(spec: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        Spec.model_validate(spec)
    except ValidationError as error:
        return [(".".join(map(str, details["loc"])), details["msg"]) for details in error.errors()]
    return []


def _shown(value: Any) -> str:
    # A long text would be a sentence of the page.
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 30 else "a value"


def _short(number: float) -> float | int:
    return int(number) if number.is_integer() else number
