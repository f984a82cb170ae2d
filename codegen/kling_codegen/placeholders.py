"""Placeholders in a spec, for facts that are not written yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from kling_codegen.language import Spec
from kling_codegen.messages import LocatedMessage, Location, Message

_PLACEHOLDER = re.compile(
    r"\b(TODO|FIXME|TBD|XXX)\b|\?\?\?|(?i:lorem ipsum)|^\.\.\.$|^…$|(?<!<)<[A-Za-z][\w -]*>(?!>)"
)


def find_placeholders(spec: Spec) -> Iterator[LocatedMessage]:
    """Yield each placeholder with its location."""
    for at, text in _iter_texts(spec.model_dump(mode="json", exclude_unset=True, by_alias=True), ()):
        if match := _PLACEHOLDER.search(text):
            yield at, Message(f"{match[0]} stands for something that is not written yet")


def _iter_texts(value: Any, at: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for name, member in cast("Mapping[str, Any]", value).items():
            yield from _iter_texts(member, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _iter_texts(item, (*at, index))
