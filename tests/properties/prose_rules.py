"""The rules of a spec, checked as the prose of specs/README.md describes them, under "A rule".

Written from that prose, before reading any code that checks rules, so that it can be compared with both
implementations: that of `kling_adapters` and that of the sandbox. Questions that the prose had left open (null beside
a default, leading zeros of a number, a list of another type) were decided there first.

A new kind of rule gets a function here with the name of its key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]
Item: TypeAlias = tuple[str, Any]
"""An object in a body, after its place."""


def broken_rules(schema: Json, body: Json) -> set[str]:
    """Return the parameters at which a body breaks the rules that the packaged schema of a model has."""
    rules = schema.get("x-kling", {}).get("rules", ())
    return {name for rule in rules for name in _broken_parameters(rule, schema, body)}


def split_rule(rule: Json) -> tuple[str, Any]:
    """Return the key of a rule and its value; `text` is the same in words."""
    [(key, value)] = ((key, value) for key, value in rule.items() if key != "text")
    return key, value


def plain_content(rule: Json) -> tuple[str, Any]:
    """Return the key of a rule, and its value in the form of a runtime class: the lists of `when` are spelled out."""
    key, value = split_rule(rule)
    if key != "when":
        return key, value
    equals = {
        name: choices if isinstance(choices, list) else [choices]
        for name, choices in value.get("equals", {}).items()
    }
    condition = {
        **({"equals": equals} if equals else {}),
        **{k: v for k, v in value.items() if k == "present"},
    }
    return key, condition | value["then"]


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


def when(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    """Check each part of `then` for each item of the list that it or the condition is about."""
    conditions = [*rule.get("equals", ()), *rule.get("present", ())]
    for key, affected in rule["then"].items():
        for path in affected:
            list_paths = {_list_of(name, schema) for name in (*conditions, path)} - {""}
            [list_path] = list_paths or {""}
            for item in _items(list_path, schema, body):
                holding = _find_holder(path, list_path, item, body)
                if holding and _holds(rule, list_path, item, schema, body):
                    limit = None if isinstance(affected, list) else affected[path]
                    place, holder = holding
                    name = path.rpartition(".")[2]
                    if _is_broken(key, limit, holder.get(name)):
                        yield f"{place}.{name}".removeprefix(".")


def _is_broken(key: str, limit: Any, value: Any) -> bool:
    if key == "required" or value is None:
        return key == "required" and value is None
    if key == "allowed":
        return not any(_is_same(value, choice) for choice in limit)
    if key == "forbidden":
        return True
    if not isinstance(value, TYPES[key.partition("_")[2]]) or isinstance(value, bool):
        return False
    amount: Any = len(value) if isinstance(value, str | list) else value
    return not (limit <= amount if key.startswith("min") else amount <= limit)


TYPES: Mapping[str, tuple[type, ...]] = {"": (int, float), "length": (str,), "items": (list,)}
LIMITS = ("minimum", "maximum", "min_length", "max_length", "min_items", "max_items")


def _holds(rule: Json, list_path: str, item: Item, schema: Json, body: Json) -> bool:
    for path, expected in rule.get("equals", {}).items():
        holder = (_find_holder(path, list_path, item, body) or (None, None))[1]
        if holder is None:
            return False
        name = path.rpartition(".")[2]
        value = holder[name] if name in holder else find_part(path, schema).get("default")
        choices = expected if isinstance(expected, list) else [expected]
        if not any(_is_same(value, choice) for choice in choices):
            return False
    for path in rule.get("present", ()):
        holding = _find_holder(path, list_path, item, body)
        if holding is None or holding[1].get(path.rpartition(".")[2]) is None:
            return False
    return True


def _items(list_path: str, schema: Json, body: Json) -> list[Item]:
    """Return the items of a list with their places; the body itself for no list."""
    items: list[Item] = [("", body)]
    for name in list_path.split(".") if list_path else ():
        schema = schema["properties"][name]
        items = [(f"{place}.{name}", item.get(name)) for place, item in items if isinstance(item, dict)]
        while "items" in schema:
            schema = schema["items"]
            items = [
                (f"{place}[{index}]", part)
                for place, item in items
                if isinstance(item, list)
                for index, part in enumerate(item)
            ]
    return [(place, item) for place, item in items if isinstance(item, dict)]


def _find_holder(path: str, list_path: str, item: Item, body: Json) -> Item | None:
    """Return the object that can have a parameter, in an item or outside the list; None if it is not there."""
    is_in_list = bool(list_path) and path.startswith(f"{list_path}.")
    place, holder = item if is_in_list else ("", body)
    for name in path.removeprefix(f"{list_path}." if is_in_list else "").split(".")[:-1]:
        place, holder = f"{place}.{name}", holder.get(name)
        if not isinstance(holder, dict):
            return None
    return place, holder


def find_part(path: str, schema: Json) -> Json:
    """Return the schema of the parameter at a path."""
    for name in path.split("."):
        while "items" in schema:
            schema = schema["items"]
        schema = schema["properties"][name]
    return schema


def _list_of(path: str, schema: Json) -> str:
    """Return the path of the innermost list around a parameter; empty if there is none."""
    steps = path.split(".")
    starts = [".".join(steps[:end]) for end in range(1, len(steps))]
    return next((start for start in reversed(starts) if "items" in find_part(start, schema)), "")


def sum_of_items(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    list_name, name = rule["of"].split(".")
    items = body.get(list_name)
    default = find_part(rule["of"], schema).get("default")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return
    numbers = [item.get(name, default) for item in items]
    expected = _value(rule["equals"], schema, body) if "equals" in rule else None
    if not all(map(_is_finite, numbers)):
        return
    # Decimal digits, exactly: 0.1 is one tenth.
    total = sum(Fraction(str(number)) for number in numbers)
    bounds = [("minimum", 1), ("maximum", -1)]
    if _is_finite(expected) and total != Fraction(str(expected)):
        yield list_name
    if any(key in rule and (total - Fraction(str(rule[key]))) * sign < 0 for key, sign in bounds):
        yield list_name


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (isinstance(value, int) or math.isfinite(value))


def max_bytes(rule: Json, schema: Json, body: Json) -> Iterator[str]:
    """Yield nothing: the rule is about local files, and no body holds one."""
    del rule, schema, body
    yield from ()


RULES: Mapping[str, Callable[[Any, Json, Json], Iterator[str]]] = {
    function.__name__.removesuffix("_of_items"): function
    for function in (
        requires,
        references,
        at_least_one_of,
        mutually_exclusive,
        exactly_one_of,
        when,
        sum_of_items,
        max_bytes,
    )
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
