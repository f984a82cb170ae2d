"""Limits and rules in the sentences of the descriptions of a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from kling_codegen.draft import groups
from kling_codegen.draft.blocks import Block
from kling_codegen.draft.conditional import CONDITIONAL, OBLIGATION, STATES, read_conditional
from kling_codegen.draft.nesting import Node
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import Page
from kling_codegen.draft.parameters import Parameters, Schema
from kling_codegen.keywords import bare_kind

SIZE = re.compile(
    r"\b(?:(?P<low>min(?:imum)?(?: of)?|at least)|"
    r"max(?:imum)?(?: of)?|up to|at most|no more than|(?:cannot|must not) exceed)"
    r":? (?P<number>\d{1,15}+)(?![\d.,-]*\d)\s*(?P<unit>[A-Za-z]*)",
    re.IGNORECASE,
)
CHARACTERS = re.compile(r"char(?:acter)?s?", re.IGNORECASE)
BYTES = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
# The units of numbers that do not count the items of a list.
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
# With these, a sentence that names a needed parameter can mean anything.
UNCLEAR = re.compile(r"\b(?:or|one of|not|never|cannot|unless)\b|n't\b", re.IGNORECASE)


# Several times the figures of a real description: longer sentences, and all after the twentieth, become doubts.
MAX_SENTENCES, MAX_CHARACTERS, MAX_FORMS = 20, 500, 20


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a description."""
    return [part for part in re.split(r"(?<=[.!?;])\s+", text) if part]


def read_limits(path: str, block: Block, schema: Schema, notes: Notes) -> Iterator[Schema]:
    """Put sizes into the schema of a parameter; yield the rules for the sizes of files."""
    for sentence in split_sentences(block.text):
        is_drafted = False
        if CONDITIONAL.search(sentence):
            continue  # the limit is not always one; `find_conditions` reads it
        for match in SIZE.finditer(sentence):
            number, unit, low = int(match["number"]), match["unit"], bool(match["low"])
            kind = schema["type"]
            if kind == "array" and not MEASURE.fullmatch(unit):
                schema["minItems" if low else "maxItems"] = number
            elif kind == "string" and "format" not in schema and CHARACTERS.fullmatch(unit):
                schema["minLength" if low else "maxLength"] = number
            elif schema.get("format") and unit.lower() in BYTES and not low:
                yield _max_bytes(path, block, number, unit, notes)
            else:
                continue
            is_drafted = True
        limit = LIMIT.search(sentence)
        if not is_drafted and limit and FIGURE.search(sentence, limit.end()):
            notes.unread_sentence(block.text_line, path, f"a limit that is not in the draft: {sentence}")


def _max_bytes(path: str, block: Block, number: int, unit: str, notes: Notes) -> Schema:
    size = number * BYTES[unit.lower()]
    notes.discrepancy(
        block.text_line,
        path,
        f"at most {number}{unit}, without saying whether it counts by 1000 or by 1024",
        f"{size} bytes, the larger reading, so that no file the gateway takes is refused",
    )
    return {"max_bytes": {"field": path, "bytes": size}}


def find_references(
    page: Page, blocks: list[Block], properties: Mapping[str, Schema], notes: Notes
) -> Iterator[Schema]:
    """Yield the rules for texts that name items of a list, such as @Image1."""
    mentions = [(block, match) for block in blocks for match in TOKEN.finditer(block.text)]
    # The first place of each form.
    forms = {_form(match): (block, match) for block, match in reversed(mentions)}
    for form, (block, match) in islice(forms.items(), MAX_FORMS):
        stem = re.sub(r"\W|_", "", match[1]).lower()
        users = {user.name for user, mention in mentions if _form(mention) == form}
        users |= {
            name for name, sent in page.sent.items()
            if isinstance(sent, str) and form in map(_form, TOKEN.finditer(sent))
        }  # fmt: skip
        kinds = {name: _find_kind(schema) for name, schema in properties.items()}
        lists = [name for name in kinds if kinds[name] == "array" and name in users]
        lists = lists or [name for name in kinds if kinds[name] == "array" and name.startswith(stem)]
        texts = [name for name in kinds if kinds[name] == "string" and name in users]
        texts = texts or [name for name in kinds if re.search(rf"\bin (?:the )?{name}\b", block.text)]
        if len(lists) == 1 and len(texts) == 1 and kinds[texts[0]] == "string":
            notes.doubt(block.text_line, texts[0], f"{form} is taken to name an item of {lists[0]}, from 1")
            yield {"references": {"field": texts[0], "token": form, "list": lists[0]}}
        else:
            doubt = f"{match[0]} does not clearly name an item of one list in one text; no rule is drafted"
            notes.unread_sentence(block.text_line, block.name, doubt)


def _find_kind(schema: Schema) -> str:
    """Return the type without null; array for a text with a list as its other form."""
    return "array" if "or" in schema else bare_kind(schema["type"])


def _form(match: re.Match[str]) -> str:
    return f"{match[1]}{{n}}{match[2]}"


