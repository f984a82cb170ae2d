"""Enumerate every single edit of an input: another type, a near value, a value outside a bound, a key or item more or less.

An edit is a place and its new value, so that several can be combined.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from tests.support.media import make_png

from .inputs import URL, kinds_of, least
from .prose_rules import find_part, split_rule

Schema = Mapping[str, Any]
Place: TypeAlias = tuple[Any, ...]
"""Names and positions that lead to a part of an input."""


class Removed(enum.Enum):
    """The value of a removed name."""

    REMOVED = enum.auto()


REMOVED = Removed.REMOVED


@dataclass(frozen=True)
class Edit:
    """Put `value` into a place of an input; REMOVED drops the name."""

    place: Place
    value: Any

    def apart(self, replacement: Edit) -> bool:
        """Return whether neither edit lies within the other."""
        common = min(len(self.place), len(replacement.place))
        return self.place[:common] != replacement.place[:common]

    def of(self, body: Any) -> Any:
        """Return a copy of the input with this edit."""
        return _put(body, self.place, self.value)


def _put(body: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    step, *rest = place
    if isinstance(body, list):
        copy = list(body)
        copy[step] = _put(body[step], tuple(rest), value)
        return copy
    if not rest and value is REMOVED:
        return {name: member for name, member in body.items() if name != step}
    return {**body, step: _put(body.get(step), tuple(rest), value)}


_HUGE = 10**400
_ODD_TEXTS = [
    "\0",
    "\ud800",
    "\udfff\ud800",
    "\u202ecba",
    "\ufeff",
    "e\u0301",
    "\U0001f469\u200d\U0001f680",
    "\n",
]
_NUMBERS: list[Any] = [
    *(0, 1, -1, 7, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, _HUGE, -_HUGE),
    *(-0.0, 0.5, 1.0, 1.5, 5.0, 1e16, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf),
]
_TEXTS = ["", " ", "x", "5", " 5", "5.0", "\u0665", "true", "null", "x" * 5000, *_ODD_TEXTS]
_NO_JSON: list[Any] = [
    b"x",
    (),
    (1,),
    frozenset({1}),
    Decimal(5),
    Fraction(1, 2),
    5j,
    PurePosixPath("x"),
    object(),
]
# Values that are invalid in most places.
STRANGERS: list[Any] = [
    *(None, True, False, *_NUMBERS, *_TEXTS, *_NO_JSON),
    *([], [None], [[]], [{}], {}, {"x": 1}, {"0": "x"}),
]
_NEAR_URLS = [
    *(
        "https:",
        "https:/",
        "https://",
        "https:///x",
        "https://?x",
        "https://#x",
        "//example.com/a",
        "example.com/a",
    ),
    *(
        "ftp://example.com/a",
        "file:///etc/passwd",
        "HTTPS://example.com/a",
        "Http://example.com",
        "httpss://e.com",
    ),
    *(f" {URL}", f"{URL} ", f"{URL}\n", f"\n{URL}", f"{URL}\n{URL}", f"x{URL}", "http://e", "https://\ud800"),
    # Each is a space to some reader.
    *(
        f"https://e{blank}f/a"
        for blank in "\t\x0b\x0c\r\x1c\x1f\x85\xa0\u1680\u180e\u2003\u200b\u2028\u202f\u3000\ufeff\0"
    ),
    *(f"{URL}{blank}" for blank in "\t\x1c\x85\xa0\u2028\ufeff\0\ud800"),
    *("data:", "data:,x", "data:image/png,x", "data:image/png;base64,", "data:image/png;base64,AA"),
    *(
        "data:image/png;base64,iVBORw0KGgo=",
        "data:;base64,iVBORw0KGgo=",
        "DATA:image/png;base64,iVBORw0KGgo=",
    ),
    *("data:image/png;base64,iVBORw0KGgo", "data:image/png;base64,iVBO Rw0K Ggo=", f"data:text/html,{URL}"),
    *(make_png(), b"", "\\\\host\\share", "https://e.com/" + "a" * 5000),
]
_STRANGE_NAMES: list[Any] = [
    "zzz",
    "",
    "adapter",
    "model_config",
    "__class__",
    "self",
    "a.b",
    "\ud800",
    "\0",
    1,
    None,
]


def edits(schema: Schema, body: Mapping[str, Any]) -> Iterator[Edit]:
    """Yield every single edit of an input that the packaged schema of a model allows."""
    yield from _edits(schema, dict(body), ())
    for rule in schema.get("x-kling", {}).get("rules", ()):
        kind, content = split_rule(rule)
        if kind == "references":
            yield from _mentions(content, schema, body)
        elif kind == "sum":
            yield from (Edit((), situation) for situation in _sums(content, schema, body))
        elif kind == "when":
            yield from (Edit((), situation) for situation in _conditional(content, schema, body))
        else:
            yield from (
                Edit((), situation) for situation in _situations(kind, content, schema["properties"], body)
            )


def _edits(schema: Schema, value: Any, place: Place) -> Iterator[Edit]:
    """Yield the edits of a part; the value of a missing one is None."""
    for replacement in (*STRANGERS, *_near_values(schema, value)):
        yield Edit(place, replacement)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield Edit(place, [*value[:index], *value[index + 1 :]])
            yield from _edits(schema["items"], item, (*place, index))
    if isinstance(value, dict):
        yield from _members(schema, value, place)


def _members(schema: Schema, value: dict[str, Any], place: Place) -> Iterator[Edit]:
    for name in _STRANGE_NAMES:
        yield Edit((*place, name), 1)
    for name, part in schema["properties"].items():
        if name in value:
            yield Edit((*place, name), REMOVED)
        else:
            yield Edit((*place, name), least(part))
        yield from _edits(part, value.get(name), (*place, name))
        old_names = part.get("x-kling", {}).get("renamed_from", ())
        similar = {f"{name}_", f"{name} ", name.upper(), name.capitalize(), f"_{name}", *old_names}
        for twin in sorted(similar - {name}):
            # Beside the name, and instead of it.
            yield Edit((*place, twin), least(part))
            if name in value:
                yield Edit(place, {(twin if key == name else key): member for key, member in value.items()})


def _near_values(schema: Schema, value: Any) -> Iterator[Any]:
    """Yield values that are nearly allowed."""
    for choice in schema.get("enum", ()):
        yield from _near_choices(choice)
    for kind in kinds_of(schema):
        yield from _near_values_of_kind(schema, kind, value)


def _near_values_of_kind(schema: Schema, kind: str, value: Any) -> Iterator[Any]:
    match kind:
        case "string" if "pattern" in schema:
            yield from _NEAR_URLS
        case "string":
            yield from _texts(schema, value)
        case "integer" | "number":
            yield from _numbers(schema, value)
        case "array":
            yield from _lists(schema, value)
        case "object" if isinstance(value, dict):
            yield from ([value], list(value.items()), list(value), json.dumps(value, default=str))
        case _:
            pass


def _near_choices(choice: Any) -> Iterator[Any]:
    yield from (choice, [choice], {str(choice): choice}, str(choice), repr(choice))
    if isinstance(choice, bool):
        yield from (int(choice), float(choice), str(choice).lower(), not choice)
    elif isinstance(choice, int):
        yield from (float(choice), choice + 1, choice - 1, choice + 0.5, -choice, Decimal(choice))
    text = str(choice)
    yield from (
        f"{text} ",
        f" {text}",
        f"{text}\n",
        f"0{text}",
        f"+{text}",
        f"{text}.0",
        f"{text}\0",
        text[:-1],
    )
    yield from (text.upper(), text.lower(), text.capitalize(), text.swapcase(), text.encode())
    if text.isdecimal():
        # In other digits, too: int() takes them.
        yield from (int(text), float(text), "".join(chr(0x660 + int(digit)) for digit in text))


def _texts(schema: Schema, value: Any) -> Iterator[str]:
    for bound in (schema.get("minLength"), schema.get("maxLength")):
        for length in () if bound is None else (bound - 1, bound, bound + 1):
            # A character is a code point: of one unit in UTF-16 or of two, combining or not.
            for letters in ("a", "ä", "\U0001f600", "e\u0301"):
                yield (letters * max(length, 0))[: max(length, 0)]
    if isinstance(value, str):
        yield from (value + odd for odd in _ODD_TEXTS)


def _numbers(schema: Schema, value: Any) -> Iterator[Any]:
    for bound in (schema.get("minimum"), schema.get("maximum")):
        if bound is not None:
            yield from (bound, bound - 1, bound + 1, float(bound), str(bound), bound - 1e-9, bound + 1e-9)
            yield from (math.nextafter(bound, -math.inf), math.nextafter(bound, math.inf))
    if value is not None:
        yield from (str(value), [value], Decimal(str(value)))
        if abs(value) < 2**53:
            yield from (int(value), float(value))


def _lists(schema: Schema, value: Any) -> Iterator[Any]:
    items: Sequence[Any] = (isinstance(value, list) and value) or [least(schema["items"])]
    for bound in (schema.get("minItems"), schema.get("maxItems")):
        for count in () if bound is None else (bound - 1, bound, bound + 1):
            yield [items[index % len(items)] for index in range(count)]
    yield from ([*items, items[-1]], [items], items[0], tuple(items), dict(enumerate(items)), iter(items))
    yield {str(index): item for index, item in enumerate(items)}


def _mentions(rule: Mapping[str, str], schema: Schema, body: Mapping[str, Any]) -> Iterator[Edit]:
    """Yield texts that name the last item of a list, the item after it, and near numbers."""
    items = body.get(rule["list"], schema["properties"][rule["list"]].get("default")) or []
    before, after = rule["token"].split("{n}")
    for number in (
        0,
        1,
        len(items),
        len(items) + 1,
        10**9,
        "9" * 5000,
        "00",
        "0" * 9 + "1",
        f"0{len(items) + 1}",
    ):
        yield Edit((rule["field"],), f"{before}{number}{after}")
    yield Edit((rule["field"],), f"{before}1{after}{before}{len(items) + 1}{after}")
    for near in ("\u0661", "\u00b2", "-1", "+1", " 1", "1.5", "x", "", "{n}"):
        yield Edit((rule["field"],), f"{before}{near}{after}")
    yield Edit((rule["field"],), f"{before}{len(items) + 1}{after}".swapcase())
    yield Edit((rule["field"],), f"{before}{len(items) + 1}")


def _conditional(rule: Mapping[str, Any], schema: Schema, body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield inputs with the condition of a rule satisfied, nearly satisfied or not, and its limits barely kept or broken."""
    holding = dict(body)
    for path, value in rule.get("equals", {}).items():
        holding = put_at(schema, holding, path, value[0] if isinstance(value, list) else value)
    for path in rule.get("present", ()):
        holding = put_at(schema, holding, path, least(find_part(path, schema)))
    bodies = [holding]
    for path, value in rule.get("equals", {}).items():
        near_choices = find_part(path, schema).get("enum", [least(find_part(path, schema))])
        choices = [*(value if isinstance(value, list) else [value]), *near_choices, None, REMOVED]
        bodies += [put_at(schema, holding, path, choice) for choice in choices]
    for path in rule.get("present", ()):
        bodies += [put_at(schema, holding, path, choice) for choice in (None, REMOVED)]
    for conditioned in bodies:
        yield conditioned
        for key, affected in rule["then"].items():
            for path in affected:
                limit = affected[path] if isinstance(affected, dict) else None
                for value in (*_near_limits(key, limit, find_part(path, schema)), None, REMOVED):
                    yield put_at(schema, conditioned, path, value)


