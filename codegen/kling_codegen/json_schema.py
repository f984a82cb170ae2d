"""The packaged JSON Schema (2020-12) of a model; the facts that JSON Schema cannot express are under x-kling."""

from __future__ import annotations

from typing import Any

from pydantic import MISSING

from kling_codegen.keywords import HTTP_URL
from kling_codegen.language import Spec
from kling_codegen.rules.rule import iter_conditions

# The keys of a parameter that JSON Schema does not have; a validator might refuse them.
_OWN_KEYS = ("media", "renamed_from", "deprecated")


def build_json_schema(spec: Spec) -> dict[str, Any]:
    """Return the JSON Schema of the parameters of a model."""
    plain = spec.model_dump(mode="json", exclude_unset=True, by_alias=True)
    conditions = [condition for _, condition in iter_conditions(spec.rules)]
    schemas = [condition.json_schema(spec.input.properties) for condition in conditions]
    standard_forms = [schema for schema in schemas if schema]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec.title,
        "description": spec.summary,
        "type": "object",
        # No stored copy shows whether a partial model has more parameters.
        "additionalProperties": spec.source.unseen is not MISSING,
        "required": plain["input"].get("required", []),
        "properties": {name: _write_out(part) for name, part in plain["input"]["properties"].items()},
        **({"allOf": standard_forms} if standard_forms else {}),
        "examples": [example["input"] for example in plain.get("examples", [])],
        "x-kling": {
            "slug": spec.slug,
            "returns": spec.returns,
            "latency_seconds": spec.latency_seconds,
            **({"pricing": plain["pricing"]} if "pricing" in plain else {}),
            **({"retired": plain["retired"]} if "retired" in plain else {}),
            # The key of the kind comes first: readers find the kind by it.
            "rules": [
                {**rule, "text": condition.text()}
                for rule, condition in zip(plain.get("rules", []), conditions, strict=True)
            ],
            "discrepancies": plain.get("discrepancies", []),
            "source": plain["source"],
        },
    }


def _write_out(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the constraints that the spec language implies: the pattern of a URI, and closed objects.

    Two forms become one schema with the types of both: every other keyword is about one of these types.
    """
    complete = {key: value for key, value in schema.items() if key not in _OWN_KEYS}
    if extension := {key: schema[key] for key in _OWN_KEYS if key in schema}:
        complete["x-kling"] = extension
    if "deprecated" in schema:
        complete["deprecated"] = True
    if "or" in complete:
        form = complete.pop("or")
        kinds = [complete["type"]] if isinstance(complete["type"], str) else complete["type"]
        complete |= {**form, "type": [*kinds, form["type"]]}
    if complete.get("format") == "uri":
        complete["pattern"] = HTTP_URL
    if "items" in complete:
        complete["items"] = _write_out(complete["items"])
    if "properties" in complete:
        complete["additionalProperties"] = False
        complete["properties"] = {name: _write_out(part) for name, part in complete["properties"].items()}
    return complete
