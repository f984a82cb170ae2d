"""Changes of random specs, each with the expected report of `kling-codegen diff`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from .spec_schemas import PLAIN_NAMES, Schema
from .specs import Spec, documents


@dataclass(frozen=True)
class Change:
    """Two specs with one difference, and the report of `diff`: level, path and kind."""

    old: Spec
    new: Spec
    report: tuple[str, str, str]


@st.composite
def changes(draw: DrawFn) -> list[Change]:
    """Draw a spec and one change of each kind that it can have, at the top and further down."""
    # Examples and rules would have to follow the change.
    spec = {key: value for key, value in draw(documents()).items() if key not in ("examples", "rules")}
    kinds: dict[tuple[str, str, bool], list[tuple[str, str, str]]] = {}
    for level, path, kind_name in _possible_changes(spec):
        kinds.setdefault((level, kind_name, "." in path), []).append((level, path, kind_name))
    drawn: list[Change] = []
    for kind in sorted(kinds):
        report, new = draw(st.sampled_from(kinds[kind])), copy.deepcopy(spec)
        _possible_changes(new)[report]()
        drawn.append(Change(spec, new, report))
    return drawn


def _possible_changes(spec: Spec) -> dict[tuple[str, str, str], Callable[[], Any]]:
    """Return the possible changes by their reports."""
    places = [_Place(*place_fields) for place_fields in _places(spec["input"], "")]
    return {
        **{report: edit for place in places for report, edit in _edits(place)},
        ("documentation", "", "summary"): lambda: spec.update(summary="Another one."),
        ("documentation", "", "latency_seconds"): lambda: spec.update(latency_seconds=77),
        **_retirements(spec),
        ("breaking", "", "returns"): lambda: spec.update(
            returns="text" if spec["returns"] != "text" else "audio"
        ),
    }


@dataclass(frozen=True)
class _Place:
    """A parameter at any depth; `holder` is its object."""

    path: str
    name: str
    schema: Schema
    holder: Schema
    free: bool  # whether no default has to fit it


def _places(holder: Schema, path: str) -> Iterator[tuple[str, str, Schema, Schema, bool]]:
    for name, schema in holder["properties"].items():
        at, inner, free = f"{path}.{name}".removeprefix("."), schema, not schema.get("default")
        inner = schema.get("or", schema)
        yield at, name, schema, holder, free
        while "items" in inner:
            at, inner = f"{at}[]", inner["items"]
            yield at, "", inner, {}, free
            # A default of the items, which is ignored, has to fit their own items, too.
            free = free and not inner.get("default")
        if "properties" in inner:
            yield from _places(inner, at)


def _edits(place: _Place) -> Iterator[tuple[tuple[str, str, str], Callable[[], Any]]]:  # noqa: C901, PLR0912  a list
    """Yield the possible changes of a parameter, with their reports."""
    schema, holder, path = place.schema, place.holder, place.path
    choices = [value for value in schema.get("enum", ()) if value is not None]
    if place.name:
        yield (
            ("documentation", path, "description"),
            lambda: schema.update(description="Something else than before."),
        )
        if "." not in path and place.name in PLAIN_NAMES and "properties" not in str(schema):
            yield ("warning", "zz_later", "name"), lambda: _rename(holder, place.name)
        if "deprecated" in schema:
            yield ("additive", path, "deprecated"), lambda: schema.pop("deprecated")
            yield (
                ("documentation", path, "deprecated"),
                lambda: schema["deprecated"].update(since="2031-12-24"),
            )
        elif place.name not in holder.get("required", ()):
            yield ("warning", path, "deprecated"), lambda: schema.update(deprecated={"since": "2026-01-31"})
        if "renamed_from" in schema:
            yield ("breaking", path, "old name"), lambda: _forget_old_name(schema)
        if "default" in schema:
            yield ("warning", path, "default"), lambda: schema.pop("default")
        elif place.name in holder.get("required", ()):
            yield ("additive", path, "required"), lambda: holder["required"].remove(place.name)
        elif "deprecated" not in schema:
            yield (
                ("breaking", path, "required"),
                lambda: holder.update(required=[*holder.get("required", ()), place.name]),
            )
    if "properties" in schema:
        yield (
            ("additive", f"{path}.zz_new", "parameter"),
            lambda: schema["properties"].update(zz_new={"type": "string"}),
        )
    if isinstance(schema["type"], str):
        yield (
            ("additive", path, "nullable"),
            lambda: schema.update(
                type=[schema["type"], "null"], **({"enum": [*schema["enum"], None]} if choices else {})
            ),
        )
    if choices and schema["type"] not in ("boolean", ["boolean", "null"]):
        new = (
            min(choices) + 1
            if isinstance(choices[0], int)
            else "77"
            if all(map(str.isdigit, choices))
            else "zz"
        )
        if new not in choices:
            yield ("additive", path, "enum"), lambda: schema["enum"].append(new)
    if len(choices) > 1 and place.free and "default" not in schema:
        yield ("breaking", path, "enum"), lambda: schema["enum"].remove(choices[0])
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        for key, step in ((low, 1), (high, -1)):
            if key not in schema or schema[key] + step == schema[key]:
                continue
            narrow, wide = schema[key] + step, schema[key] - step
            fits = schema.get(low, narrow) <= narrow <= schema.get(high, narrow)
            if fits and place.free and "default" not in schema and (narrow >= 0 or low == "minimum"):
                yield ("breaking", path, key), partial(schema.update, {key: narrow})
            if wide >= 0 or low == "minimum":
                yield ("additive", path, key), partial(schema.update, {key: wide})


def _rename(holder: Schema, name: str) -> None:
    """Give a parameter another name, and accept the present one and all earlier ones."""
    properties: Schema = holder["properties"]
    members = {"zz_later" if key == name else key: part for key, part in properties.items()}
    members["zz_later"]["renamed_from"] = [name, *members["zz_later"].get("renamed_from", ())]
    holder["properties"] = members
    if name in holder.get("required", ()):
        holder["required"] = ["zz_later" if key == name else key for key in holder["required"]]


def _forget_old_name(schema: Schema) -> None:
    schema["renamed_from"].pop()
    if not schema["renamed_from"]:
        del schema["renamed_from"]


def _retirements(spec: Spec) -> dict[tuple[str, str, str], Callable[[], Any]]:
    """Return the possible changes of the retirement of a model."""
    if "retired" not in spec:
        return {("breaking", "", "retired"): lambda: spec.update(retired={"since": "2026-01-31"})}
    return {
        ("additive", "", "retired"): lambda: spec.pop("retired"),
        ("documentation", "", "retired"): lambda: spec["retired"].update(since="2031-12-24"),
    }
