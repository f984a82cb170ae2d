"""Compare a generated model with its packaged schema: accepted inputs, sent bodies and reported problems.

The oracles are jsonschema-rs and, for the rules, `prose_rules.py`; neither uses the models. `differences.py` lists
every intended difference.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from kling_adapters import ConfigError, DeprecatedParameter, Params, ParamsInvalid, UnknownParameter

from .differences import DIFFERENCES, UPLOADED, Difference, is_json, list_old_names
from .edits import Edit, Place, edits
from .inputs import kind_of, kinds_of
from .prose_rules import broken_rules, split_rule

Schema = Mapping[str, Any]
_KINDS: Mapping[type[Any], str] = {list: "array", dict: "object"}


# The kinds of rules that have a form in JSON Schema.
STANDARD_KINDS = {"exactly_one_of", "when"}


@dataclass(frozen=True)
class Disagreement:
    """An input, and the wrong reaction of the model to it."""

    body: Any
    message: str


@dataclass(frozen=True)
class Verdict:
    """The body that should be sent, and the paths at which the input breaks the schema or a rule.

    `unread` are objects with a lone surrogate in a name: pydantic does not look into them, so other problems in them
    may be reported or not.
    """

    plain: Any
    broken: set[str]
    unread: set[str]


class Judge:
    """A judge of the inputs of a model. `judged` counts them, `accepted` those that the model accepts."""

    def __init__(self, schema: Schema, model: type[Params]) -> None:
        self.judged = self.accepted = 0
        self._has_warned = False
        self._schema = schema
        self._model = model
        # `allOf` has rules, which `prose_rules.py` judges with their paths; `test_verdicts.py` compares the two.
        fields = {key: part for key, part in schema.items() if key != "allOf"}
        self._validator = jsonschema_rs.Draft202012Validator(fields)

    def disagreement(self, body: Any) -> Disagreement | None:
        """Return the error in the model's verdict on a body, or None."""
        self.judged += 1
        verdict = self.verdict(body)
        try:
            params = self._validate(body)
        except ParamsInvalid as error:
            return _differs(body, verdict, error)
        self.accepted += 1
        if verdict.broken:
            return Disagreement(body, f"it accepts what breaks {sorted(verdict.broken)}")
        if self._has_warned != bool(verdict.plain.keys() - self._schema["properties"].keys()):
            return Disagreement(body, "it warns once of unknown parameters, or not, in the wrong case")
        wrong = self._wrong_to_send(params, verdict.plain)
        return Disagreement(body, wrong) if wrong else None

    def _validate(self, body: Any) -> Params:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnknownParameter)
            warnings.simplefilter("ignore", DeprecatedParameter)
            params = self._model.model_validate(body)
        self._has_warned = [warning.category for warning in caught] == [UnknownParameter]
        assert self._has_warned or not caught
        return params

    def verdict(self, body: Any, differences: Sequence[Difference] = DIFFERENCES) -> Verdict:
        """Judge a body for a validator with these differences from the schema."""
        reading = _Reading(differences)
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
        if self._validate(wire).wire() != wire:
            return f"it does not give back what it sends: {wire!r}"
        return ""


def send_as_json(body: Any) -> Any:
    """Return the body as the gateway receives it, or None if no request can hold it."""
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
    return json.loads(text) if isinstance(body, dict) else None


class StandardJudge:
    """A judge of the rules that a packaged schema also has in keywords of JSON Schema, under `allOf`."""

    def __init__(self, schema: Schema) -> None:
        rules = schema["x-kling"]["rules"]
        expressible = [rule for rule in rules if split_rule(rule)[0] in STANDARD_KINDS]
        assert len(schema.get("allOf", ())) == len(expressible)
        fields = {key: part for key, part in schema.items() if key != "allOf"}
        self._schema = {**schema, "x-kling": {"rules": expressible}}
        self._fields, self._validator = map(jsonschema_rs.Draft202012Validator, (fields, dict(schema)))

    def allows_fields(self, body: Any) -> bool:
        """Return whether a body is valid, its rules aside."""
        return self._fields.is_valid(body)

    def allows(self, body: Any) -> bool:
        """Return whether the whole schema allows a body."""
        return self._validator.is_valid(body)

    def agrees(self, body: Any) -> bool:
        """Return whether both forms of the rules allow or refuse a body with valid fields."""
        return self.allows(body) != bool(broken_rules(self._schema, body))


