"""What the gateway makes of a submitted body: checks on the packaged JSON Schemas, and the rules beside them.

Nothing here knows the generated models, so that each can check the other.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs

Schema = Mapping[str, Any]
"""A packaged JSON Schema with its `x-kling` member, or a part of one."""

_LONGEST_MESSAGE: Final = 300


class Refused(Exception):
    """The body breaks the schema or a rule; the message names every parameter concerned."""


class Validator:
    """Checks the bodies of one model."""

    def __init__(self, schema: Schema) -> None:
        """Raise ValueError if the schema is invalid or has a rule of an unknown kind."""
        self._schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(dict(schema), retriever=_refuse_reference)
        self._rules = [next(iter(rule.items())) for rule in schema["x-kling"].get("rules", ())]
        for kind, _ in self._rules:
            if kind not in _RULES:
                raise ValueError(f"{schema['x-kling']['slug']}: unknown kind of rule {kind!r}")

    def check(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters a worker gets: text twins made plain, documented defaults filled in.

        Raises Refused with every problem of the body.
        """
        body = _plain(self._schema, body)
        problems = [_message(error) for error in self._validator.iter_errors(body)]
        if problems:
            raise Refused("; ".join(problems))
        defaults = {
            name: part["default"] for name, part in self._schema["properties"].items() if "default" in part
        }
        # What is set to null has no value to a rule, and its default to a worker.
        values = defaults | body
        problems = [problem for kind, rule in self._rules for problem in _RULES[kind](rule, body, values)]
        if problems:
            raise Refused("; ".join(problems))
        return defaults | {name: value for name, value in body.items() if value is not None}


def _refuse_reference(uri: str) -> Any:
    """Refuse what a schema refers to outside of itself: it would be fetched, from a file or from the network."""
    raise ValueError(f"{uri}: a schema must not refer to another document")


def _message(error: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    text = f"{path.lstrip('.')}: {error.message}" if path else error.message
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"


def _plain(schema: Schema, value: Any) -> Any:
    """Return `value` with integers in text form, and digit texts in integer form, as the schema has them.

    The pages' own examples send "5" where their table says integer. Only the canonical form counts.
    """
    if isinstance(value, dict):
        parts: Mapping[str, Schema] = schema.get("properties", {})
        members: dict[str, Any] = value
        return {name: _plain(parts.get(name, {}), member) for name, member in members.items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [_plain(schema.get("items", {}), item) for item in items]
    allowed: list[Any] = [choice for choice in schema.get("enum", ()) if choice is not None]
    if isinstance(value, str):
        return next((n for n in allowed if type(n) is int and str(n) == value), value)
    if type(value) is int and all(
        isinstance(text, str) and re.fullmatch("0|[1-9][0-9]*", text) for text in allowed
    ):
        return str(value) if str(value) in allowed else value
    return value


def _requires(rule: Schema, body: Schema, values: Schema) -> Iterator[str]:
    field = rule["field"]
    if body.get(field) is None:
        return
    for name in rule.get("present", ()):
        if body.get(name) is None:
            yield f"{field}: needs {name}"
    for name, wanted in rule.get("equals", {}).items():
        # To Python, True is 1.
        if values.get(name) != wanted or isinstance(values.get(name), bool) != isinstance(wanted, bool):
            yield f"{field}: needs {name} to be {wanted!r}"


def _references(rule: Schema, _: Schema, values: Schema) -> Iterator[str]:
    before, after = rule["token"].split("{n}")
    count = len(values.get(rule["list"]) or ())
    for match in re.finditer(
        f"{re.escape(before) or '(?<![0-9])'}([0-9]+){re.escape(after)}", values.get(rule["field"]) or ""
    ):
        digits = match[1].lstrip("0")
        # A number of more digits than any list is long is never parsed: Python refuses very long ones.
        if not digits or len(digits) > len(str(count)) or int(digits) > count:
            yield f"{rule['field']}: {match[0][:40]} has no counterpart in {rule['list']}, which has {count}"


def _at_least_one_of(rule: Sequence[str], body: Schema, _: Schema) -> Iterator[str]:
    if all(body.get(name) is None for name in rule):
        yield f"at least one of {', '.join(rule)} is needed"


def _mutually_exclusive(rule: Sequence[str], body: Schema, _: Schema) -> Iterator[str]:
    given = [name for name in rule if body.get(name) is not None]
    if len(given) > 1:
        yield f"{' and '.join(given)} exclude each other: only one of {', '.join(rule)} is taken"


def _max_bytes(*_: Any) -> Iterator[str]:
    """Find nothing: the rule bounds local files before their upload, and here everything is a URL."""
    return iter(())


_RULES: Final[Mapping[str, Callable[[Any, Schema, Schema], Iterator[str]]]] = {
    "requires": _requires,
    "references": _references,
    "at_least_one_of": _at_least_one_of,
    "mutually_exclusive": _mutually_exclusive,
    "max_bytes": _max_bytes,
}
