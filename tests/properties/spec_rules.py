"""Random rules about the parameters of an input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.properties.spec_schemas import NO_VALUE, Schema, numbers, values

from .prose_rules import LIMITS


@st.composite
def rules(draw: DrawFn, schema_input: Schema) -> list[Schema]:
    """Draw rules of each kind whose parameters suit them."""
    properties = schema_input["properties"]
    parameter_names = list(properties)
    bare = {
        name: part["type"] if isinstance(part["type"], str) else part["type"][0]
        for name, part in properties.items()
    }
    strings = [name for name in parameter_names if bare[name] == "string"]
    arrays = [name for name in parameter_names if bare[name] == "array" or "or" in properties[name]]
    links = [path for path, part in nested_paths(properties) if "format" in part]
    free = [name for name in parameter_names if name not in schema_input.get("required", ())]
    tokens = st.sampled_from(
        ["@Image{n}", "<<<v_{n}>>>", "{n}.", "({n})", "'{n}\\", '"{n}"', "{{n}}", "[{n}]", "日{n}"]
    )
    kinds: list[SearchStrategy[Schema]] = []
    if parameter_names:
        kinds.append(requirements(properties, parameter_names))
    if strings and arrays:
        reference = st.fixed_dictionaries(
            {"field": st.sampled_from(strings), "token": tokens, "list": st.sampled_from(arrays)}
        )
        kinds.append(reference.map(lambda rule: {"references": rule}))
    if links:
        limits = st.fixed_dictionaries(
            {"field": st.sampled_from(links), "bytes": st.sampled_from([100, 52428800, 2**64])}
        )
        kinds.append(limits.map(lambda rule: {"max_bytes": rule}))
    if scopes := _scopes(properties, schema_input.get("required", ())):
        kinds.append(st.sampled_from(scopes).flatmap(conditions))
    if numbers_in_items := _numbers_in_items(properties):
        kinds.append(sums(properties, numbers_in_items))
    if len(free) > 1:
        groups = st.lists(st.sampled_from(free), min_size=2, max_size=4, unique=True)
        kinds += [
            groups.map(lambda names: {"at_least_one_of": names}),
            groups.map(lambda names: {"mutually_exclusive": names}),
            groups.map(lambda names: {"exactly_one_of": names}),
        ]
    # Two rules about the same parameters would repeat each other.
    return draw(st.lists(st.one_of(kinds), max_size=3, unique_by=_subject)) if kinds else []


def nested_paths(properties: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the path and the schema of every parameter that a path can name."""
    for name, part in properties.items():
        if "." in name:
            continue
        yield name, part
        inner = part.get("or", part)
        while "items" in inner:
            inner = inner["items"]
        yield from ((f"{name}.{path}", below) for path, below in nested_paths(inner.get("properties", {})))


def _subject(rule: Schema) -> str:
    [(kind, has_required)] = rule.items()
    if kind == "when":
        return f"when {sorted(has_required.get('equals', ()))} {sorted(has_required.get('present', ()))}"
    if kind == "sum":
        return f"sum {has_required['of']}"
    return f"{kind} {has_required['field'] if kind == 'requires' else sorted(map(str, has_required.values() if isinstance(has_required, dict) else has_required))}"


@st.composite
def requirements(draw: DrawFn, properties: Schema, parameter_names: list[str]) -> Schema:
    """Draw a rule `requires`."""
    present = draw(st.lists(st.sampled_from(parameter_names), max_size=2, unique=True))
    # A file is never equal to anything.
    comparable = [name for name in parameter_names if "format" not in str(properties[name])]
    compared = draw(st.lists(st.sampled_from(comparable), max_size=2, unique=True)) if comparable else []
    drawn = {name: draw(values(properties[name])) for name in compared}
    equals = {name: value for name, value in drawn.items() if value is not NO_VALUE}
    rule: Schema = {"field": draw(st.sampled_from(parameter_names))}
    if present or not equals:
        rule["present"] = present or [parameter_names[0]]
    if equals:
        rule["equals"] = equals
    return {"requires": rule}


Candidate: TypeAlias = tuple[str, Schema, bool]
"""The path of a parameter, its schema, and whether its object requires it."""


def _scopes(properties: Schema, required: Sequence[str]) -> list[list[Candidate]]:
    """Return the parameters that one rule can name together: those outside lists, and those in one list beside them."""
    lists: dict[str, list[Candidate]] = {"": []}
    _collect(properties, required, "", "", lists)
    return [scope for scope in ([*lists[""], *lists[path]] if path else lists[""] for path in lists) if scope]


