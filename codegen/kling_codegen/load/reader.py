"""YAML text -> nodes with their places, and the plain values of scalars.

It reads YAML 1.2. Limits are ours and checked here, so that every version of PyYAML gives the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeAlias, cast

import yaml
from yaml.reader import ReaderError

from kling_codegen.messages import Message, cut, shown

# A line and a column, from 1.
Place: TypeAlias = tuple[int, int]

# A spec of a real model has some hundred values, in eight levels.
MOST_LEVELS, MOST_VALUES = 32, 10_000
# The widest number of 64 bits has 20 digits, the longest float of Python 24 characters.
MOST_DIGITS = 40


class Unreadable(Exception):
    """The text is not YAML that a spec may be written in: where, and why."""

    def __init__(self, place: Place, message: Message) -> None:
        super().__init__(str(message))
        self.place = place
        self.message = message


@dataclass
class Node:
    """One value as it is written: `children` of a mapping are its keys and values in turn."""

    kind: Literal["scalar", "sequence", "mapping", "alias"]
    place: Place
    text: str = ""
    is_plain: bool = False  # without quotes, and not a block
    anchor: str | None = None
    tag: str | None = None
    children: list[Node] = field(default_factory=list["Node"])

    @property
    def refusal(self) -> str:
        """Why a spec may not have this node; empty if it may."""
        if self.kind == "alias" or self.anchor is not None:
            return "anchors and aliases are not used in specs; write the value out"
        if self.tag is not None:
            written = self.tag.replace(_YAML_TAG, "!!", 1)
            return f"{f'{cut(self.text)}: ' if self.text else ''}the tag {cut(written)} is not used in specs"
        if self.is_plain and len(self.text) > MOST_DIGITS and _LONG_NUMBER.fullmatch(self.text):
            return (
                f"{cut(self.text)} is a number of {len(self.text)} characters; at most {MOST_DIGITS} are read"
            )
        return ""

    @property
    def type(self) -> str:
        """The type of a scalar in YAML 1.2."""
        known = _CORE.items() if self.is_plain else ()
        return next((kind for kind, pattern in known if re.fullmatch(pattern, self.text)), "str")

    @property
    def value(self) -> Any:
        """The value of a scalar that is not refused."""
        return _CONSTRUCT[self.type](self.text)

    @property
    def ambiguity(self) -> Message | None:
        """Say so if a reader of YAML 1.1 takes this scalar for something else."""
        return _ambiguity(self.text, self.value) if self.is_plain else None


def compose(text: str) -> Node | None:
    """Return the one document of a text; None if it is empty. Raises Unreadable."""
    if sign := _LINE_ENDS.search(text):
        before = text[: sign.start()].split("\n")
        what = f"the character U+{ord(sign[0]):04X} ends a line in YAML 1.1, not in YAML 1.2"
        place = len(before), len(before[-1]) + 1
        raise Unreadable(place, Message(what, "an escape in a text with double quotes"))
    try:
        return _tree(_events(text))
    except ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore").split("\n")
        what = f"not YAML: the character U+{ord(text[len(''.join(before)) + len(before) - 1]):04X}"
        raise Unreadable((len(before), len(before[-1]) + 1), Message(what)) from None
    except yaml.MarkedYAMLError as error:
        _refuse_before(text, error)
        raise _unreadable(error, text) from None


def _events(text: str) -> Iterable[yaml.Event]:
    # Releases of the stubs disagree about its types.
    events: Iterable[yaml.Event] = cast("Any", yaml).parse(text, Loader=yaml.CSafeLoader)
    return events


def _tree(events: Iterable[yaml.Event]) -> Node | None:
    root: Node | None = None
    path: list[Node] = []
    documents = values = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise Unreadable(_place(event), Message("another document starts here", "one spec a file"))
        elif isinstance(event, yaml.CollectionEndEvent):
            path.pop()
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event)
            values += 1
            if values > MOST_VALUES:
                what = f"the file has more than {MOST_VALUES} keys and values"
                raise Unreadable(node.place, Message(what))
            if path:
                path[-1].children.append(node)
            else:
                root = node
            if node.kind in ("sequence", "mapping"):
                path.append(node)
            if len(path) > MOST_LEVELS:
                what = f"this is nested too deeply for a spec: more than {MOST_LEVELS} levels"
                raise Unreadable(node.place, Message(what))
    return root


def _node(event: yaml.NodeEvent) -> Node:
    place = _place(event)
    anchor: str | None = event.anchor
    match event:
        case yaml.AliasEvent():
            return Node("alias", place)
        case yaml.ScalarEvent(value=text, tag=tag, style=style):
            return Node("scalar", place, str(text), not style, anchor, tag)
        case yaml.MappingStartEvent(tag=tag):
            return Node("mapping", place, anchor=anchor, tag=tag)
        case _:
            return Node("sequence", place, anchor=anchor, tag=getattr(event, "tag", None))


def _place(event: yaml.Event) -> Place:
    mark: Any = event.start_mark
    return mark.line + 1, mark.column + 1


def _refuse_before(text: str, error: Any) -> None:
    """Raise Unreadable if a limit of ours is broken by what stands before the place that the library objects to.

    Newer versions have a limit of their own, and meet it while they look ahead.
    """
    with suppress(yaml.YAMLError):
        _tree(_events(text[: error.problem_mark.index]))


def _unreadable(error: Any, text: str) -> Unreadable:
    mark, what = error.problem_mark, str(error.problem)
    for line in text.split("\n")[mark.line : mark.line + 1]:
        what = what.replace("found character that", f"found {line[mark.column : mark.column + 1]!r}, which")
    if error.context:
        what += f" ({error.context} that starts in line {error.context_mark.line + 1})"
    hint = next((hint for part, hint in _HINTS.items() if part in what), "")
    return Unreadable((mark.line + 1, mark.column + 1), Message(f"not YAML: {what}", hint))


_YAML_TAG = "tag:yaml.org,2002:"
_HINTS = {
    r"'\t'": "spaces, not tabs",
    "tab character": "spaces, not tabs",
    "cannot start any token": "text that starts with a sign stands in quotes",
    "mapping values are not allowed": 'text with ": " in it stands in quotes',
    "alphabetic or numeric character": "text that starts with * or & stands in quotes",
}
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
# What the core schema of YAML 1.2, section 10.3.2, does not take for text if it is without quotes.
_CORE = {
    "null": "null|Null|NULL|~|",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_CONSTRUCT: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0 if text[1:2] in {"o", "x"} else 10),
    "float": lambda text: float(re.sub(r"\.(?=[a-zA-Z])", "", text)),
}
# Numbers of either version, sexagesimal ones too; a long one takes its readers long or stops them.
_LONG_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|[0-9.][-+0-9eE_:.]*)")
# What may be read differently by a reader of YAML 1.1, and what certainly is not.
_SUSPECT = re.compile(r"[-+]?[0-9.][-+0-9a-zA-Z_:. ]*|[yYnNoO][a-zA-Z]{1,2}|=|<<")
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _ambiguity(text: str, value: Any) -> Message | None:
    if not _SUSPECT.fullmatch(text) or _PLAIN_NUMBER.fullmatch(text):
        return None
    try:
        old = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        what = f"{cut(text)} without quotes is text in YAML 1.2, and cannot be read as YAML 1.1"
        return Message(what, f'"{cut(text)}"')
    if isinstance(old, date):
        old = "a date"
    elif repr(old) == repr(value):
        return None
    kinds = ["text" if isinstance(each, str) else shown(each) for each in (value, old)]
    kinds[1] = "a date" if old == "a date" else kinds[1]
    # Nobody means 969 by 16:9.
    numbers = [kind for kind in kinds if kind not in ("text", "a date") and ":" not in text]
    return Message(
        f"{text} without quotes is {kinds[0]} in YAML 1.2, {kinds[1]} in YAML 1.1",
        ", ".join([f'"{text}"', *numbers]),
    )
