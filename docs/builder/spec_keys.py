"""The reference of the keys of specs, from the JSON Schemas that editors use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from docs.builder.navigation import ROOT

Schema: TypeAlias = Mapping[str, Any]


def describe_spec_keys() -> str:
    """Return the page of the keys of a spec, of gateway.yaml and of catalogue.yaml."""
    lines = [
        "# Keys of a spec",
        "",
        "From the JSON Schemas in `specs/schema`, which editors use. [specs/README.md](../../specs/README.md) explains the",
        "keys with examples. A key marked \\* is required.",
        "",
    ]
    for name, title in (("spec", "A model"), ("gateway", "gateway.yaml"), ("catalogue", "catalogue.yaml")):
        schema = json.loads((ROOT / "specs" / "schema" / f"{name}.schema.json").read_text("utf-8"))
        lines += [f"## {title}", "", schema.get("description", ""), "", *_table(schema)]
        for key, definition in schema["definitions"].items():
            if definition.get("properties"):
                lines += [
                    f"### {title}: {key}",
                    "",
                    definition.get("description", ""),
                    "",
                    *_table(definition),
                ]
    return "\n".join([*lines, ""])


def _table(schema: Schema) -> Iterator[str]:
    yield from ("| key | value | meaning |", "|---|---|---|")
    required = schema.get("required", ())
    for key, value in schema["properties"].items():
        mark = "\\*" if key in required else ""
        meaning = _cell(value.get("description", ""))
        yield f"| `{key}`{mark} | {_cell(_describe_value(value))} | {meaning} |"
    yield ""


def _describe_value(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_describe_value(choice) for choice in schema[key]))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    return _describe_type(schema)


def _describe_type(schema: Schema) -> str:
    kinds: str | list[str] = schema.get("type", "any value")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "items" in schema:
        text = f"list of {_describe_value(schema['items'])}"
    elif isinstance(schema.get("additionalProperties"), Mapping):
        text = f"mapping of names to {_describe_value(schema['additionalProperties'])}"
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "minItems": "items at least",
        "maxItems": "items at most",
        "maxLength": "characters at most",
        "pattern": "matches",
    }
    bounds = [f"{words} `{schema[key]}`" for key, words in limits.items() if key in schema]
    return ", ".join([text, *bounds])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
