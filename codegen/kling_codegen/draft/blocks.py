"""The parameters of a page as text, in either of its two layouts.

The spaced layout gives name, type, description and values lines of their own. The condensed one runs them together: a
line holds the values of one parameter, then name, type and description of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kling_codegen.draft.example_code import Lines
from kling_codegen.draft.notes import Notes

HEADING = "Parameters"
# An unclosed text extends to the end, or each quotation mark in it would be tried again.
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>"|\Z|\\\Z)', re.DOTALL)
CLOSED = r'"(?:[^"\\]|\\(?s:.))*+"'
TYPE = r"(?:string|integer|number|boolean|object|array)(?:\[\]){0,2}(?: \([a-z-]+\))?"
SCALAR_TYPES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer", "float": "number", "number": "number",
    "bool": "boolean", "boolean": "boolean",
}  # fmt: skip
"""Words for a type of one value, outside the table of a page."""
SPACED = re.compile(r"([A-Za-z_]\w*?)(required|optional)")
SPACED_TYPE = re.compile(rf"{TYPE}|[a-z]+(?:\[\])*(?: \(.*\))?")
# A name is searched once in each word: from its first letter, after the values that it is run together with.
WORD_START = r"(?<!\w)(?:(?![A-Za-z_])\w)*+"
CONDENSED = re.compile(rf"{WORD_START}([A-Za-z_]\w*?)(required|optional)({TYPE})")
# Only where no known type matches: this pattern reads the name of is_requiredoptionalboolean as is_.
CONDENSED_UNKNOWN = re.compile(rf"{WORD_START}([A-Za-z_]\w*?)(required|optional)([a-z]+(?:\[\])*)")
VALUES_START = re.compile(r"^(?:Default: |Range: |Allowed values|Array items:)", re.MULTILINE)
RANGE = re.compile(r"Range: (-?\d{1,15}(?:\.\d{1,15})?) - (-?\d{1,15}(?:\.\d{1,15})?)")
MORE = re.compile(r"\+(\d{1,3}) more")
END = re.compile(r"Response Type|Returns: |Asynchronous requests|Status states|Common Error Codes")
URLS = re.compile(r"(?<![A-Za-z])URLs?(?![A-Za-z])", re.IGNORECASE)
# These contain no names: they are quoted, or stand in the place of values.
OPAQUE = re.compile(
    rf"{QUOTED.pattern}|{MORE.pattern}|{RANGE.pattern}|^(?:null|true|false)+(?=[A-Za-z_])", re.DOTALL
)
# A line without a name that does not continue a description. Its groups never backtrack.
ONLY_VALUES = re.compile(
    rf'(?:[^"]{{0,40}}+{CLOSED})++(?:{MORE.pattern})?|Array items:.*|'
    rf"(?:null|true|false|-?\d++(?:\.\d++)*+|\[\]|{MORE.pattern}|{RANGE.pattern})++"
)


@dataclass(frozen=True)
class Block:
    """One parameter as the page shows it: lines count from 1, values are still text."""

    name: str
    required: bool
    type: str
    line: int
    text: str = ""
    text_line: int = 0
    default: str | None = None  # None too where the layout does not tell the default from the values
    values: str = ""
    values_line: int = 0
    range: tuple[str, str] | None = None
    more: int = 0
    total: int | None = None
    marked: bool = False  # whether the layout says which value is the default
    opens: bool = False  # whether the page says that the parameters of its items follow


def read_blocks(lines: Lines, notes: Notes) -> list[Block]:
    """Return the parameters in the order of the page."""
    spaced = any(SPACED.fullmatch(line.strip()) for _, line in lines)
    headings = (i for i, (_, line) in enumerate(lines, 1) if _is_heading(line))
    if not (start := next(headings, 0)):
        notes.doubt(1, "input", "no heading Parameters; the page may be incomplete")
    section: list[tuple[int, str]] = []
    for number, line in lines[start:]:
        end = END.search(line)
        section.append((number, line[: end.start() if end else None].strip()))
        if end and end[0] == "Response Type":
            break
        if end or number == len(lines):
            notes.cut_line = number
            notes.doubt(
                number, "input", "no heading Response Type after the parameters; the page may be cut off"
            )
            break
    return list(_read_spaced(section) if spaced else _read_condensed(section, notes))


def _is_heading(line: str) -> bool:
    """Return whether the parameters follow: the heading may be run together with an address before it."""
    *_, word = line.split() or [""]
    before = word.removesuffix(HEADING)
    return before != word and (line.strip() == HEADING or "/v1/" in before[:-1])


def _read_spaced(section: Lines) -> Iterator[Block]:
    heads = [(i, head) for i, (_, line) in enumerate(section) if (head := SPACED.fullmatch(line))]
    for (start, head), end in zip(heads, [*(i for i, _ in heads[1:]), len(section)], strict=True):
        body = [(number, text) for number, text in section[start + 1 : end] if text]
        kind = body.pop(0)[1] if body and SPACED_TYPE.fullmatch(body[0][1]) else ""
        split = next((i for i, (_, text) in enumerate(body) if VALUES_START.match(text)), len(body))
        number = section[start][0]
        block = Block(head[1], head[2] == "required", kind, number, marked=True)
        yield _complete_block(block, body[:split] or [(number, "")], body[split:])


def _read_condensed(section: Lines, notes: Notes) -> Iterator[Block]:
    block: Block | None = None
    about: list[tuple[int, str]] = []
    values: list[tuple[int, str]] = []
    for number, line in section:
        masked = OPAQUE.sub(_mask, line)
        head = CONDENSED.search(masked) or CONDENSED_UNKNOWN.search(masked)
        if not head:
            (values if values or ONLY_VALUES.fullmatch(line) else about).append((number, line))
            continue
        name, before = head[1], line[: head.start(1)]
        if block:
            yield _complete_block(block, about, [*values, (number, before)])
        elif before:
            notes.doubt(number, name, f"{before!r} stands before the first parameter and was not understood")
        block = Block(name, head[2] == "required", head[3], number)
        about, values = [(number, line[head.end() :])], []
    if block:
        yield _complete_block(block, about, values)


def _mask(match: re.Match[str]) -> str:
    is_open = match["end"] is not None and match["end"] != '"'
    return match[0] if is_open else "\x00" * len(match[0])


def _complete_block(block: Block, about: Lines, values: Lines) -> Block:
    """Return the block with its description, and its values split as far as the page marks them."""
    text = "\n".join(line for _, line in values)
    matches = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in (
        ("default", rf"^Default: ({CLOSED}|.*?)(?=Range: |$)"), ("range", RANGE.pattern),
        ("more", MORE.pattern), ("allowed", r"^Allowed values *(?:\((\d{1,9}) total\))? *:"), ("items", r"^Array items:"),
    )}  # fmt: skip
    unmarked = text
    for match in matches.values():
        unmarked = unmarked.replace(match[0], "", 1) if match else unmarked
    default, limits, more, allowed = (matches[name] for name in ("default", "range", "more", "allowed"))
    return replace(
        block,
        text=" ".join(line for _, line in about if line),
        text_line=about[0][0],
        values_line=values[0][0] if values else block.line,
        default=default[1] if default else None,
        values=unmarked.strip(),
        range=(limits[1], limits[2]) if limits else None,
        more=int(more[1]) if more else 0,
        total=int(allowed[1]) if allowed and allowed[1] else None,
        marked=block.marked or default is not None,
        opens=bool(matches["items"]),
    )
