"""A YAML file as plain values with their places, validated as a part of the spec language."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from kling_codegen.closed import Closed, ClosedT
from kling_codegen.load.explain import explain_errors
from kling_codegen.load.reader import Node, Place, Unreadable, compose
from kling_codegen.messages import LocatedMessage, Location, Message, format_location
from kling_codegen.report import Problem
from kling_codegen.schema import Schema


class Document:
    """A YAML file as plain values, and the place of each value.

    It reads YAML 1.2, and reports values that readers of YAML 1.1 read differently. It is the ProblemCollector of its
    validation.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[LocatedMessage] = []
        self.value: Any = None
        self._keys: dict[Location, Place] = {}
        self._values: dict[Location, Place] = {(): (1, 1)}
        self._reported: set[LocatedMessage] = set()
        # Locations with a problem that hides all problems below them.
        self._refused_locations: set[Location] = set()
        # Values that YAML 1.1 reads differently, and those whose own problem mentions it.
        self._ambiguous: dict[Location, Message] = {}
        self._merged_locations: set[Location] = set()
        # The location of each mapping, by identity: a validator gets its value, but not its location.
        self._mappings: dict[int, Location] = {}
        try:
            root = compose(text)
        except Unreadable as error:
            self._values[()] = error.place
            self.problems.append(((), error.message))
        else:
            if root is None:
                self.problems.append(((), Message("the file is empty")))
            else:
                self.value = self._plain_value(root, ())

    def keys(self) -> Mapping[str, Any]:
        """Return the document if it is a mapping, else an empty mapping."""
        value: Any = self.value
        return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}

    def place(self, at: Location, *, key: bool = False) -> Place:
        """Return the line and column of a value, or of its key."""
        return self._keys[at] if key and at in self._keys else self._values[at]

    def locate(self, path: Path, at: Location, message: Message) -> Problem:
        """Return a message as a problem of this document, which is the file `path`."""
        line, column = self.place(at, key=message.about_key)
        where = format_location(at).split("\n")[0]
        return Problem(str(path), line, column, message.text, where, message.allowed, message.suggestion)

    def validate(self, model: type[ClosedT]) -> ClosedT | None:
        """Return the document as a model, or add all its problems to `problems` and return None."""
        value: ClosedT | None = None
        if self.value is not None:
            try:
                value = model.model_validate(self.value)
            except ValidationError as error:
                if self.keys():
                    with contextlib.suppress(ValidationError):
                        model.model_validate(self.value, context=self)
                else:
                    self.note(self.value, explain_errors(model, {}, error))
                if not self.problems and not self._ambiguous:  # pragma: no cover
                    raise  # a check of the language raised the wrong error: the model must not just vanish
        self.problems += (
            (at, message) for at, message in self._ambiguous.items() if at not in self._merged_locations
        )
        return None if self.problems else value

    def note(self, data: Any, problems: Iterable[LocatedMessage]) -> None:
        """Add problems at locations within `data`; see ProblemCollector."""
        start = self._mappings.get(id(data), ())
        for below, message in problems:
            at = (*start, *below)
            if (ambiguity := self._ambiguous.get(at)) and not message.about_key:
                message = replace(message, text=f"{message.text} ({ambiguity.text})")  # noqa: PLW2901
                self._merged_locations.add(at)
            # Parts of an invalid document are validated twice.
            is_new = (at, message) not in self._reported
            if is_new and not self._refused_locations & {at[:end] for end in range(len(at) + 1)}:
                self._reported.add((at, message))
                self.problems.append((at, message))

    def salvage(self, model: type[ClosedT], data: Any, error: ValidationError) -> ClosedT:
        """Return a model of the valid parts of `data`; see ProblemCollector."""
        if not isinstance(data, dict):
            raise error
        mapping = cast("dict[str, Any]", data)
        self.note(data, explain_errors(model, mapping, error))
        bad = {details["loc"][:2] for details in error.errors(include_url=False)}
        values: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            key = field.alias or name
            if key not in mapping:
                continue
            if key == "properties" and isinstance(mapping[key], dict) and mapping[key]:
                # An invalid property must not hide the problems of others.
                values[name] = {
                    part_name: Schema.model_construct()
                    if (key, part_name) in bad
                    else self._validate_again(Schema, part)
                    for part_name, part in mapping[key].items()
                }
            elif key == "items" and ("items",) in bad:
                values[name] = Schema.model_construct()
            elif key not in {at[0] for at in bad if at}:
                values[name] = self._validate_again(_annotation(model, name), mapping[key])
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        if (required if model.essential is None else model.essential) - values.keys():
            raise PydanticCustomError("noted", "noted")
        return model.model_construct(**values)

    def _validate_again(self, annotation: Any, value: Any) -> Any:
        return _adapter(annotation).validate_python(value, strict=True, context=self)

    def _plain_value(self, node: Node, at: Location) -> Any:
        self._values[at] = node.place
        if node.refusal:
            self._refuse(at, node.refusal)
            if node.kind in ("scalar", "alias"):
                return None
        if node.kind == "scalar":
            return self._scalar(node, at)
        if node.kind == "sequence":
            return [self._plain_value(item, (*at, index)) for index, item in enumerate(node.children)]
        value = dict(self._members(node, at))
        self._mappings[id(value)] = at
        return value

    def _members(self, node: Node, at: Location) -> Iterator[tuple[str, Any]]:
        for key, value in zip(node.children[::2], node.children[1::2], strict=True):
            name = key.text if key.kind == "scalar" else "(a list or a mapping)"
            location = (*at, name)
            is_duplicate = location in self._keys
            if is_duplicate:
                # The place of the second, under a name no file can have.
                location = (*at, f"{name}\n{len(self._keys)}")
            self._keys[location] = key.place
            if is_duplicate:
                line = self._keys[*at, name][0]
                self._refuse(location, f"duplicate key {name}; the first is in line {line}", about_key=True)
            elif key.refusal:
                self._refuse(location, key.refusal, about_key=True)
            elif key.kind != "scalar" or key.type != "str":
                self._refuse(location, f"the key {name} is not text; put it in quotes", about_key=True)
            elif ambiguity := key.ambiguity:
                text = f"the key {ambiguity.text}"
                self.problems.append((location, replace(ambiguity, text=text, about_key=True)))
            plain = self._plain_value(value, location)
            if not is_duplicate:
                yield name, plain

    def _scalar(self, node: Node, at: Location) -> Any:
        if not _is_day(at) and (ambiguity := node.ambiguity):
            self._ambiguous[at] = ambiguity
        return node.value

    def _refuse(self, at: Location, text: str, *, about_key: bool = False) -> None:
        self.problems.append((at, Message(text, about_key=about_key)))
        self._refused_locations.add(at)


@cache
def _annotation(model: type[Closed], name: str) -> Any:
    return model.model_fields[name].rebuild_annotation()


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _is_day(at: Location) -> bool:
    """Return whether a day belongs here, which no reader of either version takes for another one."""
    return at in (("source", "read"), ("retired", "since")) or (
        at[:1] == ("input",) and at[-2:] == ("deprecated", "since")
    )
