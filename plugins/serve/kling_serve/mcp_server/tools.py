"""Tools of models, made from their JSON Schemas."""

from __future__ import annotations

import re
from typing import Final

import mcp_types as types

from kling_serve.claims import MAX_KEY
from kling_serve.models import Model, Models
from kling_serve.schemas import simplify_schema

JOB_TOOLS: Final = ("status", "wait", "list_jobs", "estimate")
"""Names of the tools for jobs, which are those of their methods."""
KEY: Final = "idempotency_key"
"""The argument that the tool of a model has beside the parameters."""
_KEY_TEXT: Final = (
    "Any text of your own. Repeating a call with the same key and parameters never starts a second job."
)
_MEDIA: Final = "An http(s) URL, or the absolute path of a file in a folder that the user has allowed."


def name_tools(models: Models) -> dict[str, str]:
    """Return the slug of each model by the name of its tool; some clients accept no dot in a name."""
    names: dict[str, str] = {}
    for slug in models:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", slug)[:60]
        while name in names or name in JOB_TOOLS:
            name += "_"
        names[name] = slug
    return names


def describe_model(name: str, model: Model) -> types.Tool:
    """Return the tool of a model."""
    schema = simplify_schema(model.schema, _MEDIA)
    schema["properties"][KEY] = {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY,
        "description": _KEY_TEXT,
    }
    rules = [rule["text"] for rule in model.facts.get("rules", ()) if "text" in rule]
    latency = model.entry.latency
    summary = model.schema.get("description", model.title)
    start = f"{summary} Starts a paid job that makes one {model.returns}, and returns its id at once. Then call `wait`."
    parts = [start, f"Usually takes about {latency:.0f} seconds." if latency else "", *rules]
    return types.Tool(
        name=name,
        title=model.title,
        description="\n".join(part for part in parts if part),
        input_schema=schema,
        execution=types.ToolExecution(task_support="optional"),
        annotations=types.ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True),
    )