def find_stated_rules(
    node: Node, parameters: Parameters, notes: Notes, sentences: list[str]
) -> Iterator[Schema]:
    """Yield the conditions and sums that the sentences about a parameter state, and those about the ones in it.

    Args:
        node: The parameter.
        parameters: The parameters that its description can name.
        notes: Collects the readings, and doubts about sentences within objects.
        sentences: Collects the sentences of the outermost parameter that are not read.

    """
    block, path = node.block, parameters.described
    for number, sentence in enumerate(split_sentences(block.text)):
        is_short = number < MAX_SENTENCES and len(sentence) <= MAX_CHARACTERS
        rule = read_conditional(sentence, parameters) if is_short and STATES.search(sentence) else None
        if rule:
            notes.doubt(block.text_line, path, f"taken to state {json.dumps(rule, ensure_ascii=False)}")
            yield rule
        elif "." not in path:
            sentences.append(sentence)
        elif CONDITIONAL.search(sentence) and OBLIGATION.search(sentence):
            notes.unread_sentence(block.text_line, path, f"a condition that is not in the draft: {sentence}")
    for part in node.parts:
        inner = replace(parameters, described=f"{path}.{part.block.name}")
        yield from find_stated_rules(part, inner, notes, sentences)


def find_conditions(
    block: Block, sentences: list[str], inside: Schema, page: Page, notes: Notes
) -> Iterator[Schema]:
    """Yield the rules about parameters that a parameter needs or excludes, and note doubts about unclear conditions."""
    needs: list[str] = []
    for number, sentence in enumerate(sentences):
        if number >= MAX_SENTENCES or len(sentence) > MAX_CHARACTERS:
            if CONDITION.search(sentence):
                _note_left_out(block, sentence, notes)
            continue
        stated = list(groups.find_groups(sentence, block.name, list(inside["properties"])))
        if objection := next(
            filter(None, (groups.find_objection(*rule, inside, page) for rule in stated)), ""
        ):
            _note_left_out(block, sentence, notes, objection)
        elif stated:
            for key, group in stated:
                notes.doubt(block.text_line, block.name, f"{groups.READ_AS[key]} {', '.join(group)}")
                yield {key: group}
        elif _is_unclear(sentence):
            _note_left_out(block, sentence, notes)
        elif CONDITION.search(sentence):
            needs.append(sentence)
    yield from _read_requirements(block, needs, inside["properties"], notes)


def _is_unclear(sentence: str) -> bool:
    """Return whether a sentence states a condition or a limit under one, but not clearly which."""
    is_conditional = CONDITIONAL.search(sentence) and not re.search(r"\bonly\b", sentence, re.IGNORECASE)
    if is_conditional and (CONDITION.search(sentence) or OBLIGATION.search(sentence)):
        return True
    return bool(CONDITION.search(sentence) and UNCLEAR.search(sentence))


def _note_left_out(block: Block, sentence: str, notes: Notes, objection: str = "") -> None:
    reason = f", as {objection}" if objection else ""
    text = f"a condition that is not in the draft{reason}: {sentence}"
    notes.unread_sentence(block.text_line, block.name, text)


def _read_requirements(
    block: Block, sentences: list[str], properties: Mapping[str, Schema], notes: Notes
) -> Iterator[Schema]:
    name, line = block.name, block.text_line
    present: list[str] = []
    equals: dict[str, Any] = {}
    for sentence in sentences:
        strict = re.search(r"\bonly\b|\brequires?\b|\bneeds\b", sentence, re.IGNORECASE)
        values = dict(_find_values(sentence, name, properties)) if strict else {}
        for field, (value, written) in values.items():
            if written != value:
                page_says = f"the description of {name} writes {written}, the allowed value is {value}"
                notes.discrepancy(line, field, page_says, str(value))
        equals |= {field: value for field, (value, _) in values.items()}
        needs = re.search(r"\b(?:requires?|needs)\b(.*)", sentence, re.IGNORECASE)
        candidates = [field for field in properties if field not in (name, *equals, *present)]
        needed = [field for field in candidates if needs and re.search(rf"\b{field}\b", needs[1])]
        present += needed
        if not values and not needed:
            _note_left_out(block, sentence, notes)
    if present or equals:
        conditions = [*present, *(f"{field} to be {value}" for field, value in equals.items())]
        notes.doubt(line, name, f"taken to need {' and '.join(conditions)}")
        filled = {key: value for key, value in (("present", present), ("equals", equals)) if value}
        yield {"requires": {"field": name, **filled}}


def _find_values(
    sentence: str, name: str, properties: Mapping[str, Schema]
) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the parameters that a sentence asks a value of, with the value and its form in the sentence."""
    for field, schema in properties.items():
        for value in schema.get("enum", ()) if field != name else ():
            text = str(value)
            # An empty value is in every sentence.
            if not text.strip() or text.casefold() not in sentence.casefold():
                continue
            text = re.escape(text)
            pattern = rf"\b({text})['\"]? {field}\b|\b{field} (?:is|=|set to|to be) ['\"]?({text})\b"
            if match := re.search(pattern, sentence, re.IGNORECASE):
                yield field, (value, match[1] or match[2])