def disagreements(schema: Schema, model: type[Params], body: Mapping[str, Any]) -> Iterator[Disagreement]:
    """Judge an input that the packaged schema of a model allows (see `inputs`), and every single edit of it.

    It works for any model and schema that the compiler made of one spec, installed or not. The rules are those in
    the schema.
    """
    judge = Judge(schema, model)
    for edited in (dict(body), *(edit.of(body) for edit in edits(schema, body))):
        if disagreement := judge.disagreement(edited):
            yield disagreement


def combined(chosen: Sequence[Edit], body: Mapping[str, Any]) -> Any:
    """Return a body with several edits made, leaving out those that touch an earlier one."""
    applied: list[Edit] = []
    result: Any = dict(body)
    for edit in chosen:
        if all(edit.apart(earlier) for earlier in applied):
            applied.append(edit)
            result = edit.of(result)
    return result


def _differs(body: Any, verdict: Verdict, error: ParamsInvalid) -> Disagreement | None:
    messages = [str(problem) for problem in error.problems]
    paths = {
        problem.path
        for problem in error.problems
        if problem.path in verdict.broken or not any(_within(problem.path, place) for place in verdict.unread)
    }
    if not verdict.broken:
        return Disagreement(body, f"it refuses a valid input: {messages}")
    if paths != verdict.broken:
        return Disagreement(
            body, f"it names {sorted(paths)}, broken are {sorted(verdict.broken)}: {messages}"
        )
    if len(set(messages)) < len(messages):
        return Disagreement(body, f"it says the same twice: {messages}")
    return None


def _within(path: str, place: str) -> bool:
    return place == "parameters" or path.startswith((f"{place}.", f"{place}["))


@dataclass
class _Reading:
    """A reading of values by a model that differs from its schema in `differences`.

    `broken` has the names that are not text, which jsonschema-rs cannot take; `unread` is that of Verdict.
    """

    differences: Sequence[Difference]
    broken: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def read(self, schema: Schema, value: Any) -> Any:
        """Return the value as the model should read it."""
        for difference in self.differences:
            if difference.read and difference.here(schema, value):
                value = difference.read(schema, value)
        if isinstance(value, list) and "items" in schema:
            return [self.read(schema["items"], item) for item in value]
        if isinstance(value, dict) and "properties" in schema:
            parts = schema["properties"]
            return {
                name: self.read(parts[name], member) if name in parts else _with_lists(member)
                for name, member in value.items()
            }
        return value

    def as_json(self, schema: Schema, value: Any, place: Place) -> Any:
        """Return the value in JSON for jsonschema-rs, with an invalid value in place of one that the model must refuse."""
        fits = is_json(value) and _KINDS.get(type(value), kind_of(schema)) in kinds_of(schema)
        if isinstance(value, dict) and not all(is_json(name) for name in value if isinstance(name, str)):
            self.unread.add(_path(place))
            fits = False
        if not fits or any(not earlier.read and earlier.here(schema, value) for earlier in self.differences):
            return [] if kind_of(schema) == "object" else {}
        if isinstance(value, list):
            return [self.as_json(schema["items"], item, (*place, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            parts = schema["properties"]
            self.broken.update(_path((*place, name)) for name in value if not isinstance(name, str))
            if schema.get("additionalProperties", False):
                # A partial model takes any JSON under an unknown name, and nothing else. An old name is not unknown:
                # one that is still here is beside the present one.
                unknown = {name: value[name] for name in value if isinstance(name, str) and name not in parts}
                old_names = list_old_names(schema)
                self.broken.update(
                    _path((*place, name))
                    for name in unknown
                    if name in old_names or not _is_json_throughout(unknown[name])
                )
            return {
                name: self.as_json(parts[name], member, (*place, name)) if name in parts else None
                for name, member in value.items()
                if isinstance(name, str)
            }
        return value


def _is_json_throughout(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json_throughout, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and is_json(name) for name in value) and all(
            map(_is_json_throughout, value.values())
        )
    return is_json(value)


def _with_lists(value: Any) -> Any:
    """Return a value with lists for tuples, at any depth."""
    if isinstance(value, dict):
        return {name: _with_lists(member) for name, member in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _paths(error: jsonschema_rs.ValidationError) -> Iterator[str]:
    """Yield the paths of a problem; a missing or unknown name is a path of its own."""
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


def _same(sent: Any, expected: Any) -> bool:
    """Return whether two values are the same JSON: true is not 1, and 1.0 is."""
    if isinstance(sent, dict) and isinstance(expected, dict):
        return sent.keys() == expected.keys() and all(_same(sent[name], expected[name]) for name in sent)
    if isinstance(sent, list) and isinstance(expected, list):
        return len(sent) == len(expected) and all(map(_same, sent, expected))
    numbers = {type(sent), type(expected)} <= {int, float}
    return bool(sent == expected) and (numbers or type(sent) is type(expected))
