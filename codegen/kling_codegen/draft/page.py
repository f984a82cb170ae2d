"""A documentation page as text -> what it shows, whatever its layout.

Two layouts are known. The spaced one gives name, type, description and values lines of their own. The condensed one
runs them together: a line holds the values of one parameter, then name, type and description of the next.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, TypeAlias, cast

from kling_codegen.draft.notes import Notes

Lines: TypeAlias = Sequence[tuple[int, str]]

SLUG = r"([a-z][a-z0-9]*(?:[.-][a-z0-9]+)*)"
ADDRESS = re.compile(rf"/v[12]/(?!requests\b){SLUG}")
HEADING = "Parameters"
# One that is never closed is taken to the end, or each quotation mark in it would be tried again.
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>"|\Z|\\\Z)', re.DOTALL)
CLOSED = r'"(?:[^"\\]|\\(?s:.))*+"'
TYPE = r"(?:string|integer|number|boolean|object|array)(?:\[\]){0,2}(?: \([a-z-]+\))?"
SPACED = re.compile(r"([A-Za-z_]\w*?)(required|optional)")
SPACED_TYPE = re.compile(rf"{TYPE}|[a-z]+(?:\[\])*(?: \(.*\))?")
# A name is looked for once in each word: from its first letter, after the values that it is run together with.
WORD_START = r"(?<!\w)(?:(?![A-Za-z_])\w)*+"
CONDENSED = re.compile(rf"{WORD_START}([A-Za-z_]\w*?)(required|optional)({TYPE})")
# Only where no known type is found: this one takes the name of is_requiredoptionalboolean for is_.
CONDENSED_UNKNOWN = re.compile(rf"{WORD_START}([A-Za-z_]\w*?)(required|optional)([a-z]+(?:\[\])*)")
VALUES_START = re.compile(r"^(?:Default: |Range: |Allowed values|Array items:)", re.MULTILINE)
RANGE = re.compile(r"Range: (-?\d{1,15}(?:\.\d{1,15})?) - (-?\d{1,15}(?:\.\d{1,15})?)")
MORE = re.compile(r"\+(\d{1,3}) more")
END = re.compile(r"Response Type|Returns: |Asynchronous requests|Status states|Common Error Codes")
# No name can be in these: they are quoted, or stand where values do.
OPAQUE = re.compile(
    rf"{QUOTED.pattern}|{MORE.pattern}|{RANGE.pattern}|^(?:null|true|false)+(?=[A-Za-z_])", re.DOTALL
)
# What a line without a name can be, if it is no further line of a description. Nothing in it is given back.
ONLY_VALUES = re.compile(
    rf'(?:[^"]{{0,40}}+{CLOSED})++(?:{MORE.pattern})?|Array items:.*|'
    rf"(?:null|true|false|-?\d++(?:\.\d++)*+|\[\]|{MORE.pattern}|{RANGE.pattern})++"
)
LITERALS = {"true": True, "false": False, "null": None}
KINDS = ("video", "image", "audio", "text")
# What parsing and evaluating code that is no literal, or not yet all of it, can raise.
UNUSABLE = (SyntaxError, ValueError, TypeError, LookupError, AttributeError, MemoryError, RecursionError)


# A real page has 10,000 characters and up to forty parameters; its example, up to fifty lines.
MOST_CHARACTERS, MOST_PARAMETERS = 100_000, 150
MOST_TRIES, MOST_LINES, MOST_CODE = 100, 200, 10_000


class NotAPage(Exception):
    """The text is no documentation page of a model; the message says why."""


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


@dataclass(frozen=True)
class Page:
    """What a page says."""

    slug: str
    title: str
    tagline: str
    tagline_line: int
    latency: float | None
    price: tuple[int, str] | None
    returns: str
    blocks: list[Block]
    sent: dict[str, Any]  # the input of the example
    sent_line: int  # 0 if there is no example
    sent_lines: dict[str, int] = field(default_factory=dict[str, int])

    def line_of(self, name: str) -> int:
        """Return where the example sends a parameter, or where it starts."""
        return self.sent_lines.get(name, self.sent_line)


def read(text: str, notes: Notes) -> Page:
    """Read a page in either layout. Raises NotAPage."""
    if len(text) > MOST_CHARACTERS:
        raise NotAPage(f"it has {len(text)} characters; at most {MOST_CHARACTERS} are read")
    # Browsers put no-break spaces where HTML has them.
    lines = list(enumerate(text.replace("\u00a0", " ").split("\n"), 1))
    if not (found := [(number, match[1]) for number, line in lines for match in ADDRESS.finditer(line)]):
        raise NotAPage("it shows no address such as /v1/kling-2, so the model has no name")
    slug = Counter(name for _, name in found).most_common(1)[0][0]
    for number, other in found:
        if other != slug:
            notes.doubt(number, "slug", f"this address says {other}, others say {slug}")
    sent_line, sent, sent_lines = _example([(n, re.sub(r"^ {0,3}\d+", "", line)) for n, line in lines])
    if not sent_line:
        notes.doubt(1, "examples", "no example was found; the draft has one of made-up values")
    blocks = _blocks(lines, notes)
    if not blocks:
        raise NotAPage("it shows no parameters (a name, then required or optional, then a type)")
    if len(blocks) > MOST_PARAMETERS:
        raise NotAPage(f"it shows {len(blocks)} parameters; at most {MOST_PARAMETERS} are read")
    filled = [(number, line.strip()) for number, line in lines[: blocks[0].line - 1] if line.strip()]
    # Latency, price, address and code come after title and tagline.
    head = list(takewhile(lambda each: not re.match(r"~|\$|POST|1?\s*(?:import|#)", each[1]), filled))
    title = head[0][1].removesuffix("Serverless API").strip() if head else ""
    if title and len(title) <= 100 and not title.endswith("."):
        head = head[1:]
    else:
        title = slug.replace("-", " ").title()
        notes.doubt(1, "title", f"no title was found; {title} is made from the slug")
    tagline_line, tagline = head[0] if head else (1, "")
    stripped = [(number, line.strip()) for number, line in lines]
    seconds = _first(stripped, r"^~(\d{1,15}(?:\.\d{1,15})?)s$")
    price = _first(stripped, r"^(~?\$\d.*)$")
    answer = _first(lines, r"Returns: (\w+)")
    returns = answer[1].lower() if answer else "none"
    if returns not in KINDS:
        says = f"the response type {returns} is none of {', '.join(KINDS)}" if answer else "no response type"
        notes.doubt(answer[0] if answer else 1, "returns", f"{says}; drafted as video")
        returns = "video"
    return Page(
        slug, title, tagline, tagline_line, float(seconds[1]) if seconds else None, price,
        returns, blocks, sent, sent_line, sent_lines,
    )  # fmt: skip


def _first(lines: Lines, pattern: str) -> tuple[int, str] | None:
    return next(((number, match[1]) for number, line in lines if (match := re.search(pattern, line))), None)


def _example(code: Lines) -> tuple[int, dict[str, Any], dict[str, int]]:
    """Return line and values of the example: of the client (payload, or run) or of requests (data)."""
    tries = 0
    for start, (number, line) in enumerate(code):
        if not re.match(r"\s*(?:(?:payload|data)\s*=\s*\{|\w+\s*=\s*\w+\.run\()", line):
            continue
        for end in range(start + 1, min(start + MOST_LINES, len(code)) + 1):
            # Only there can it be complete; the next thing on the page may be run together with it.
            if not re.search(r"[})]", code[end - 1][1]):
                continue
            tries += 1
            text = "\n".join(line for _, line in code[start:end])
            if tries > MOST_TRIES or len(text) > MOST_CODE:
                break
            try:
                with warnings.catch_warnings(action="ignore"):
                    tree = ast.parse(text.lstrip())
                given = _Values().visit(cast("ast.Assign", tree.body[0]).value)
                # By way of JSON, so that nothing else comes through.
                values: Any = json.dumps(ast.literal_eval(given), ensure_ascii=False, allow_nan=False)
                values = json.loads(values.encode())
                keys = [ast.literal_eval(key) for key in given.keys]
            except UNUSABLE:
                continue
            places = zip(keys, given.values, strict=True)
            return number, values, {str(key): number + node.lineno - 1 for key, node in places}
    return 0, {}, {}


class _Values(ast.NodeTransformer):
    """Turns the arguments of a call into a dictionary, and the literals of JSON into those of Python."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        pairs = {keyword.arg: keyword.value for keyword in node.keywords}
        made = ast.Dict([ast.Constant(name) for name in pairs], list(pairs.values()))
        return cast("ast.AST", self.visit(made))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(LITERALS[node.id], lineno=node.lineno, col_offset=0)


