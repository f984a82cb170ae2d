"""The rules of a spec, judged as specs/README.md describes them under "A rule".

Written from that text alone, as an oracle for the rules of `kling_adapters` and of the sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any


def broken_rules(schema: Mapping[str, Any], body: Mapping[str, Any]) -> set[str]:
    """Return the parameters at which a body breaks the rules that the packaged schema of a model has."""
    return {
        name for rule in schema.get("x-kling", {}).get("rules", ()) for name in _broken(rule, schema, body)
    }


def _broken(rule: Mapping[str, Any], schema: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    [(kind, content)] = rule.items()
    if kind == "requires":
        if _is_set(content["field"], body) and not (
            all(_is_set(name, body) for name in content.get("present", ()))
            and all(
                _same(_value(name, schema, body), expected)
                for name, expected in content.get("equals", {}).items()
            )
        ):
            yield content["field"]
    elif kind == "references":
        text, items = _value(content["field"], schema, body), _value(content["list"], schema, body)
        items = [] if items is None else items
        # Other types break the schema, and there is nothing to count.
        numbers = (
            _numbers(content["token"], text) if isinstance(text, str) and isinstance(items, list) else []
        )
        if any(not 1 <= number <= len(items) for number in numbers):
            yield content["field"]
    elif kind == "at_least_one_of":
        if not any(_is_set(name, body) for name in content):
            yield content[0]
    elif kind == "mutually_exclusive":
        yield from [name for name in content if _is_set(name, body)][1:]
    elif kind != "max_bytes":  # about local files, which no body holds
        raise NotImplementedError(kind)


def _is_set(name: str, body: Mapping[str, Any]) -> bool:
    return body.get(name) is not None


def _value(name: str, schema: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    return body[name] if name in body else schema["properties"][name].get("default")


def _same(value: Any, expected: Any) -> bool:
    """Compare as JSON: true is not 1, and 1.0 is."""
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)


def _numbers(token: str, text: str) -> list[float]:
    """Return the item numbers in a text; float() reads any number of digits."""
    before, after = map(re.escape, token.split("{n}"))
    return [float(number) for number in re.findall(f"{before}([0-9]+){after}", text)]
