"""The parameters that a sentence of a description can name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kling_codegen.rules.rule import Rule
from kling_codegen.schema import Input

Schema = dict[str, Any]

_QUOTE = "['\"`]?"


@dataclass(frozen=True)
class Parameters:
    """The parameters that a description can name.

    Attributes:
        described: The path of the described parameter.
        schemas: The schemas by path.
        input: The parameters in the language; None if the draft does not load.

    """

    described: str
    schemas: Mapping[str, Schema]
    input: Input | None

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

    def accept(self, rule: Schema) -> bool:
        """Return whether the language can state a rule about these parameters."""
        try:
            stated = Rule.model_validate(rule)
        except ValidationError:
            return False
        return self.input is None or not any(
            stated.reference_errors(self.input.properties, self.input.required)
        )

    def resolve(self, phrase: str) -> str | None:
        """Return the path that a match of `pattern` names."""
        words = re.sub(r"^the | parameter$", "", phrase, flags=re.IGNORECASE).strip("'\"`")
        return self.described if words.lower() in ("it", "this") else self.find(words)


def read_input(inside: Schema) -> Input | None:
    """Return the drafted parameters in the language; None if the draft does not load."""
    try:
        return Input.model_validate(inside)
    except ValidationError:
        return None


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
