"""The parameters of a page as a tree. Pages mark at most the start of a list of objects.

A level has its required parameters first, then the optional ones, both from A to Z. This order, and the parameters at
the top of the example, leave few readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TypeAlias

from kling_codegen.draft import example
from kling_codegen.draft.blocks import Block
from kling_codegen.draft.evidence import Evidence
from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import Page

# An unordered page has too many readings to try them all.
MAX_READINGS, MAX_BLOCKS = 2000, 100


@dataclass(frozen=True)
class Node:
    """A parameter, and the parameters of its items."""

    block: Block
    parts: tuple[Node, ...] = ()


Level: TypeAlias = tuple[Node, ...]


def nest(page: Page, notes: Notes, evidence: Evidence) -> Level:
    """Return the parameters as a tree; note its reasons as a discrepancy and a doubt."""
    blocks = page.blocks
    if not any(_is_object(block) for block in blocks):
        return tuple(Node(block) for block in blocks)
    candidates = islice(_levels(blocks, 0), MAX_READINGS) if len(blocks) < MAX_BLOCKS else ()
    in_order = [level for level, end in candidates if end == len(blocks)]
    readings = [level for level in in_order if not _repeats_name(level)] or in_order
    if not readings:
        return _nest_by_names(page, notes, evidence)
    best = min(
        readings, key=lambda level: (-len(evidence.keys() & set(_paths(level))), _rank_reading(level, page))
    )
    likely = [
        level for level in readings if _rank_reading(level, page)[:-1] == _rank_reading(best, page)[:-1]
    ]
    if _count_missing(best, page):
        silent = Notes()
        if not _count_missing(_nest_by_names(page, silent, evidence), page):
            return _nest_by_names(page, notes, evidence)
    for node in best:
        _explain(node, readings, likely, notes)
    return best


def _count_missing(level: Level, page: Page) -> int:
    """Return how many parameters the example sends in a list, and the reading has elsewhere."""
    names = {block.name for block in page.blocks}
    members = [_find_members(node.block, page, {}) for node in level if _is_object(node.block)]
    parts = [{part.block.name for part in node.parts} for node in level if _is_object(node.block)]
    return sum(len(sent & names - inside) for sent, inside in zip(members, parts, strict=True))


def _nest_by_names(page: Page, notes: Notes, evidence: Evidence) -> Level:
    """Return the tree of parameters in no order: the example, or the existing spec, names those of a list."""
    level: list[Node] = []
    blocks = page.blocks
    while blocks:
        block, *blocks = blocks
        names = _find_members(block, page, evidence) if _is_object(block) else set[str]()
        barred = page.sent.keys() - names | {part.name for part in blocks if _is_object(part)}
        run = _take_until(blocks, barred)
        # The last one that belongs to the list, and all before it.
        size = max((index for index, part in enumerate(run, 1) if part.name in names), default=0)
        level.append(Node(block, tuple(Node(part) for part in blocks[:size])))
        blocks = blocks[size:]
        if size:
            listed = ", ".join(part.block.name for part in level[-1].parts)
            page_says = (
                "the table is not in the order from A to Z, which shows where the parameters of an item end"
            )
            verb = "belong" if size > 1 else "belongs"
            notes.discrepancy(block.line, block.name, page_says, f"{listed} {verb} to it, by the example")
    if not all(node.parts for node in level if _is_object(node.block)):
        doubt = "the order from A to Z does not show which parameters belong to a list; drafted as parameters of the model"
        notes.doubt(page.blocks[0].line, "input", doubt)
    return tuple(level)


def _take_until(blocks: list[Block], barred: AbstractSet[str]) -> list[Block]:
    return list(takewhile(lambda block: block.name not in barred, blocks))


def _find_members(block: Block, page: Page, evidence: Evidence) -> set[str]:
    """Return the names of parameters of an item, by the example and the existing spec."""
    items = example.list_items(page.sent.get(block.name))
    names = {name for item in items if example.is_object(item) for name in item}
    prefix = f"{block.name}."
    return names | {path.removeprefix(prefix) for path in evidence if path.startswith(prefix)}


def _is_object(block: Block) -> bool:
    return block.type.startswith("object")


def _rank(block: Block) -> tuple[bool, str]:
    return not block.required, block.name


def _levels(
    blocks: list[Block], start: int, after: tuple[bool, str] = (False, "")
) -> Iterator[tuple[Level, int]]:
    """Yield the runs in order that start at `start`, each with its end; the longest first."""
    if start < len(blocks) and _rank(blocks[start]) > after:
        block = blocks[start]
        insides = (
            _levels(blocks, start + 1)
            if _is_object(block) and (block.opens or not block.marked)
            else [((), start + 1)]
        )
        for parts, end in insides:
            if block.opens and not parts:
                continue
            for following, last in _levels(blocks, end, _rank(block)):
                yield (Node(block, parts), *following), last
    yield (), start


def _rank_reading(level: Level, page: Page) -> tuple[int, int, int, int]:
    """Rank a reading, the likeliest lowest: by the example, by descriptions, then by the least nesting."""
    top = {node.block.name for node in level}
    inside = [node for node in level if node.parts]
    misplaced = len((page.sent.keys() & {block.name for block in page.blocks}) - top)
    mentioned = sum(_mentions(node, part) for node in inside for part in node.parts)
    empty = sum(_is_object(node.block) and not node.parts for node in level)
    return misplaced, empty, -mentioned, sum(len(node.parts) for node in inside)


def _repeats_name(level: Level) -> bool:
    """Return whether an object has two parameters of one name."""
    names = {node.block.name for node in level}
    return len(names) < len(level) or any(_repeats_name(node.parts) for node in level)


def _paths(level: Level, prefix: str = "") -> Iterator[str]:
    for node in level:
        yield f"{prefix}{node.block.name}"
        yield from _paths(node.parts, f"{prefix}{node.block.name}.")


def _mentions(node: Node, part: Node) -> bool:
    return bool(re.search(rf"\b{re.escape(part.block.name)}\b", node.block.text))


def _explain(node: Node, readings: list[Level], likely: list[Level], notes: Notes) -> None:
    """Note the parameters of a list and the alternatives; `likely` are the readings that fit the rest of the page."""
    if not node.parts:
        return
    block, names = node.block, [part.block.name for part in node.parts]
    alternatives = sorted(_sizes(block, likely) - {len(names)})
    reasons = ["the order from A to Z"]
    if _sizes(block, readings) - _sizes(block, likely):
        reasons.append("the other parameters of the example")
    if any(_mentions(node, part) for part in node.parts):
        reasons.append("its description")
    if alternatives:
        reasons.append("as the fewest that fit")
    verb = "belong" if len(names) > 1 else "belongs"
    page_says = "the table does not mark where the parameters of an item end"
    notes.discrepancy(
        block.line, block.name, page_says, f"{', '.join(names)} {verb} to it, by {', '.join(reasons)}"
    )
    if alternatives:
        counts = " or ".join(map(str, alternatives))
        notes.doubt(block.line, block.name, f"{counts} parameters could belong to it, not {len(names)}")
    for part in node.parts:
        _explain(part, [], [], notes)


def _sizes(block: Block, readings: list[Level]) -> set[int]:
    return {len(node.parts) for level in readings for node in level if node.block is block}
