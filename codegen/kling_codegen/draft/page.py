"""The facts of a documentation page, in either layout."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from kling_codegen.draft.attributes import has_attributes, read_attributes
from kling_codegen.draft.blocks import Block, read_blocks
from kling_codegen.draft.example_code import Lines, find_example
from kling_codegen.draft.notes import Notes

SLUG = r"([a-z][a-z0-9]*(?:[.-][a-z0-9]+)*)"
ADDRESS = re.compile(rf"/v[12]/(?!requests\b){SLUG}")
MAKES = re.compile(r"\b(?:text|image|video|audio)[- ]?(?:to|2)[- ]?(video|image|audio|text)\b", re.IGNORECASE)
KINDS = ("video", "image", "audio", "text")
# A real page has 10,000 characters and up to forty parameters.
MAX_CHARACTERS, MAX_PARAMETERS, MAX_NAME = 100_000, 150, 100


class NotAPage(Exception):
    """The text is not a documentation page of a model; the message has the reason."""


@dataclass(frozen=True)
class Page:
    """The facts of a page."""

    slug: str
    title: str
    tagline: str
    tagline_line: int
    latency: float | None
    price: tuple[int, str] | None
    returns: str
    blocks: list[Block]
    sent: dict[str, Any]  # the parameters of the example
    sent_line: int  # 0 if there is no example
    sent_lines: dict[str, int] = field(default_factory=dict[str, int])

    def line_of(self, name: str) -> int:
        """Return the line in which the example sends a parameter, or that of the example."""
        return self.sent_lines.get(name, self.sent_line)


def read_page(text: str, notes: Notes) -> Page:
    """Read a page in either layout. Raises NotAPage."""
    if len(text) > MAX_CHARACTERS:
        raise NotAPage(f"it has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    # Browsers put no-break spaces where HTML has them.
    lines = list(enumerate(text.replace("\u00a0", " ").split("\n"), 1))
    slug = _read_slug(lines, notes)
    sent_line, sent, sent_lines = find_example([(n, re.sub(r"^ {0,3}\d+", "", line)) for n, line in lines])
    if not sent_line:
        notes.doubt(1, "examples", "no example was found; the draft has one of made-up values")
    blocks = read_attributes(lines, notes) if has_attributes(lines) else read_blocks(lines, notes)
    if not blocks:
        raise NotAPage("it shows no parameters (a name, then required or optional, then a type)")
    _check_name(max((block.name for block in blocks), key=len), "it shows a parameter")
    if len(blocks) > MAX_PARAMETERS:
        raise NotAPage(f"it shows {len(blocks)} parameters; at most {MAX_PARAMETERS} are read")
    if notes.cut_line:
        notes.cut_name = blocks[-1].name
        notes.doubt(notes.cut_line, notes.cut_name, "the page ends in it; values or sentences may be missing")
    title, tagline_line, tagline = _read_head(lines[: blocks[0].line - 1], slug, notes)
    stripped = [(number, line.strip()) for number, line in lines]
    seconds = _find_first(stripped, r"^~(\d{1,15}(?:\.\d{1,15})?)s$")
    price = _find_first(stripped, r"^(~?\$\d.*)$")
    returns = _read_returns(lines, f"{slug} {title}", notes)
    return Page(
        slug, title, tagline, tagline_line, float(seconds[1]) if seconds else None, price,
        returns, blocks, sent, sent_line, sent_lines,
    )  # fmt: skip


def read_slug(text: str) -> str:
    """Return the slug of the model that a page is about. Raises NotAPage."""
    return _read_slug(list(enumerate(text[:MAX_CHARACTERS].split("\n"), 1)), Notes())


def _read_slug(lines: Lines, notes: Notes) -> str:
    slugs = [(number, match[1]) for number, line in lines for match in ADDRESS.finditer(line)]
    if not slugs:
        raise NotAPage("it shows no address such as /v1/kling-2, so the model has no name")
    slug = Counter(name for _, name in slugs).most_common(1)[0][0]
    _check_name(slug, "its address has a name")
    for number, different in slugs:
        if different != slug:
            notes.doubt(number, "slug", f"this address says {different}, most addresses say {slug}")
    return slug


def _check_name(name: str, subject: str) -> None:
    if len(name) > MAX_NAME:
        raise NotAPage(f"{subject} of {len(name)} characters; at most {MAX_NAME} are read")


def _read_head(lines: Lines, slug: str, notes: Notes) -> tuple[str, int, str]:
    """Return title, line of the tagline, and tagline."""
    filled = [(number, line.strip()) for number, line in lines if line.strip()]
    # Latency, price, address and code come after title and tagline.
    head = list(takewhile(lambda numbered: not re.match(r"~|\$|POST|1?\s*(?:import|#)", numbered[1]), filled))
    title = head[0][1].removesuffix("Serverless API").strip() if head else ""
    if title and len(title) <= 100 and not title.endswith("."):
        head = head[1:]
    else:
        title = slug.replace("-", " ").title()
        notes.doubt(1, "title", f"no title was found; {title} is made from the slug")
    tagline_line, tagline = head[0] if head else (1, "")
    return title, tagline_line, tagline


def _read_returns(lines: Lines, names: str, notes: Notes) -> str:
    answer = _find_first(lines, r"Returns: (\w+)")
    returns = answer[1].lower() if answer else "none"
    if returns in KINDS:
        return returns
    reason = f"the response type {returns} is none of {', '.join(KINDS)}" if answer else "no response type"
    # The oldest layout prints the media type of an answer; image/jpeg stands on pages of video models, too.
    media = _find_first(lines, rf"^ *({'|'.join(KINDS)})/(?!jpeg)[a-z0-9.+-]+ *$")
    kinds = MAKES.search(names)
    drafted = media[1] if media else kinds[1].lower() if kinds else "video"
    notes.doubt(answer[0] if answer else 1, "returns", f"{reason}; drafted as {drafted}")
    return drafted


def _find_first(lines: Lines, pattern: str) -> tuple[int, str] | None:
    return next(((number, match[1]) for number, line in lines if (match := re.search(pattern, line))), None)
