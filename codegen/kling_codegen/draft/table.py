"""The schemas of the parameters of a page, and the rules that follow from their limits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import MISSING

from kling_codegen.draft import example, prose
from kling_codegen.draft.blocks import URLS, Block
from kling_codegen.draft.evidence import Evidence
from kling_codegen.draft.forms import read_list_form
from kling_codegen.draft.nesting import Level, Node
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import Page
from kling_codegen.draft.parameters import Schema
from kling_codegen.draft.subject import Subject
from kling_codegen.draft.values import read_values

TYPES = ("string", "integer", "number", "boolean", "array", "object")
# The order of keywords in hand-written specs.
ORDER = ("type", "format", "media", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default",
         "description", "or", "items", "required", "properties")  # fmt: skip
# Those that a page states; it only hints at the kind of media.
STATED = tuple(keyword for keyword in ORDER if keyword not in ("description", "media"))
MEDIA = {"image": {"image", "picture", "photo", "frame"}, "video": {"video", "clip"},
         "audio": {"audio", "sound", "voice", "speech", "music"}}  # fmt: skip


@dataclass
class Table:
    """Converter of parameters to schemas, which collects the rules that follow from their limits."""

    page: Page
    notes: Notes
    evidence: Evidence
    rules: list[Schema] = field(default_factory=list[Schema])

    def read_level(self, level: Level, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return required and properties of one level."""
        properties: Schema = {}
        for node in level:
            name = node.block.name
            if name in properties:
                self.notes.doubt(
                    node.block.line, f"{path}{name}", "it is listed twice; the second is left out"
                )
            else:
                properties[name] = self.read_parameter(node, f"{path}{name}", sent)
        for name in sent.keys() - properties.keys():
            line = self.page.line_of(name)
            self.notes.doubt(
                line, f"{path}{name}", "the example sends it, the table does not list it; left out"
            )
        required = [node.block.name for node in level if node.block.required]
        return ({"required": list(dict.fromkeys(required))} if required else {}) | {"properties": properties}

    def read_parameter(self, node: Node, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return the schema of one parameter."""
        block = node.block
        self.notes.quote_page(block.text_line, path, block.text or "nothing")
        schema = self.read_type(node, path, sent)
        value = sent.get(block.name, MISSING)
        subject = Subject(path, schema["type"], block, value, self.notes, self.evidence.get(path))
        default, allowed = read_values(subject)
        if allowed and "format" in schema:
            subject.doubt("allowed values beside type string (uri); left out")
        elif allowed:
            schema["enum"] = allowed
        elif block.range and schema["type"] in ("integer", "number"):
            low, high = (float(end) for end in block.range)
            schema |= {"minimum": short_number(low), "maximum": short_number(high)}
        elif block.range:
            subject.doubt(f"a range {' to '.join(block.range)} beside type {schema['type']}; left out")
        self.rules += prose.read_limits(path, block, schema, self.notes)
        _put_default(schema, default, subject)
        if "." not in path and self.page.sent_line:
            _compare_example(schema, self.page.line_of(block.name), subject)
        schema["description"] = _describe(subject)
        schema |= read_list_form(subject) if subject.kind == "string" and "format" not in schema else {}
        return {name: schema[name] for name in ORDER if name in schema}

    def read_type(self, node: Node, path: str, sent: Mapping[str, Any]) -> Schema:
        """Return the schema of the declared type alone."""
        block = node.block
        word, _, extra = block.type.partition(" ")
        base = word.replace("[]", "")
        if base not in TYPES or extra not in ("", "(uri)"):
            reason = f"the type {block.type} is unknown" if block.type else "no type is shown"
            base = base if base in TYPES else "string"
            self.notes.doubt(block.line, path, f"{reason}; drafted as {base}")
        schema: Schema = {"type": base}
        if base == "object":
            if not node.parts:
                self.notes.doubt(block.line, path, "the table shows no parameters of its objects; add them")
            match sent.get(block.name):
                case [inner, *_] | inner:  # of a list, its first item
                    members = inner if example.is_object(inner) else {}
            inside = self.read_level(node.parts, f"{path}.", members)
            schema |= inside if node.parts else {}
        elif base == "array":
            self.notes.doubt(block.line, path, "the type of its items is not shown; drafted as string")
            schema["items"] = {"type": "string"}
        elif extra == "(uri)":
            schema["format"] = "uri"
        elif base == "string" and (evidence := _find_url_evidence(block, sent.get(block.name))):
            decision = "each item is a URL" if "[]" in word else "a URL"
            self.notes.discrepancy(
                block.line, path, f"the table says {block.type}, the {evidence} says URL", decision
            )
            schema["format"] = "uri"
        if "format" in schema:
            schema |= find_media(block.name)
        for _ in range(word.count("[]")):
            schema = {"type": "array", "items": schema}
        return schema


def find_media(name: str) -> Schema:
    """Return the keyword `media` that a name such as start_image_url means; empty if it is not clear."""
    words = {word.removesuffix("s") for word in name.lower().split("_")}
    kinds = [kind for kind, synonyms in MEDIA.items() if words & synonyms]
    return {"media": kinds[0]} if len(kinds) == 1 else {}


def _describe(subject: Subject) -> str:
    values = subject.notes.shown_values.get(subject.path)
    shown = f" Values on the page: {', '.join(map(str, values))}." if values else ""
    return f"TODO: say what {subject.path} does.{shown}"


def _find_url_evidence(block: Block, sent: Any) -> str:
    """Return the part of the page that says URL, "name", "description" or "example"; empty for other text."""
    if URLS.search(block.name):
        return "name"
    if "[]" not in block.type or "base64" in block.text.lower():
        return ""
    is_sent = isinstance(sent, list) and all(map(example.is_url, example.list_items(sent) or [""]))
    return "description" if URLS.search(block.text) else "example" if is_sent else ""


def _put_default(schema: Schema, default: Any, subject: Subject) -> None:
    """Put the default into the schema, unless it is a sample, or the schema does not allow it."""
    if default is MISSING:
        return
    block, is_url = subject.block, schema.get("format") or schema.get("items", {}).get("format")
    prompt = re.search(r"(?:^|_)(?:prompt|text)$", block.name) and "negative" not in block.name
    sort = "sample URL" if is_url else "sample prompt" if prompt else "value"
    optional = "optional, without a default"
    if block.required:
        if default not in (None, ""):
            subject.discrepancy(
                f"it is required, yet a {sort} stands as its default", "required, without a default"
            )
    elif default is None:
        subject.discrepancy(
            f"the type is {block.type}, the default is null", "null is accepted and counts as not set"
        )
        schema |= {"type": [schema["type"], "null"], "default": None}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    elif default and (is_url or (prompt and (default == subject.sent or _is_sentence(default)))):
        subject.discrepancy(f"a {sort} stands as the default of an optional parameter", optional)
    elif schema["type"] == "object" or not example.fits(schema, default):
        subject.discrepancy(f"its default is {_format(default)}, which the table does not allow", optional)
    else:
        schema["default"] = default


def _is_sentence(default: Any) -> bool:
    return isinstance(default, str) and " " in default.strip()


def _compare_example(schema: Schema, line: int, subject: Subject) -> None:
    """Compare a parameter with its value in the example."""
    sent, kind, required = subject.sent, schema["type"], subject.block.required
    if sent is MISSING and not required:
        return
    if sent is MISSING:
        contradiction, decision = "it is required, yet the example leaves it out", "required"
    elif sent in ("", [], None) and required:
        contradiction, decision = (
            "it is required, yet the example sends it empty",
            "required, and never empty",
        )
    elif kind in ("integer", "number") and isinstance(sent, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", sent):
        text_form = "; the text form is accepted and sent as an integer" if "enum" in schema else ""
        contradiction, decision = (
            f'the table says {kind}, the example sends the text "{sent}"',
            f"{kind}{text_form}",
        )
    elif not example.fits(schema, sent):
        contradiction, decision = (
            f"the example sends {_format(sent)}, which the table does not allow",
            "as in the table",
        )
    else:
        return
    subject.notes.discrepancy(line, subject.path, contradiction, decision)


def _format(value: Any) -> str:
    # A long text would be a sentence of the page.
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 30 else "a value"


def short_number(number: float) -> float | int:
    """Return a number, as an integer if it has no fraction."""
    return int(number) if number.is_integer() else number
