"""The conditions between parameters: what a spec may say of them, and whether an input keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import MISSING, ConfigDict, Field, RootModel

from kling_codegen.closed import Closed, Text, repeated
from kling_codegen.messages import Location, Message, Problem, closest, cut, listed, shown
from kling_codegen.schema import UNKNOWN, Schema, violations


class Requires(Closed):
    """If `field` is given, each of `present` must be given, and each of `equals` must have that value."""

    field: Annotated[Text, Field(description="The parameter that needs others.")]
    present: Annotated[list[Text], Field(description="Parameters that must be given with it.")] = []
    equals: Annotated[dict[str, Any], Field(description="Parameters and the values they must have.")] = {}

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if not self.present and not self.equals:
            yield (), Message("requires needs present or equals")

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field
        yield from ((("present", index), name) for index, name in enumerate(self.present))
        yield from ((("equals", name), name) for name in self.equals)

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        for name in self.equals.keys() & known.keys():
            for at, what in violations(known[name], self.equals[name]):
                yield ("equals", name, *at), what.of(f"{name}:")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        if self.field not in given:
            return
        for name in self.present:
            if name not in given:
                yield Message(f"{self.field} needs {name}, which is not given")
        for name, wanted in self.equals.items():
            if values.get(name) != wanted:
                yield Message(f"{self.field} needs {name} to be {shown(wanted)}")


class References(Closed):
    """Each `token` with a number in the text `field` must name an item of `list`, counted from 1."""

    field: Annotated[Text, Field(description="The text that names items.")]
    token: Annotated[str, Field(description="How it names them, such as @Image{n}.")]
    list: Annotated[Text, Field(description="The list that has the items.")]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if self.token.count("{n}") != 1 or self.token == "{n}":  # noqa: S105  no password
            yield ("token",), Message(f"{shown(self.token)} must have {{n}} once, and more around it")
        elif re.search(r"[0-9]\{n\}|\{n\}[0-9]", self.token):
            what = f"{shown(self.token)} has a digit beside {{n}}, which cannot be told from the number"
            yield ("token",), Message(what)

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field
        yield ("list",), self.list

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        for (at, name), kind in zip(self.named(), ("string", "array"), strict=True):
            if name in known and known[name].kind not in (kind, UNKNOWN):
                yield at, Message(f"{name} must be of type {kind}, not {known[name].kind}")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        # Each run of digits is read once: it starts where none comes before, and is not given up in part.
        pattern = re.escape(self.token).replace(re.escape("{n}"), "(?<![0-9])([0-9]++)")
        count = len(values.get(self.list) or ())
        for found in re.finditer(pattern, values.get(self.field) or ""):
            # Not int, which refuses thousands of digits.
            if not 1 <= float(found[1]) <= count:
                yield Message(f"{self.field} names {cut(found[0])}, but {self.list} has {count} items")


class MaxBytes(Closed):
    """A local file given for `field` may have at most `bytes` bytes."""

    field: Annotated[Text, Field(description="A parameter with format uri.")]
    bytes: Annotated[int, Field(gt=0, description="The size of the largest file that may be given.")]

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        field = known.get(self.field)
        if field and field.kind != UNKNOWN and field.format is MISSING:
            yield ("field",), Message(f"{self.field} must have format uri")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule. An example has URLs, whose sizes are not known."""
        return iter(())


class Group(RootModel[Annotated[list[Text], Field(min_length=2)]]):
    """The parameters of at_least_one_of or mutually_exclusive."""

    model_config = ConfigDict(strict=True, frozen=True)

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield from (((index,), name) for index, name in enumerate(self.root))

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        for index, name in repeated(self.root):
            yield (index,), Message(f"{name} is there twice")


class AtLeastOneOf(Group):
    """One of these parameters must be given, or several; a default does not count as given."""

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        if not any(name in given for name in self.root):
            yield Message("is incomplete", f"at least one of {listed(self.root)}")


class MutuallyExclusive(Group):
    """Only one of these parameters may be given; a default does not count as given."""

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        found = [name for name in self.root if name in given]
        if len(found) > 1:
            yield Message(f"gives {' and '.join(found)} together", f"only one of {listed(self.root)}")


Condition: TypeAlias = Requires | References | MaxBytes | AtLeastOneOf | MutuallyExclusive


class Rule(Closed):
    """One condition that JSON Schema says badly; exactly one of the keys.

    Each has `named`: the parameters it names and where; `misfits`: what is wrong with it, given the known
    parameters; `broken`: how an example breaks it, by what is given (not null) and that with the defaults.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    requires: Annotated[
        Requires | MISSING, Field(description="A parameter that needs others, or needs them to have a value.")
    ] = MISSING
    references: Annotated[
        References | MISSING, Field(description="A text that names items of a list by their number.")
    ] = MISSING
    at_least_one_of: Annotated[
        AtLeastOneOf | MISSING, Field(description="Parameters of which one must be given.")
    ] = MISSING
    mutually_exclusive: Annotated[
        MutuallyExclusive | MISSING, Field(description="Parameters of which only one may be given.")
    ] = MISSING
    max_bytes: Annotated[MaxBytes | MISSING, Field(description="The size of a local file.")] = MISSING

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if len(self.model_fields_set) != 1:
            yield (), Message("a rule has exactly one key", ", ".join(type(self).model_fields))

    def condition(self) -> tuple[str, Condition] | None:
        """Return the key and its value, unless they were wrong."""
        found = ((name, getattr(self, name)) for name in type(self).model_fields)
        return next(((name, value) for name, value in found if value is not MISSING), None)

    def misfits(self, known: Mapping[str, Schema], required: Iterable[str]) -> Iterator[Problem]:
        """Yield where the rule names a parameter that is not `known`, or one it can say nothing of."""
        if not (condition := self.condition()):
            return
        key, value = condition
        yield from (((key, *at), what) for at, what in value.misfits(known))
        for at, name in value.named():
            if name not in known:
                what = Message(f"{name} is no parameter of this model", "", closest(name, known))
                yield (key, *at), what
            elif isinstance(value, Group) and name in required:
                yield (key, *at), Message(f"{name} is required, so it is always given")


def broken(
    rules: Iterable[Rule], example: Mapping[str, Any], properties: Mapping[str, Schema]
) -> Iterator[Message]:
    """Yield how an example breaks the rules; it fits the schemas in `properties`."""
    given = {name: value for name, value in example.items() if value is not None}
    defaults = {name: schema.default for name, schema in properties.items() if schema.default is not MISSING}
    for rule in rules:
        if condition := rule.condition():
            yield from condition[1].broken(given, {**defaults, **example})
