"""The rules of a spec, checked as the prose of specs/README.md describes them, under "A rule".

Written from that prose, before reading any code that checks rules, so that it can be compared with both
implementations: that of `kling_adapters` and that of the sandbox. Questions that the prose had left open (null beside
a default, leading zeros of a number, a list of another type) were decided there first.

A new kind of rule gets a function here with the name of its key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]


def broken_rules(schema: Json, body: Json) -> set[str]:
    """Return the parameters at which a body breaks the rules that the packaged schema of a model has."""
    rules = schema.get("x-kling", {}).get("rules", ())
    return {name for rule in rules for name in _broken_parameters(rule, schema, body)}


def split_rule(rule: Json) -> tuple[str, Any]:
    """Return the key of a rule and its value; `text` is the same in words."""
    [(key, value)] = ((key, value) for key, value in rule.items() if key != "text")
    return key, value


def _broken_parameters(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    key, value = split_rule(rule)
    return RULES[key](value, schema, body)


def requires(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    if _is_set(rule["field"], body) and not (
        all(_is_set(name, body) for name in rule.get("present", ()))
        and all(_is_same(_value(name, schema, body), value) for name, value in rule.get("equals", {}).items())
    ):
        yield rule["field"]


def references(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    text, items = _value(rule["field"], schema, body), _value(rule["list"], schema, body)
    items = [] if items is None else items
    # Values of other types break the schema, and there is nothing to count.
    is_checked = isinstance(text, str) and isinstance(items, list)
    numbers = _numbers(rule["token"], text) if is_checked else []
    if any(not 1 <= number <= len(items) for number in numbers):
        yield rule["field"]


def at_least_one_of(rule: Sequence[str], schema: Json, body: Json) -> Iterator[str]:
    del schema
    if not any(_is_set(name, body) for name in rule):
        yield rule[0]


def mutually_exclusive(rule: Sequence[str], schema: Json, body: Json) -> Iterator[str]:
    del schema
    yield from [name for name in rule if _is_set(name, body)][1:]


def exactly_one_of(rule: Sequence[str], schema: Json, body: Json) -> Iterator[str]:
    yield from at_least_one_of(rule, schema, body)
    yield from mutually_exclusive(rule, schema, body)


def max_bytes(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    """Yield nothing: the rule is about local files, and no body holds one."""
    del rule, schema, body
    yield from ()


RULES: Mapping[str, Callable[[Any, Json, Json], Iterator[str]]] = {
    function.__name__: function
    for function in (requires, references, at_least_one_of, mutually_exclusive, exactly_one_of, max_bytes)
}


def _is_set(name: str, body: Json) -> bool:
    return body.get(name) is not None


def _value(name: str, schema: Json, body: Json) -> Any:
    return body[name] if name in body else schema["properties"][name].get("default")


def _is_same(value: Any, expected: Any) -> bool:
    """Compare as JSON does: true is not 1, and 1.0 is."""
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)


def _numbers(token: str, text: str) -> list[float]:
    """Return the numbers by which a text names items; float() reads any number of digits."""
    before, after = map(re.escape, token.split("{n}"))
    return [float(digits) for digits in re.findall(f"{before}([0-9]+){after}", text)]