def _collect(
    properties: Schema,
    required: Sequence[str],
    before: str,
    list_path: str,
    lists: dict[str, list[Candidate]],
) -> None:
    for name, part in properties.items():
        if "." in name:
            continue
        lists.setdefault(list_path, []).append((f"{before}{name}", part, name in required))
        inner = part
        while "items" in inner:
            inner = inner["items"]
        if "properties" in inner:
            below = f"{before}{name}" if inner is not part else list_path
            _collect(inner["properties"], inner.get("required", ()), f"{before}{name}.", below, lists)


@st.composite
def conditions(draw: DrawFn, scope: list[Candidate]) -> Schema:
    """Draw a rule `when` about parameters of a scope."""
    comparable = [(path, part) for path, part, _ in scope if _is_comparable(part)]
    equals: Schema = {}
    for path, part in draw(st.lists(st.sampled_from(comparable), max_size=2)) if comparable else []:
        choices = draw(st.lists(values(part), min_size=1, max_size=3, unique_by=repr))
        choices = [value for value in choices if value is not NO_VALUE]
        if choices:
            equals[path] = choices[0] if draw(st.booleans()) else choices
    names = [path for path, _, _ in scope]
    present = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    if not equals and not present:
        present = [names[0]]
    then: Schema = {}
    for path, part, is_required in draw(st.lists(st.sampled_from(scope), min_size=1, max_size=3)):
        keys = ["required", *([] if is_required else ["forbidden"]), *_limits_of(part)]
        if path in then.get("forbidden", ()):
            continue
        _add_consequence(draw, then, draw(st.sampled_from(keys)), path, part)
    condition = {key: part for key, part in (("equals", equals), ("present", present)) if part}
    return {"when": {**condition, "then": then}}


def _numbers_in_items(properties: Schema) -> list[str]:
    """Return the paths of numbers in the items of lists of objects."""
    lists = {
        name: part["items"]["properties"]
        for name, part in properties.items()
        if "." not in name and "properties" in part.get("items", {})
    }
    return [
        f"{name}.{inner}"
        for name, parts in lists.items()
        for inner, part in parts.items()
        if "." not in inner and {"integer", "number"} & {*_types(part)}
    ]


@st.composite
def sums(draw: DrawFn, properties: Schema, numbers_in_items: list[str]) -> Schema:
    """Draw a rule `sum`."""
    totals = [
        name
        for name, part in properties.items()
        if "." not in name and {"integer", "number"} & {*_types(part)}
    ]
    bounds = sorted([draw(numbers("number")), draw(numbers("number"))])
    whole = {
        **({"equals": draw(st.sampled_from(totals))} if totals else {}),
        "minimum": bounds[0],
        "maximum": bounds[1],
    }
    chosen = draw(st.sets(st.sampled_from(list(whole)), min_size=1))
    limits = {key: part for key, part in whole.items() if key in chosen}
    return {"sum": {"of": draw(st.sampled_from(numbers_in_items)), **limits}}


def _is_comparable(part: Schema) -> bool:
    return not {"array", "object"} & {*_types(part)} and not {"format", "or"} & part.keys()


def _types(part: Schema) -> list[str]:
    return part["type"] if isinstance(part["type"], list) else [part["type"]]


def _limits_of(part: Schema) -> list[str]:
    kind = _types(part)[0]
    keys = {
        "integer": ["minimum", "maximum"],
        "number": ["minimum", "maximum"],
        "array": ["min_items", "max_items"],
    }
    keys["string"] = ["min_length", "max_length"]
    if "format" in part:
        return []
    return [*keys.get(kind, []), *(["allowed"] if _is_comparable(part) else [])]


def _add_consequence(draw: DrawFn, then: Schema, key: str, path: str, part: Schema) -> None:
    if any(path in affected for affected in then.values()) and key == "forbidden":
        return
    if key in ("required", "forbidden"):
        then[key] = list(dict.fromkeys([*then.get(key, []), path]))
    elif key == "allowed":
        choices = draw(st.lists(values(part), min_size=1, max_size=3, unique_by=repr))
        if choices := [value for value in choices if value is not NO_VALUE]:
            then.setdefault(key, {})[path] = choices
    elif not any(path in then.get(limit, {}) for limit in LIMITS):
        limit = draw(numbers("integer" if _types(part)[0] == "integer" else "number"))
        then.setdefault(key, {})[path] = limit if "_" not in key else draw(st.sampled_from([0, 1, 3, 60]))
    if not then:
        then["required"] = [path]
