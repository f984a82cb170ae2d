"""The rules of a spec, judged as the prose of specs/README.md says, under "A rule".

Written from that prose, before reading any code that judges rules, so that it can be set against both: that of
`kling_adapters` and that of the sandbox. What the prose had left open (null beside a default, zeros before a number, a
list that is none) was decided there first.
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
    [(kind, says)] = rule.items()
    if kind == "requires":
        if _given(says["field"], body) and not (
            all(_given(name, body) for name in says.get("present", ()))
            and all(
                _same(_value(name, schema, body), wanted) for name, wanted in says.get("equals", {}).items()
            )
        ):
            yield says["field"]
    elif kind == "references":
        text, items = _value(says["field"], schema, body), _value(says["list"], schema, body)
        items = [] if items is None else items
        # What is no text and no list breaks the schema, and there is nothing to count.
        named = _numbers(says["token"], text) if isinstance(text, str) and isinstance(items, list) else []
        if any(not 1 <= number <= len(items) for number in named):
            yield says["field"]
    elif kind == "at_least_one_of":
        if not any(_given(name, body) for name in says):
            yield says[0]
    elif kind == "mutually_exclusive":
        yield from [name for name in says if _given(name, body)][1:]
    elif kind != "max_bytes":  # which is about local files, and no body holds one
        raise NotImplementedError(kind)


def _given(name: str, body: Mapping[str, Any]) -> bool:
    return body.get(name) is not None


def _value(name: str, schema: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    return body[name] if name in body else schema["properties"][name].get("default")


def _same(value: Any, wanted: Any) -> bool:
    """As JSON has it: true is not 1, and 1.0 is."""
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _numbers(token: str, text: str) -> list[float]:
    """The numbers by which a text names items; float() reads as many digits as there are."""
    before, after = map(re.escape, token.split("{n}"))
    return [float(found) for found in re.findall(f"{before}([0-9]+){after}", text)]
