"""Limits and rules that a page tells in the sentences of its descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from kling_codegen.draft import groups
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import Block, Page

Schema = dict[str, Any]

SIZE = re.compile(
    r"\b(?:(?P<low>min(?:imum)?(?: of)?|at least)|"
    r"max(?:imum)?(?: of)?|up to|at most|no more than|(?:cannot|must not) exceed)"
    r":? (?P<number>\d{1,15}+)(?![\d.,-]*\d)\s*(?P<unit>[A-Za-z]*)",
    re.IGNORECASE,
)
CHARACTERS = re.compile(r"char(?:acter)?s?", re.IGNORECASE)
BYTES = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
# What a number counts, if not the items of a list.
MEASURE = re.compile(
    r"char(?:acter)?s?|[kmg]i?b|px|pixels?|s|secs?|seconds?|minutes?|fps|words?|p", re.IGNORECASE
)
LIMIT = re.compile(
    r"\b(?:max|min|maximum|minimum|at least|at most|up to|no more than|exceed|must be|limit|between)\b",
    re.IGNORECASE,
)
FIGURE = re.compile(r"(?<!\w)\d")
TOKEN = re.compile(r"(@[A-Za-z_]+|<<<[A-Za-z]+_|\([A-Za-z]{3,})\d+(>>>|\)|)")
CONDITION = re.compile(
    r"\b(?:requires?|needs|only (?:\w+ ){0,3}(?:in|with|when|if|for)|(?:cannot|can't|not) be (?:used|combined)|"
    r"together with|not with|incompatible|mutually|either|not both|(?:at least|exactly|only) one of|unless|ignored|"
    r"instead of)\b",
    re.IGNORECASE,
)
# With these, a sentence that names what is needed can mean anything.
UNCLEAR = re.compile(r"\b(?:or|one of|not|never|cannot|unless)\b|n't\b", re.IGNORECASE)


# What a real description has, several times over: a sentence that is longer is for people, as are those after many.
MOST_SENTENCES, MOST_CHARACTERS, MOST_FORMS = 20, 500, 20


def sentences(text: str) -> list[str]:
    """Return the sentences of a description."""
    return [part for part in re.split(r"(?<=[.!?;])\s+", text) if part]


def limits(path: str, block: Block, schema: Schema, notes: Notes) -> Iterator[Schema]:
    """Put sizes into the schema of a parameter; yield the rules for the sizes of files."""
    for sentence in sentences(block.text):
        told = False
        for match in SIZE.finditer(sentence):
            number, unit, low = int(match["number"]), match["unit"], bool(match["low"])
            kind = schema["type"]
            if kind == "array" and not MEASURE.fullmatch(unit):
                schema["minItems" if low else "maxItems"] = number
            elif kind == "string" and "format" not in schema and CHARACTERS.fullmatch(unit):
                schema["minLength" if low else "maxLength"] = number
            elif schema.get("format") and unit.lower() in BYTES and not low and "." not in path:
                yield _max_bytes(path, block, number, unit, notes)
            else:
                continue
            told = True
        limit = LIMIT.search(sentence)
        if not told and limit and FIGURE.search(sentence, limit.end()):
            notes.doubt(block.text_line, path, f"a limit that is not in the draft: {sentence}")


def _max_bytes(path: str, block: Block, number: int, unit: str, notes: Notes) -> Schema:
    size = number * BYTES[unit.lower()]
    notes.discrepancy(
        block.text_line,
        path,
        f"at most {number}{unit}, without saying whether it counts by 1000 or by 1024",
        f"{size} bytes, the larger reading, so that no file the gateway takes is refused",
    )
    return {"max_bytes": {"field": path, "bytes": size}}


def references(
    page: Page, blocks: list[Block], properties: Mapping[str, Schema], notes: Notes
) -> Iterator[Schema]:
    """Yield the rules for texts that name items of a list, such as @Image1."""
    found = [(block, match) for block in blocks for match in TOKEN.finditer(block.text)]
    # The first place of each form.
    forms = {_form(match): (block, match) for block, match in reversed(found)}
    for form, (block, match) in islice(forms.items(), MOST_FORMS):
        stem = re.sub(r"\W|_", "", match[1]).lower()
        users = {other.name for other, again in found if _form(again) == form}
        users |= {
            name for name, sent in page.sent.items()
            if isinstance(sent, str) and form in map(_form, TOKEN.finditer(sent))
        }  # fmt: skip
        kinds = {name: schema["type"] for name, schema in properties.items()}
        lists = [name for name in kinds if kinds[name] == "array" and name in users]
        lists = lists or [name for name in kinds if kinds[name] == "array" and name.startswith(stem)]
        texts = [name for name in kinds if kinds[name] == "string" and name in users]
        texts = texts or [name for name in kinds if re.search(rf"\bin (?:the )?{name}\b", block.text)]
        if len(lists) == 1 and len(texts) == 1 and kinds[texts[0]] == "string":
            notes.doubt(block.text_line, texts[0], f"{form} is taken to name an item of {lists[0]}, from 1")
            yield {"references": {"field": texts[0], "token": form, "list": lists[0]}}
        else:
            told = f"{match[0]} names something, but not clearly an item of one list in one text"
            notes.doubt(block.text_line, block.name, f"{told}; no rule is drafted")


def _form(match: re.Match[str]) -> str:
    return f"{match[1]}{{n}}{match[2]}"


def conditions(block: Block, inside: Schema, page: Page, notes: Notes) -> Iterator[Schema]:
    """Yield the rules for what a parameter needs others to be, or not to be; other conditions are doubts."""
    needs: list[str] = []
    for number, sentence in enumerate(sentences(block.text)):
        if number >= MOST_SENTENCES or len(sentence) > MOST_CHARACTERS:
            if CONDITION.search(sentence):
                _left_out(block, sentence, notes)
            continue
        stated = list(groups.stated(sentence, block.name, list(inside["properties"])))
        if why := next(filter(None, (groups.against(*rule, inside, page) for rule in stated)), ""):
            _left_out(block, sentence, notes, why)
        elif stated:
            for key, group in stated:
                notes.doubt(block.text_line, block.name, f"{groups.TAKEN[key]} {', '.join(group)}")
                yield {key: group}
        elif CONDITION.search(sentence) and UNCLEAR.search(sentence):
            _left_out(block, sentence, notes)
        elif CONDITION.search(sentence):
            needs.append(sentence)
    yield from _requires(block, needs, inside["properties"], notes)


def _left_out(block: Block, sentence: str, notes: Notes, why: str = "") -> None:
    reason = f", as {why}" if why else ""
    notes.doubt(block.text_line, block.name, f"a condition that is not in the draft{reason}: {sentence}")


def _requires(
    block: Block, told: list[str], properties: Mapping[str, Schema], notes: Notes
) -> Iterator[Schema]:
    name, line = block.name, block.text_line
    present: list[str] = []
    equals: dict[str, Any] = {}
    for sentence in told:
        strict = re.search(r"\bonly\b|\brequires?\b|\bneeds\b", sentence, re.IGNORECASE)
        values = dict(_equals(sentence, name, properties)) if strict else {}
        for other, (value, written) in values.items():
            if written != value:
                page_says = f"the description of {name} writes {written}, the allowed value is {value}"
                notes.discrepancy(line, other, page_says, str(value))
        equals |= {other: value for other, (value, _) in values.items()}
        needs = re.search(r"\b(?:requires?|needs)\b(.*)", sentence, re.IGNORECASE)
        others = [other for other in properties if other not in (name, *equals, *present)]
        needed = [other for other in others if needs and re.search(rf"\b{other}\b", needs[1])]
        present += needed
        if not values and not needed:
            _left_out(block, sentence, notes)
    if present or equals:
        wanted = [*present, *(f"{other} to be {value}" for other, value in equals.items())]
        notes.doubt(line, name, f"taken to need {' and '.join(wanted)}")
        filled = {key: value for key, value in (("present", present), ("equals", equals)) if value}
        yield {"requires": {"field": name, **filled}}


def _equals(
    sentence: str, name: str, properties: Mapping[str, Schema]
) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield other parameters with the value that a sentence asks for, and how it writes that value."""
    for other, schema in properties.items():
        for value in schema.get("enum", ()) if other != name else ():
            if str(value).casefold() not in sentence.casefold():
                continue
            text = re.escape(str(value))
            pattern = rf"\b({text})['\"]? {other}\b|\b{other} (?:is|=|set to|to be) ['\"]?({text})\b"
            if match := re.search(pattern, sentence, re.IGNORECASE):
                yield other, (value, match[1] or match[2])