def _sums(rule: Mapping[str, Any], schema: Schema, body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield inputs whose numbers barely add up or do not."""
    list_name, name = rule["of"].split(".")
    items = [dict(item) for item in body.get(list_name) or [least(schema["properties"][list_name]["items"])]]
    totals = [rule[key] for key in ("minimum", "maximum") if key in rule]
    if "equals" in rule:
        yield {**body, list_name: items, rule["equals"]: None}
        yield _put({**body, list_name: items}, (rule["equals"],), REMOVED)
        part = schema["properties"][rule["equals"]]
        totals += [body.get(rule["equals"], part.get("default", least(part))), least(part)]
    for total in totals:
        for step in (0, 1, -1, 0.1, -0.1):
            number = total + step
            yield {**body, list_name: [{**items[0], name: number}]}
            yield {**body, list_name: [{**items[0], name: number - 1}, {**items[0], name: 1}]}
            if isinstance(total, float) or step:
                yield {**body, list_name: [{**items[0], name: number / 2}, {**items[0], name: number / 2}]}
            if "equals" in rule:
                yield {**body, list_name: [{**items[0], name: number}], rule["equals"]: total}
    yield {**body, list_name: [{**items[0], name: 0.1}, {**items[0], name: 0.2}]}
    yield {**body, list_name: [_put(items[0], (name,), REMOVED)]}
    yield {**body, list_name: []}


def _near_limits(key: str, limit: Any, part: Schema) -> Iterator[Any]:
    yield least(part)
    if key == "allowed":
        yield from (*limit, *part.get("enum", ()))
    elif key in ("minimum", "maximum"):
        yield from (limit - 1, limit, limit + 1)
    elif limit is not None:
        item: Any = "é" if "length" in key else [least(part["items"])]
        yield from (item * (limit + step) for step in (-1, 0, 1) if limit < _LONGEST_SITUATION)


_LONGEST_SITUATION = 1000


def put_at(schema: Schema, body: Mapping[str, Any], path: str, value: Any) -> Any:
    """Return an input with the value at a path: in the first item of a list, in an object made for it if needed."""
    name, _, rest = path.partition(".")
    if rest:
        value = _put_inside(schema["properties"][name], body.get(name), rest, value)
    return _put(body, (name,), value)


def _put_inside(schema: Schema, holder: Any, path: str, value: Any) -> Any:
    if "items" in schema:
        first, *rest_items = holder if isinstance(holder, list) and holder else [None]
        return [_put_inside(schema["items"], first, path, value), *rest_items]
    return put_at(schema, holder if isinstance(holder, dict) else least(schema), path, value)


def _situations(
    kind: str, content: Any, parts: Mapping[str, Schema], body: Mapping[str, Any]
) -> Iterator[Any]:
    """Yield inputs in which a rule is barely satisfied or barely broken."""
    if kind == "requires":
        present, equals = content.get("present", ()), content.get("equals", {})
        needed = {name: least(parts[name]) for name in present} | dict(equals)
        satisfied = {**body, **needed, content["field"]: least(parts[content["field"]])}
        yield satisfied
        for name in needed:
            yield _put(satisfied, (name,), REMOVED)
            yield {**satisfied, name: None}
            yield from (
                {**satisfied, name: choice} for choice in parts[name].get("enum", [least(parts[name])])
            )
            yield {**_put(satisfied, (name,), REMOVED), content["field"]: None}
    elif kind in ("at_least_one_of", "mutually_exclusive", "exactly_one_of"):
        without = {name: value for name, value in body.items() if name not in content}
        yield without
        yield {**without, **dict.fromkeys(content)}
        for first in content:
            yield {**without, first: least(parts[first])}
            for second in content:
                yield {**without, first: least(parts[first]), second: least(parts[second])}
                yield {**without, first: least(parts[first]), second: None}
