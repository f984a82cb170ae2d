"""Random specs: everything that specs/README.md allows, corner cases included.

A spec is plain data, as a YAML reader gives it. Nothing here asks the compiler what is allowed.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, TypeAlias

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.properties.spec_rules import rules
from tests.properties.spec_schemas import NO_VALUE, URLS, lines, objects, rename_some, texts, values

from .prose_rules import broken_rules

Spec: TypeAlias = dict[str, Any]


SLUG_PARTS = [
    "kling",
    "a",
    "x1",
    "2",
    "9",
    "5",
    "turbo",
    "pro",
    "image2video",
    "class",
    "none",
    "v2",
    "schemas",
    "params",
    "0",
]


def slugs() -> SearchStrategy[str]:
    """Draw a slug. Its name in Python is not a keyword or a name of the generated code."""
    first, parts = (
        st.sampled_from(["kling", "k", "int", "x9", "zz"]),
        st.lists(st.sampled_from(SLUG_PARTS), min_size=1, max_size=3),
    )
    joins = st.lists(st.sampled_from("-."), min_size=3, max_size=3)
    return st.builds(
        lambda head, tail, marks: head + "".join(map("".join, zip(marks, tail, strict=False))),
        first,
        parts,
        joins,
    )


@st.composite
def documents(draw: DrawFn) -> Spec:
    """Draw a whole spec that the language allows."""
    schema_input = draw(objects(0))
    rename_some(draw, schema_input["properties"])
    prices = st.sampled_from([0, 0.05, 1, 0.504, 1e6, 1e-7])
    units = st.sampled_from(["generation", "second", "minute", "image", "megapixel"])
    spec: Spec = {
        "slug": draw(slugs()),
        "title": draw(lines(100)),
        "summary": draw(lines(99).filter(lambda line: line.strip("."))).rstrip(".") + ".",
        "returns": draw(st.sampled_from(["video", "image", "audio", "text"])),
        "latency_seconds": draw(st.sampled_from([None, 1, 60, 193.06, 0.5, 1e-7, 1e20, 86400])),
        "source": {
            "page": draw(st.sampled_from(URLS)),
            "document": draw(texts(30)),
            "read": draw(st.dates(date(1970, 1, 1)) | st.dates(date(1970, 1, 1)).map(date.isoformat)),
        },
        "input": schema_input,
        "rules": draw(rules(schema_input)),
    }
    if draw(st.integers(0, 3)) == 0:
        since = draw(st.dates(date(1970, 1, 1)).map(date.isoformat))
        spec["retired"] = {"since": since, **draw(st.sampled_from([{}, {"use": "next-1"}]))}
    if draw(st.booleans()):
        low, high = sorted([draw(prices), draw(prices)])
        spec["pricing"] = {
            "currency": draw(st.sampled_from(["USD", "EUR"])),
            "from": low,
            "to": high,
            "unit": draw(units),
            **draw(st.sampled_from([{}, {"approximate": True}])),
        }
    if draw(st.integers(0, 3)) == 0:
        spec["source"]["unseen"] = draw(texts())
    if draw(st.booleans()):
        shown = st.fixed_dictionaries({"document": texts(30), "shows": texts()})
        spec["source"]["evidence"] = draw(st.lists(shown, min_size=1, max_size=2))
    examples = [
        value
        for value in draw(st.lists(values({"type": "object", **schema_input}), max_size=2))
        if value is not NO_VALUE
    ]
    judge = {"properties": schema_input["properties"], "x-kling": {"rules": spec["rules"]}}
    spec["examples"] = [
        {"name": draw(texts(40)), "input": value} for value in examples if not broken_rules(judge, value)
    ]
    abouts = st.sampled_from(["title", "tagline", *schema_input["properties"]])
    entry = st.fixed_dictionaries({"about": abouts, "page": texts(), "decision": texts()})
    spec["discrepancies"] = draw(st.lists(entry, max_size=2))
    silence = st.fixed_dictionaries(
        {"silence": st.sampled_from(["no-example", "no-description", "placeholder"]), "reason": texts()},
        optional={"about": abouts},
    )
    spec["lint"] = draw(st.lists(silence, max_size=1))
    for key in ("rules", "examples", "discrepancies", "lint"):
        if not spec[key] and draw(st.booleans()):
            del spec[key]
    return spec


def catalogs(longest: int = 3) -> SearchStrategy[list[Spec]]:
    """Draw specs that can stand beside each other."""
    return st.lists(
        documents(), min_size=1, max_size=longest, unique_by=lambda spec: re.sub("[.-]", "", spec["slug"])
    )


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes every text or writes a block, because PyYAML writes YAML 1.1."""

    quotes = '"'

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        # Where a block cannot stand, PyYAML leaves out quotes that YAML 1.2 needs; and a few characters end a line
        # only in YAML 1.1.
        quotes = self.quotes if re.fullmatch(r"[^\x85\u2028\u2029]* [^\x85\u2028\u2029]*", data) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=quotes)


_Dumper.add_representer(str, _Dumper.text)


def to_yaml(spec: Any, quotes: str = '"', *, flow: bool = False) -> str:
    """Return a spec as YAML, its texts in these quotes, or as blocks if that is `|` or `>`."""
    dumper = type("Dumper", (_Dumper,), {"quotes": quotes})
    return str(
        yaml.dump(
            spec, Dumper=dumper, sort_keys=False, default_flow_style=flow, allow_unicode=True, width=100
        )
    )
