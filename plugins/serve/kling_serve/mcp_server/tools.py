"""Tools: one for each model, made from its JSON Schema, and those for jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from mcp_types import Tool, ToolAnnotations

from kling_serve.models import Model, Models

MAX_WAIT: Final = 50.0
"""Longest wait of one call, in seconds; clients give up after a minute."""
_JOB_ID: Final = {"type": "string", "description": "The id of a job, as a model's tool returned it."}
KEY: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "Any text of your own. Repeating a call with the same key and parameters never starts a second job.",
}
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


def list_tools(models: Models) -> list[Tool]:
    """Return every tool."""
    tools = [_describe_model(name, models[slug]) for name, slug in name_tools(models).items()]
    return [*JOB_TOOLS.values(), *(tool for tool in tools if tool is not None)]


def _describe_model(name: str, model: Model) -> Tool | None:
    if model.is_retired:
        return None
    schema = _simplify(model.schema)
    schema["properties"] = {**schema["properties"], "idempotency_key": KEY}
    rules = [rule["text"] for rule in model.facts.get("rules", ()) if "text" in rule]
    latency = model.entry.latency
    parts = [
        f"{model.schema.get('description', model.title)} Starts a paid job that makes one {model.returns}, and returns "
        "its id at once. Then call `wait`.",
        f"Usually takes about {latency:.0f} seconds." if latency else "",
        *rules,
    ]
    return Tool(
        name=name,
        title=model.title,
        description="\n".join(part for part in parts if part),
        input_schema=schema,
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True),
    )


def _simplify(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema without the facts that only this project reads. Paths are allowed as media."""
    facts = schema.get("x-kling", {})
    simple = {
        key: _simplify_part(value) for key, value in schema.items() if key not in ("x-kling", "$schema")
    }
    if isinstance(facts, dict) and "media" in facts:
        simple.pop("pattern", None)
        simple.pop("format", None)
        simple["description"] = f"{simple.get('description', '')} {_MEDIA}".strip()
    return simple


def _simplify_part(value: Any) -> Any:
    if isinstance(value, dict):
        return _simplify(cast("dict[str, Any]", value))
    return [_simplify_part(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _describe_job_tool(name: str, description: str, required: list[str], **properties: Any) -> Tool:
    return Tool(
        name=name,
        description=description,
        input_schema={
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


JOB_TOOLS: Final = {
    tool.name: tool
    for tool in (
        _describe_job_tool("status", "Return the state of a job at once.", ["job_id"], job_id=_JOB_ID),
        _describe_job_tool(
            "wait",
            f"Wait for a job for {MAX_WAIT:g} seconds at most, and return its state. Call it again until the status is "
            "completed or failed. The job continues in any case.",
            ["job_id"],
            job_id=_JOB_ID,
            seconds={"type": "number", "minimum": 0, "maximum": MAX_WAIT, "default": MAX_WAIT},
        ),
        _describe_job_tool(
            "list_jobs",
            "List the jobs, the newest first, also those of earlier sessions.",
            [],
            limit={"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        ),
        _describe_job_tool(
            "estimate",
            "Estimate the price of a job in credits (one credit is about one USD). Nothing is started.",
            ["model", "parameters"],
            model={"type": "string", "description": "The name of a model's tool."},
            parameters={"type": "object", "description": "The parameters of its tool."},
        ),
    )
}