def _blocks(lines: Lines, notes: Notes) -> list[Block]:
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
            notes.doubt(
                number, "input", "no heading Response Type after the parameters; the page may be cut off"
            )
            break
    return list(_read_spaced(section) if spaced else _read_condensed(section, notes))


def _is_heading(line: str) -> bool:
    """Tell whether the parameters follow: the heading may be run together with an address before it."""
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
        yield _completed(block, body[:split] or [(number, "")], body[split:])


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
            yield _completed(block, about, [*values, (number, before)])
        elif before:
            notes.doubt(number, name, f"{before!r} stands before the first parameter and was not understood")
        block = Block(name, head[2] == "required", head[3], number)
        about, values = [(number, line[head.end() :])], []
    if block:
        yield _completed(block, about, values)


def _mask(found: re.Match[str]) -> str:
    is_open = found["end"] is not None and found["end"] != '"'
    return found[0] if is_open else "\x00" * len(found[0])


def _completed(block: Block, about: Lines, values: Lines) -> Block:
    """Return the block with its description, and its values taken apart as far as the page marks them."""
    text = "\n".join(line for _, line in values)
    found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in (
        ("default", rf"^Default: ({CLOSED}|.*?)(?=Range: |$)"), ("range", RANGE.pattern),
        ("more", MORE.pattern), ("allowed", r"^Allowed values *(?:\((\d{1,9}) total\))? *:"), ("items", r"^Array items:"),
    )}  # fmt: skip
    rest = text
    for match in found.values():
        rest = rest.replace(match[0], "", 1) if match else rest
    default, limits, more, allowed = (found[name] for name in ("default", "range", "more", "allowed"))
    return replace(
        block,
        text=" ".join(line for _, line in about if line),
        text_line=about[0][0],
        values_line=values[0][0] if values else block.line,
        default=default[1] if default else None,
        values=rest.strip(),
        range=(limits[1], limits[2]) if limits else None,
        more=int(more[1]) if more else 0,
        total=int(allowed[1]) if allowed and allowed[1] else None,
        marked=block.marked or default is not None,
        opens=bool(found["items"]),
    )
