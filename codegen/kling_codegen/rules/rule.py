"""An entry of `rules` in a spec: one condition under the key of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import MISSING, ConfigDict, Field, create_model

from kling_codegen.closed import Closed
from kling_codegen.messages import LocatedMessage, Message, find_closest
from kling_codegen.rules import kinds
from kling_codegen.rules.condition import Condition
from kling_codegen.rules.paths import find_target, list_paths, with_defaults
from kling_codegen.schema import Schema


def _import_kind(key: str) -> type[Condition]:
    name = "".join(word.capitalize() for word in key.split("_"))
    kind: type[Condition] = getattr(import_module(f"{kinds.__name__}.{key}"), name)
    return kind


KINDS: Final = {
    key: _import_kind(key) for key in sorted(module.name for module in iter_modules(kinds.__path__))
}
"""The kinds of rules by their keys: every module of kling_codegen.rules.kinds is one."""

RULE_CLASSES: Final = frozenset(kind.__name__ for kind in KINDS.values())
"""The names of the runtime classes."""


class _Rule(Closed):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    def problems(self) -> Iterator[LocatedMessage]:
        if len(self.model_fields_set) != 1:
            yield (), Message("a rule has exactly one key", ", ".join(type(self).model_fields))

    @property
    def condition(self) -> tuple[str, Condition] | None:
        """The key and its value; None if they are invalid."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return next(((name, value) for name, value in values if value is not MISSING), None)

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        """Yield unknown parameters, and parameters that a condition of this kind cannot have."""
        if not self.condition:
            return
        key, condition = self.condition
        for at, message in condition.reference_errors(properties, required):
            yield (key, *at), message
        for at, name in condition.parameters():
            is_path = condition.takes_paths
            if not (find_target(name, properties, required) if is_path else name in properties):
                text = f"{name} is not a parameter of this model"
                names = list_paths(properties) if is_path else properties
                yield (key, *at), Message(text, "", find_closest(name, names))


if TYPE_CHECKING:
    Rule: TypeAlias = _Rule
else:
    _fields: dict[str, Any] = {
        key: (
            Annotated[kind | MISSING, Field(description=f"{kind.meaning[0].upper()}{kind.meaning[1:]}.")],
            MISSING,
        )
        for key, kind in KINDS.items()
    }
    Rule = create_model(
        "Rule",
        __base__=_Rule,
        __doc__="A condition between parameters that JSON Schema cannot express well; exactly one of the keys.",
        __module__=__name__,
        **_fields,
    )


def iter_conditions(rules: Iterable[Rule]) -> Iterator[tuple[str, Condition]]:
    """Yield the key and the condition of each valid rule."""
    yield from (rule.condition for rule in rules if rule.condition)


def rule_violations(
    rules: Iterable[Rule], example: Mapping[str, Any], properties: Mapping[str, Schema]
) -> Iterator[Message]:
    """Yield the violations of rules by an example that is valid for the schemas in `properties`."""
    set_values = {name: value for name, value in example.items() if value is not None}
    values = with_defaults(properties, example)
    for _, condition in iter_conditions(rules):
        yield from condition.violations(set_values, values)
