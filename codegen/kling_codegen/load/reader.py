"""Reading of YAML 1.2: nodes with their places, and the values of scalars.

Limits are checked here, so that every version of PyYAML gives the same results.
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

from kling_codegen.messages import Message, format_value, shorten

# A line and a column, from 1.
Place: TypeAlias = tuple[int, int]

# A spec of a real model has some hundred values, in eight levels.
MAX_LEVELS, MAX_VALUES = 32, 10_000
# The widest number of 64 bits has 20 digits, the longest float of Python 24 characters.
MAX_DIGITS = 40


class Unreadable(Exception):
    """The text is not the YAML of a spec: the place, and the message."""

    def __init__(self, place: Place, message: Message) -> None:
        super().__init__(str(message))
        self.place = place
        self.message = message


@dataclass
class Node:
    """One node of YAML; the `children` of a mapping are its keys and values in turn."""

    kind: Literal["scalar", "sequence", "mapping", "alias"]
    place: Place
    text: str = ""
    is_plain: bool = False  # without quotes, and not a block
    anchor: str | None = None
    tag: str | None = None
    children: list[Node] = field(default_factory=list["Node"])

    @property
    def refusal(self) -> str:
        """The reason for which a spec must not contain this node; empty if it may."""
        if self.kind == "alias" or self.anchor is not None:
            return "anchors and aliases are not used in specs; write the value out"
        if self.tag is not None:
            written = self.tag.replace(_YAML_TAG, "!!", 1)
            return f"{f'{shorten(self.text)}: ' if self.text else ''}the tag {shorten(written)} is not used in specs"
        if self.is_plain and len(self.text) > MAX_DIGITS and _LONG_NUMBER.fullmatch(self.text):
            return f"{shorten(self.text)} is a number of {len(self.text)} characters; at most {MAX_DIGITS} are read"
        return ""

    @property
    def type(self) -> str:
        """The type of a scalar in YAML 1.2."""
        patterns = _CORE.items() if self.is_plain else ()
        return next((kind for kind, pattern in patterns if re.fullmatch(pattern, self.text)), "str")

    @property
    def value(self) -> Any:
        """The value of a scalar that is not refused."""
        return _CONSTRUCT[self.type](self.text)

    @property
    def ambiguity(self) -> Message | None:
        """The message for a scalar that YAML 1.1 reads differently."""
        return _find_ambiguity(self.text, self.value) if self.is_plain else None


def compose(text: str) -> Node | None:
    """Return the one document of a text; None if it is empty. Raises Unreadable."""
    if sign := _LINE_ENDS.search(text):
        before = text[: sign.start()].split("\n")
        reason = f"the character U+{ord(sign[0]):04X} ends a line in YAML 1.1, not in YAML 1.2"
        place = len(before), len(before[-1]) + 1
        raise Unreadable(place, Message(reason, "an escape in a text with double quotes"))
    try:
        return _tree(_events(text))
    except ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore").split("\n")
        reason = f"not YAML: the character U+{ord(text[len(''.join(before)) + len(before) - 1]):04X}"
        raise Unreadable((len(before), len(before[-1]) + 1), Message(reason)) from None
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
                raise Unreadable(_place(event), Message("another document starts here", "one spec per file"))
        elif isinstance(event, yaml.CollectionEndEvent):
            path.pop()
        elif isinstance(event, yaml.NodeEvent):
            node = _make_node(event)
            values += 1
            if values > MAX_VALUES:
                reason = f"the file has more than {MAX_VALUES} keys and values"
                raise Unreadable(node.place, Message(reason))
            if path:
                path[-1].children.append(node)
            else:
                root = node
            if node.kind in ("sequence", "mapping"):
                path.append(node)
            if len(path) > MAX_LEVELS:
                reason = f"this is nested too deeply for a spec: more than {MAX_LEVELS} levels"
                raise Unreadable(node.place, Message(reason))
    return root


def _make_node(event: yaml.NodeEvent) -> Node:
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
    """Raise Unreadable if the text before the error of PyYAML exceeds one of our limits.

    Newer versions of PyYAML have limits, too, and reach them earlier because they read ahead.
    """
    with suppress(yaml.YAMLError):
        _tree(_events(text[: error.problem_mark.index]))


def _unreadable(error: Any, text: str) -> Unreadable:
    mark, reason = error.problem_mark, str(error.problem)
    for line in text.split("\n")[mark.line : mark.line + 1]:
        reason = reason.replace(
            "found character that", f"found {line[mark.column : mark.column + 1]!r}, which"
        )
    if error.context:
        reason += f" ({error.context} that starts in line {error.context_mark.line + 1})"
    hint = next((hint for part, hint in _HINTS.items() if part in reason), "")
    return Unreadable((mark.line + 1, mark.column + 1), Message(f"not YAML: {reason}", hint))


_YAML_TAG = "tag:yaml.org,2002:"
_HINTS = {
    r"'\t'": "spaces, not tabs",
    "tab character": "spaces, not tabs",
    "cannot start any token": "put text that starts with this character in quotes",
    "mapping values are not allowed": 'put text with ": " in it in quotes',
    "alphabetic or numeric character": "put text that starts with * or & in quotes",
}
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
# Unquoted scalars that are not text in the core schema of YAML 1.2, section 10.3.2.
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
# Numbers of either version, sexagesimal ones too: parsing a very long one is slow or refused.
_LONG_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|[0-9.][-+0-9eE_:.]*)")
# Scalars that YAML 1.1 may read differently, and those that it certainly does not.
_SUSPECT = re.compile(r"[-+]?[0-9.][-+0-9a-zA-Z_:. ]*|[yYnNoO][a-zA-Z]{1,2}|=|<<")
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _find_ambiguity(text: str, value: Any) -> Message | None:
    if not _SUSPECT.fullmatch(text) or _PLAIN_NUMBER.fullmatch(text):
        return None
    try:
        old = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        reason = f"{shorten(text)} without quotes is text in YAML 1.2, and cannot be read as YAML 1.1"
        return Message(reason, f'"{shorten(text)}"')
    if isinstance(old, date):
        old = "a date"
    elif repr(old) == repr(value):
        return None
    kinds = ["text" if isinstance(reading, str) else format_value(reading) for reading in (value, old)]
    kinds[1] = "a date" if old == "a date" else kinds[1]
    # A number such as 969 for 16:9 is never intended.
    numbers = [kind for kind in kinds if kind not in ("text", "a date") and ":" not in text]
    return Message(
        f"{text} without quotes is {kinds[0]} in YAML 1.2, {kinds[1]} in YAML 1.1",
        ", ".join([f'"{text}"', *numbers]),
    )
