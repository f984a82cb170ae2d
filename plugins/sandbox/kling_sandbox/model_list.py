"""The gateway's list of models, in the shape that public clients of the gateway read."""

from collections.abc import Mapping
from typing import Any, Final

from kling_sandbox.validation import Schema

PATH: Final = "/inference-model-information/list"
NAME: Final = "Inference Segmind Model Information List With Details"
"""The member of the answer that has the models."""


def make_model_list(schemas: Mapping[str, Schema]) -> dict[str, list[dict[str, Any]]]:
    """Return the answer for models by slug; a retired model is not on the list."""
    offered = {slug: schema for slug, schema in schemas.items() if "retired" not in schema["x-kling"]}
    return {NAME: [_describe_model(slug, schema) for slug, schema in offered.items()]}


def _describe_model(slug: str, schema: Schema) -> dict[str, Any]:
    about = schema["x-kling"]
    takes_media = any("format" in part for part in schema.get("properties", {}).values())
    return {
        "slug": slug,
        "title": schema["title"],
        "description": schema.get("description", ""),
        "type": f"{'image' if takes_media else 'text'}To{about['returns'].capitalize()}",
        "average_latency": about.get("latency_seconds"),
    }
