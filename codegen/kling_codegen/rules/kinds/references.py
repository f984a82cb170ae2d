"""The rule `references`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kling_codegen.closed import Closed, Text
from kling_codegen.keywords import UNKNOWN
from kling_codegen.messages import LocatedMessage, Location, Message, format_value, shorten
from kling_codegen.rules.condition import Condition, Part
from kling_codegen.schema import Schema


class References(Condition, Closed):
    """Each `token` with a number in the text `field` must name an item of `list`, counted from 1."""

    example: ClassVar = '{field: prompt, token: "@Image{n}", list: image_urls}'
    meaning: ClassVar = "a text that names items of a list by their number"

    field: Annotated[Text, Field(description="The text that names items.")]
    token: Annotated[
        str, Field(description="The form of a name, such as @Image{n}; {n} is the number, from 1.")
    ]
    list: Annotated[Text, Field(description="The list that has the items.")]

    def problems(self) -> Iterator[LocatedMessage]:
        if self.token.count("{n}") != 1 or self.token == "{n}":  # noqa: S105  no password
            yield ("token",), Message(f"{format_value(self.token)} must have {{n}} once, and more around it")
        elif re.search(r"[0-9]\{n\}|\{n\}[0-9]", self.token):
            text = f"{format_value(self.token)} has a digit beside {{n}}, which would be read as part of the number"
            yield ("token",), Message(text)

    def parameters(self) -> Iterator[tuple[Location, str]]:
        yield ("field",), self.field
        yield ("list",), self.list

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        for (at, name), kind in zip(self.parameters(), ("string", "array"), strict=True):
            if name not in properties:
                continue
            kinds = {properties[name].kind, properties[name].list_form.kind}
            if not kinds & {kind, UNKNOWN}:
                yield at, Message(f"{name} must be of type {kind}, not {properties[name].kind}")

    def violations(self, set_values: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        # Each run of digits is read once: from its first digit, and without backtracking.
        pattern = re.escape(self.token).replace(re.escape("{n}"), "(?<![0-9])([0-9]++)")
        text, items = values.get(self.field), values.get(self.list)
        if isinstance(text, list) or isinstance(items, str):
            # The other form of a parameter names or counts nothing.
            return
        count = len(items or ())
        for match in re.finditer(pattern, text or ""):
            # Not int, which refuses thousands of digits.
            if not 1 <= float(match[1]) <= count:
                yield Message(f"{self.field} names {shorten(match[0])}, but {self.list} has {count} items")

    def text(self) -> str:
        first, second = (self.token.replace("{n}", digit) for digit in "12")
        return f"{first} in {self.field} names the first item of {self.list}, {second} the second, and so on."

    def arguments(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        return (self.field,), {"token": self.token, "list": self.list}

    def parts(self) -> Iterator[Part]:
        value = {"references": {"token": self.token, "list": self.list}}
        yield Part((self.field,), f"references {self.token} {self.list}", value)

    def can_refuse_default(self, name: str, default: Any) -> bool:
        return name in (self.field, self.list)
