"""Validation of submitted bodies, by the packaged JSON Schemas and their rules.

It does not use the generated models, so that tests can compare the two.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import jsonschema_rs

Schema = Mapping[str, Any]
"""A packaged JSON Schema with its `x-kling` member, or a part of one."""

_MAX_MESSAGE: Final = 300


class InvalidParams(Exception):
    """The body violates the schema or a rule; the message names every affected parameter."""


class Validator:
    """Validates the bodies of a model."""

    def __init__(self, schema: Schema) -> None:
        """Raise ValueError if the schema is invalid or has a rule of an unknown kind."""
        self.schema = schema
        fields = {key: part for key, part in schema.items() if key != "allOf"}
        self._validator = _make_validator(fields)
        rules = schema["x-kling"].get("rules", ())
        self._rules = [next(iter(rule.items())) for rule in rules]
        for kind, _ in self._rules:
            if kind not in _RULES and kind not in _STANDARD_KINDS:
                raise ValueError(f"{schema['x-kling']['slug']}: unknown kind of rule {kind!r}")
        # The messages of JSON Schema do not name a condition; the sentence of a rule does.
        sentences = [rule["text"] for rule in rules if _STANDARD_KINDS & rule.keys()]
        forms = map(_make_validator, schema.get("allOf", ()))
        self._standard_rules = list(zip(sentences, forms, strict=True))

    def check(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters for a worker: canonical values, with the documented defaults.

        Raises InvalidParams with every problem of the body.
        """
        body = _canonicalize(self.schema, body)
        problems = [_describe(error) for error in self._validator.iter_errors(body)]
        if problems:
            raise InvalidParams("; ".join(problems))
        values = _add_defaults(self.schema, body)
        problems = [
            problem
            for kind, rule in self._rules
            if kind in _RULES
            for problem in _RULES[kind](rule, body, values)
        ]
        problems += [text for text, validator in self._standard_rules if not validator.is_valid(body)]
        if problems:
            raise InvalidParams("; ".join(problems))
        # A parameter set to null has no value for a rule, and its default for a worker.
        defaults = {
            name: part["default"] for name, part in self.schema["properties"].items() if "default" in part
        }
        return defaults | {name: value for name, value in body.items() if value is not None}


def _make_validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(dict(schema), retriever=_refuse_reference)


def _refuse_reference(uri: str) -> Any:
    """Refuse a reference to another document, which would be read from a file or the network."""
    raise ValueError(f"{uri}: a schema must not refer to another document")


def _describe(error: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    text = f"{path.lstrip('.')}: {error.message}" if path else error.message
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"


def _canonicalize(schema: Schema, value: Any) -> Any:
    """Return `value` with numbers as text or as integers, as the schema defines them.

    The examples on some pages send "5" where their table says integer. Only canonical digits are converted.
    """
    if isinstance(value, dict):
        parts: Mapping[str, Schema] = schema.get("properties", {})
        members: dict[str, Any] = value
        return {name: _canonicalize(parts.get(name, {}), member) for name, member in members.items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [_canonicalize(schema.get("items", {}), item) for item in items]
    allowed: list[Any] = [choice for choice in schema.get("enum", ()) if choice is not None]
    if isinstance(value, str):
        return next((n for n in allowed if type(n) is int and str(n) == value), value)
    if type(value) is int and all(
        isinstance(text, str) and re.fullmatch("0|[1-9][0-9]*", text) for text in allowed
    ):
        return str(value) if str(value) in allowed else value
    return value


def _add_defaults(schema: Schema, value: Any) -> Any:
    """Return a valid value with the documented defaults of unset parameters, of nested ones, too."""
    if not schema:
        # An unknown parameter of a partial model.
        return value
    if isinstance(value, list):
        items: list[Any] = value
        return [_add_defaults(schema["items"], item) for item in items]
    if not isinstance(value, dict):
        return value
    parts: Mapping[str, Schema] = schema["properties"]
    defaults = {name: part["default"] for name, part in parts.items() if "default" in part}
    members: dict[str, Any] = value
    return defaults | {name: _add_defaults(parts.get(name, {}), member) for name, member in members.items()}


def _requires(rule: Schema, body: Schema, values: Schema) -> Iterator[str]:
    field = rule["field"]
    if body.get(field) is None:
        return
    for name in rule.get("present", ()):
        if body.get(name) is None:
            yield f"{field}: needs {name}"
    for name, required in rule.get("equals", {}).items():
        # In Python, True equals 1.
        value = body[name] if name in body else values.get(name)
        if value != required or isinstance(value, bool) != isinstance(required, bool):
            yield f"{field}: needs {name} to be {required!r}"


def _references(rule: Schema, _: Schema, values: Schema) -> Iterator[str]:
    before, after = rule["token"].split("{n}")
    text, items = values.get(rule["field"]) or "", values.get(rule["list"])
    if not isinstance(text, str) or isinstance(items, str):
        return
    count = len(items or ())
    for match in re.finditer(f"{re.escape(before) or '(?<![0-9])'}([0-9]+){re.escape(after)}", text):
        digits = match[1].lstrip("0")
        # Numbers with more digits than the count are not parsed, because Python refuses very long ones.
        if not digits or len(digits) > len(str(count)) or int(digits) > count:
            yield f"{rule['field']}: {match[0][:40]} has no counterpart in {rule['list']}, which has {count}"


def _at_least_one_of(rule: Sequence[str], body: Schema, _: Schema) -> Iterator[str]:
    if all(body.get(name) is None for name in rule):
        yield f"at least one of {', '.join(rule)} is needed"


def _mutually_exclusive(rule: Sequence[str], body: Schema, _: Schema) -> Iterator[str]:
    names = [name for name in rule if body.get(name) is not None]
    if len(names) > 1:
        yield f"{' and '.join(names)} exclude each other: only one of {', '.join(rule)} is accepted"


def _sum(rule: Schema, _: Schema, values: Schema) -> Iterator[str]:
    name, number = rule["of"].split(".")
    items = values.get(name)
    numbers = [item.get(number) if item else None for item in items] if isinstance(items, list) else []
    total = values.get(rule.get("equals", ""))
    if not numbers or None in numbers:
        return
    # Decimals are added as they are written.
    added = sum(Fraction(str(part)) for part in numbers)
    if total is not None and added != Fraction(str(total)):
        yield f"{name}: {rule['of']} must add up to {rule['equals']}, which is {total}"
    if added < Fraction(str(rule.get("minimum", added))):
        yield f"{name}: {rule['of']} must add up to at least {rule['minimum']}"
    if added > Fraction(str(rule.get("maximum", added))):
        yield f"{name}: {rule['of']} must add up to at most {rule['maximum']}"


def _max_bytes(*_: Any) -> Iterator[str]:
    """Yield nothing: the rule limits local files before their upload, and submits contain only URLs."""
    return iter(())


_RULES: Final[Mapping[str, Callable[[Any, Schema, Schema], Iterator[str]]]] = {
    "requires": _requires,
    "references": _references,
    "at_least_one_of": _at_least_one_of,
    "mutually_exclusive": _mutually_exclusive,
    "max_bytes": _max_bytes,
    "sum": _sum,
}
# Rules of these kinds have a form in JSON Schema: their part of `allOf`, in the order of the rules.
_STANDARD_KINDS: Final = {"exactly_one_of", "when"}
