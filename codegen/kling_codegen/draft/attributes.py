"""The parameters of a page in its oldest layout: a name run together with its type, then `*` or a default.

This layout has no heading Parameters, no response type and no name of the model but in its addresses.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from kling_codegen.draft.blocks import SCALAR_TYPES, Block
from kling_codegen.draft.example_code import Lines
from kling_codegen.draft.notes import Notes

HEADING = "Attributes"
TYPES = {**SCALAR_TYPES, "list": "string[]", "array": "string[]", "dict": "object", "object": "object"}
HEAD = re.compile(
    rf"(?P<name>[A-Za-z_]\w{{0,60}}?)(?:enum:)?(?P<type>{'|'.join(TYPES)})"
    r" ?(?:(?P<required>\*)|\( ?default: (?P<default>.{0,1000}?) ?\))(?: Affects \w+)?"
)
LIMIT = re.compile(r"(?P<end>min|max) ?: ?(?P<number>-?\d{1,15}(?:\.\d{1,15})?),?")
VALUES = re.compile(r"Allowed values ?:")
END = re.compile(r"To keep track of your credit|Response Type|Returns: ")


def has_attributes(lines: Lines) -> bool:
    """Return whether a page is in the oldest layout."""
    headings = [index for index, (_, line) in enumerate(lines) if line.strip() == HEADING]
    return bool(headings) and any(HEAD.fullmatch(line.strip()) for _, line in lines[headings[0] :])


def read_attributes(lines: Lines, notes: Notes) -> list[Block]:
    """Return the parameters in the order of the page."""
    start = next(index for index, (_, line) in enumerate(lines) if line.strip() == HEADING) + 1
    end = next((index for index in range(start, len(lines)) if END.match(lines[index][1].strip())), 0)
    if not end:
        notes.cut_line = lines[-1][0]
        notes.doubt(notes.cut_line, "input", "no end of the parameters; the page may be cut off")
    section = [(number, text) for number, line in lines[start : end or None] if (text := line.strip())]
    heads = [(index, head) for index, (_, text) in enumerate(section) if (head := HEAD.fullmatch(text))]
    ends = [*(index for index, _ in heads), len(section)][1:]
    return [
        _complete_block(_make_block(head, section[index][0], notes), section[index + 1 : last])
        for (index, head), last in zip(heads, ends, strict=True)
    ]


def _make_block(head: re.Match[str], line: int, notes: Notes) -> Block:
    kind, default = TYPES[head["type"]], head["default"]
    if kind == "string" and default is not None and re.fullmatch(r"-?\d{1,15}(?:\.\d{1,15})?", default):
        about, page = head["name"], f"the default of a text is {default}, without quotation marks"
        notes.discrepancy(line, about, page, "a placeholder; optional, without a default")
        default = None
    elif kind == "string" and default is not None:
        default = None if default in ("None", "null", "") else json.dumps(default, ensure_ascii=False)
    elif kind == "boolean" and default is not None:
        default = default.lower()
    return Block(head["name"], bool(head["required"]), kind, line, default=default, marked=True)


def _complete_block(block: Block, body: Lines) -> Block:
    limits = {match["end"]: match["number"] for _, text in body for match in LIMIT.finditer(text)}
    body = [(number, text) for number, text in body if not LIMIT.fullmatch(text)]
    split = next((index for index, (_, text) in enumerate(body) if VALUES.match(text)), len(body))
    about, values = body[:split], [text for _, text in body[split + 1 :]]
    if block.type == "string":
        values = [json.dumps(text, ensure_ascii=False) for text in values]
    return replace(
        block,
        text=" ".join(text for _, text in about),
        text_line=about[0][0] if about else block.line,
        values_line=body[split][0] if values else block.line,
        values=" ".join(values),
        range=(limits["min"], limits["max"]) if limits.keys() == {"min", "max"} else None,
    )
