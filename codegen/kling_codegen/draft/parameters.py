"""The parameters that a sentence of a description can name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kling_codegen.keywords import bare_kind

Schema = dict[str, Any]

_QUOTE = "['\"`]?"


@dataclass(frozen=True)
class Parameters:
    """The parameters that a description can name.

    Attributes:
        described: The path of the described parameter.
        schemas: The schemas by path.

    """

    described: str
    schemas: Mapping[str, Schema]

    def find(self, name: str) -> str | None:
        """Return the path of a name: of a neighbour in the same object first, then of a parameter of the model."""
        holder = self.described.rpartition(".")[0]
        paths = (f"{holder}.{name}" if holder else name, name)
        return next((path for path in paths if path in self.schemas), None)

    @property
    def pattern(self) -> str:
        """A pattern of the names, and of the words for the described parameter."""
        names = {*self.schemas, *(path.rpartition(".")[2] for path in self.schemas)}
        words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        return rf"(?:the )?{_QUOTE}(?-i:{words})(?![\w.]\w){_QUOTE}(?: parameter)?|this parameter|it"

    def list_path(self, path: str) -> str:
        """Return the path of the innermost list around a parameter; empty if there is none."""
        steps = path.split(".")
        starts = [".".join(steps[:end]) for end in range(len(steps) - 1, 0, -1)]
        return next((start for start in starts if "items" in self.schemas[start]), "")

    def find_kind(self, path: str) -> str:
        """Return the type of a parameter without null."""
        return bare_kind(self.schemas[path]["type"])

    def resolve(self, phrase: str) -> str | None:
        """Return the path that a match of `pattern` names."""
        words = re.sub(r"^the | parameter$", "", phrase, flags=re.IGNORECASE).strip("'\"`")
        return self.described if words.lower() in ("it", "this") else self.find(words)


def collect_schemas(properties: Mapping[str, Schema], before: str = "") -> dict[str, Schema]:
    """Return the schema of every parameter by its path."""
    schemas: dict[str, Schema] = {}
    for name, schema in properties.items():
        schemas[f"{before}{name}"] = schema
        inner: Schema = schema
        while "items" in inner:
            inner = inner["items"]
        schemas |= collect_schemas(inner.get("properties", {}), f"{before}{name}.")
    return schemas
