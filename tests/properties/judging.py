"""Sets a generated model against its packaged schema: what is taken, what is sent, and what is said of the rest.

The judge is jsonschema-rs, and for the rules the evaluator beside this module; neither knows the models. What the two
sides may differ in is in `differences.py` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from kling_adapters import ConfigError, Params, ParamsInvalid

from .differences import DIFFERENCES, UPLOADED, Difference, is_json
from .edits import Edit, Place, edits
from .inputs import kind_of
from .prose_rules import broken_rules

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Disagreement:
    """An input, and what the model makes of it that it should not."""

    body: Any
    what: str


class Judge:
    """Judges the inputs of one model. `judged` counts them, `taken` those that the model takes."""

    def __init__(self, schema: Schema, model: type[Params]) -> None:
        self.judged = self.taken = 0
        self._schema = schema
        self._model = model
        self._validator = jsonschema_rs.Draft202012Validator(dict(schema))

    def disagreement(self, body: Any) -> Disagreement | None:
        """Return what is wrong with the model's verdict on a body, if anything is."""
        self.judged += 1
        plain, expected = self.verdict(body)
        try:
            params = self._model.model_validate(body)
        except ParamsInvalid as error:
            return _differs(body, expected, error)
        self.taken += 1
        if expected:
            return Disagreement(body, f"it takes what breaks {sorted(expected)}")
        wrong = self._wrong_to_send(params, body, plain)
        return Disagreement(body, wrong) if wrong else None

    def verdict(self, body: Any, known: Sequence[Difference] = DIFFERENCES) -> tuple[Any, set[str]]:
        """Return a body as it should be sent, and the paths at which it breaks the schema or a rule.

        `known` is where the model, or whoever else is judged, differs.
        """
        reading = _Reading(known)
        plain = reading.read(self._schema, body)
        expected: set[str] = set()
        for error in self._validator.iter_errors(reading.as_json(self._schema, plain, (), expected)):
            expected.update(_paths(error))
        if isinstance(plain, dict):
            expected |= broken_rules(self._schema, plain)
        return plain, expected

    def allows(self, body: Any) -> bool:
        """Whether the schema allows a body as it is. Raises ValueError if there is no such JSON."""
        return self._validator.is_valid(body)

    def _wrong_to_send(self, params: Params, body: Any, plain: Any) -> str:
        if UPLOADED in json.dumps(plain):
            try:
                return f"it sends a file that is not uploaded: {params.wire()!r}"
            except ConfigError:
                return ""
        wire = params.wire()
        if not _same(wire, plain):
            return f"it sends {wire!r}"
        if not self._validator.is_valid(json.loads(json.dumps(wire, allow_nan=False))):
            return f"it sends what breaks the schema: {wire!r}"
        if self._model.model_validate(wire).wire() != wire:
            return f"it does not give back what it sends: {wire!r}"
        return ""


def disagreements(schema: Schema, model: type[Params], body: Mapping[str, Any]) -> Iterator[Disagreement]:
    """Judge an input that the packaged schema of a model allows (see `inputs`), and every single edit of it.

    It works for any model and schema that the compiler made of one spec, installed or not. The rules are those in
    the schema.
    """
    judge = Judge(schema, model)
    for edited in (dict(body), *(edit.of(body) for edit in edits(schema, body))):
        if found := judge.disagreement(edited):
            yield found


def combined(chosen: Sequence[Edit], body: Mapping[str, Any]) -> Any:
    """Return a body with several edits made, leaving out those that touch an earlier one."""
    made: list[Edit] = []
    result: Any = dict(body)
    for edit in chosen:
        if all(edit.apart(other) for other in made):
            made.append(edit)
            result = edit.of(result)
    return result


def _differs(body: Any, expected: set[str], error: ParamsInvalid) -> Disagreement | None:
    said = [str(problem) for problem in error.problems]
    named = {problem.path for problem in error.problems}
    if not expected:
        return Disagreement(body, f"it refuses what is right: {said}")
    if named != expected:
        return Disagreement(body, f"it names {sorted(named)}, broken are {sorted(expected)}: {said}")
    if len(set(said)) < len(said):
        return Disagreement(body, f"it says the same twice: {said}")
    return None


@dataclass(frozen=True)
class _Reading:
    """How values are read by a model that differs from its schema in `known`."""

    known: Sequence[Difference]

    def read(self, schema: Schema, value: Any) -> Any:
        """Return what the model should take a value for."""
        for difference in self.known:
            if difference.read and difference.here(schema, value):
                value = difference.read(schema, value)
        if isinstance(value, list) and "items" in schema:
            return [self.read(schema["items"], item) for item in value]
        if isinstance(value, dict) and "properties" in schema:
            parts = schema["properties"]
            return {
                name: self.read(parts[name], member) if name in parts else member
                for name, member in value.items()
            }
        return value

    def as_json(self, schema: Schema, value: Any, place: Place, broken: set[str]) -> Any:
        """Return a value as the judge of schemas can take it, with what it must refuse for what the model must refuse.

        `broken` is told of names that are no text, which are left out.
        """
        if not _fits(schema, value) or any(
            not other.read and other.here(schema, value) for other in self.known
        ):
            return [] if kind_of(schema) == "object" else {}
        if isinstance(value, list):
            return [
                self.as_json(schema["items"], item, (*place, index), broken)
                for index, item in enumerate(value)
            ]
        if isinstance(value, dict):
            parts = schema["properties"]
            broken.update(_path((*place, name)) for name in value if not isinstance(name, str))
            return {
                name: self.as_json(parts[name], member, (*place, name), broken) if name in parts else None
                for name, member in value.items()
                if isinstance(name, str)
            }
        return value


def _fits(schema: Schema, value: Any) -> bool:
    """Whether JSON has such a value, and the judge could look into it."""
    if isinstance(value, dict):
        return kind_of(schema) == "object" and all(is_json(name) for name in value if isinstance(name, str))
    return is_json(value) and (kind_of(schema) == "array" or not isinstance(value, list))


def _paths(error: jsonschema_rs.ValidationError) -> Iterator[str]:
    """Where a problem is said to be: a name that is missing or unknown is a place of its own."""
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            yield _path((*error.instance_path, name))
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            yield from (_path((*error.instance_path, name)) for name in names)
        case _:
            yield _path(error.instance_path)


def _path(place: Sequence[Any]) -> str:
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" if step != "" else '.""' for step in place
    )
    return text.removeprefix(".") or "parameters"


def _same(sent: Any, wanted: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, and 1.0 is."""
    if isinstance(sent, dict) and isinstance(wanted, dict):
        return sent.keys() == wanted.keys() and all(_same(sent[name], wanted[name]) for name in sent)
    if isinstance(sent, list) and isinstance(wanted, list):
        return len(sent) == len(wanted) and all(map(_same, sent, wanted))
    numbers = {type(sent), type(wanted)} <= {int, float}
    return bool(sent == wanted) and (numbers or type(sent) is type(wanted))
