"""Parameters from a form. A value that its control cannot have is passed on, so that the adapter explains it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from kling_serve.forms.fields import Schema, find_control, list_types

UPLOAD: Final = "upload:"
"""Start of the value of a control for media that holds the id of an upload."""
FindUpload: TypeAlias = Callable[[str], Path | None]
"""Returns the file of an upload by its id; None if there is none."""

_LONGEST_NAME: Final = 200
_PARTS: Final = re.compile(r"(?:^|(?<=[A-Za-z0-9_\]])\.)([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]{1,9})\]")
_MOST_PARTS: Final = 8


@dataclass
class Parsed:
    """The content of a form.

    Attributes:
        values: The parameters.
        names: The names of controls by the path that the adapter uses, in which the items of a list have no gap.
        touched: The names of the controls that were changed.

    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    names: dict[str, str] = field(default_factory=dict[str, str])
    touched: frozenset[str] = frozenset()


@dataclass
class _Node:
    """A part of a form: its last text, and the parts inside it in the order of the form."""

    name: str
    text: str | None = None
    parts: dict[str | int, _Node] = field(default_factory=dict[str | int, "_Node"])


def parse_form(schema: Schema, items: Iterable[tuple[str, str]], find_upload: FindUpload) -> Parsed:
    """Return the parameters of a form. A parameter that is empty, or has its documented default, is left out."""
    root = _Node("")
    touched: frozenset[str] = frozenset()
    for name, text in items:
        if name == "-touched":
            touched = frozenset(text.split())
        else:
            _add(root, name, text)
    parser = _Parser(find_upload)
    values = parser.read_object(schema, root, "")
    return Parsed(values, parser.names, touched)


def _add(root: _Node, name: str, text: str) -> None:
    path = split_name(name)
    node = root
    for number, part in enumerate(path):
        node = node.parts.setdefault(part, _Node(name if number == len(path) - 1 else ""))
    if path:
        node.text = text.replace("\r\n", "\n")


def split_name(name: str) -> tuple[str | int, ...]:
    """Return the parts of the name of a control, as in `elements[0].frontal_image_url`; none for any other name."""
    if len(name) > _LONGEST_NAME:
        return ()
    matches = list(_PARTS.finditer(name))
    if "".join(match[0] for match in matches) != name or len(matches) > _MOST_PARTS:
        return ()
    return tuple(match[1] or int(match[2]) for match in matches)


class _Parser:
    """Reads the parts of a form, and notes the names of their controls."""

    def __init__(self, find_upload: FindUpload) -> None:
        self.names: dict[str, str] = {}
        self._find_upload = find_upload

    def read_object(self, schema: Schema, node: _Node, place: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for part, inner in node.parts.items():
            declared = schema.get("properties", {}).get(part)
            if declared is None:
                continue  # controls of the page, such as the choice of a gateway
            path = f"{place}.{part}" if place else str(part)
            self.names[path] = inner.name or path
            value = self._read(declared, inner, path)
            is_required = part in schema.get("required", ())
            if value is not None and (is_required or not _is_default(declared, value)):
                values[str(part)] = value
        return values

    def _read(self, schema: Schema, node: _Node, path: str) -> Any:
        if isinstance(items := schema.get("items"), Mapping) and node.parts:
            return self._read_list(cast("Schema", items), node, path)
        if "properties" in schema:
            return self.read_object(schema, node, path) or None
        return None if not node.text else self._read_text(path, schema, node.text)

    def _read_list(self, schema: Schema, node: _Node, path: str) -> list[Any] | None:
        values: list[Any] = []
        for inner in node.parts.values():
            place = f"{path}[{len(values)}]"
            self.names[place] = inner.name or place
            value = self.read_object(schema, inner, place) if "properties" in schema else None
            if "properties" not in schema:
                value = self._read(schema, inner, place)
            if value is not None:
                values.append(value)
        return values or None

    def _read_text(self, path: str, schema: Schema, text: str) -> Any:
        types = list_types(schema)
        if text.startswith(UPLOAD):
            return self._find_upload(text.removeprefix(UPLOAD)) or text
        if "enum" in schema:
            return next((choice for choice in schema["enum"] if show_choice(choice) == text), text)
        if types & {"integer", "number"} and "string" not in types:
            return read_number(text)
        if types == {"boolean"}:
            return {"true": True, "false": False}.get(text, text)
        if find_control(path, schema, text) == "json":
            return _read_json(text)
        return text


def show_choice(choice: Any) -> str:
    """Return a choice as its control has it."""
    return json.dumps(choice) if isinstance(choice, bool) else str(choice)


def read_number(text: str) -> float | int | str:
    """Return a number, or the text if it is not one."""
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text.strip()) else float(text)
    except ValueError:
        return text


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_default(schema: Schema, value: Any) -> bool:
    """Return whether a value is the documented default, which is not sent, or that of a switch without one."""
    if "default" in schema:
        default = schema["default"]
        return type(default) is type(value) and bool(default == value)
    return value is False
