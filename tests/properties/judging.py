"""Sets a generated model against its packaged schema: what is taken, what is sent, and what is said of the rest.

The judge is jsonschema-rs, and for the rules the evaluator beside this module; neither knows the models. What the two
sides may differ in is in `differences.py` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from kling_adapters import ConfigError, Params, ParamsInvalid

from .differences import DIFFERENCES, UPLOADED, Difference, is_json
from .edits import Edit, Place, edits
from .inputs import kind_of
from .prose_rules import broken_rules

Schema = Mapping[str, Any]
_KINDS: Mapping[type[Any], str] = {list: "array", dict: "object"}


@dataclass(frozen=True)
class Disagreement:
    """An input, and what the model makes of it that it should not."""

    body: Any
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a body should be sent as, and the paths at which it breaks the schema or a rule.

    `unread` are objects with a name that has half a character: pydantic does not look into them, so what else is wrong
    there may be said or not.
    """

    plain: Any
    broken: set[str]
    unread: set[str]


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
        verdict = self.verdict(body)
        try:
            params = self._model.model_validate(body)
        except ParamsInvalid as error:
            return _differs(body, verdict, error)
        self.taken += 1
        if verdict.broken:
            return Disagreement(body, f"it takes what breaks {sorted(verdict.broken)}")
        wrong = self._wrong_to_send(params, verdict.plain)
        return Disagreement(body, wrong) if wrong else None

    def verdict(self, body: Any, known: Sequence[Difference] = DIFFERENCES) -> Verdict:
        """Judge a body; `known` is where the model, or whoever else is judged, differs."""
        reading = _Reading(known)
        plain = reading.read(self._schema, body)
        for error in self._validator.iter_errors(reading.as_json(self._schema, plain, ())):
            reading.broken.update(_paths(error))
        if isinstance(plain, dict):
            reading.broken |= broken_rules(self._schema, plain)
        return Verdict(plain, reading.broken, reading.unread)

    def allows(self, body: Any) -> bool:
        """Whether the schema allows a body as it is. Raises ValueError if there is no such JSON."""
        return self._validator.is_valid(body)

    def _wrong_to_send(self, params: Params, plain: Any) -> str:
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


def _differs(body: Any, verdict: Verdict, error: ParamsInvalid) -> Disagreement | None:
    said = [str(problem) for problem in error.problems]
    named = {
        problem.path
        for problem in error.problems
        if problem.path in verdict.broken or not any(_within(problem.path, place) for place in verdict.unread)
    }
    if not verdict.broken:
        return Disagreement(body, f"it refuses what is right: {said}")
    if named != verdict.broken:
        return Disagreement(body, f"it names {sorted(named)}, broken are {sorted(verdict.broken)}: {said}")
    if len(set(said)) < len(said):
        return Disagreement(body, f"it says the same twice: {said}")
    return None


def _within(path: str, place: str) -> bool:
    return place == "parameters" or path.startswith((f"{place}.", f"{place}["))


@dataclass
class _Reading:
    """How values are read by a model that differs from its schema in `known`, and what is noticed on the way.

    `broken` has the names that are no text, which the judge of schemas cannot take; `unread` is that of Verdict.
    """

    known: Sequence[Difference]
    broken: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

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

    def as_json(self, schema: Schema, value: Any, place: Place) -> Any:
        """Return a value as the judge of schemas can take it, with what it must refuse for what the model must refuse."""
        fits = is_json(value) and kind_of(schema) == _KINDS.get(type(value), kind_of(schema))
        if isinstance(value, dict) and not all(is_json(name) for name in value if isinstance(name, str)):
            self.unread.add(_path(place))
            fits = False
        if not fits or any(not other.read and other.here(schema, value) for other in self.known):
            return [] if kind_of(schema) == "object" else {}
        if isinstance(value, list):
            return [self.as_json(schema["items"], item, (*place, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            parts = schema["properties"]
            self.broken.update(_path((*place, name)) for name in value if not isinstance(name, str))
            return {
                name: self.as_json(parts[name], member, (*place, name)) if name in parts else None
                for name, member in value.items()
                if isinstance(name, str)
            }
        return value


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
