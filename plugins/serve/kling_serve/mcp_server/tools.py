"""Tools: one for each model, made from its JSON Schema, and those for jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mcp_types import Tool, ToolAnnotations, ToolExecution
from pydantic import BaseModel, Field

from kling_serve.models import Model, Models
from kling_serve.schemas import simplify_schema

MAX_WAIT: Final = 50.0
"""Longest wait of one call, in seconds; clients give up after a minute."""
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
    tools = [
        _describe_model(name, models[slug])
        for name, slug in name_tools(models).items()
        if not models[slug].is_retired
    ]
    return [*JOB_TOOLS.values(), *tools]


def _describe_model(name: str, model: Model) -> Tool:
    schema = simplify_schema(model.schema, _MEDIA)
    schema["properties"] |= KeyArgument.model_json_schema()["properties"]
    rules = [rule["text"] for rule in model.facts.get("rules", ()) if "text" in rule]
    latency = model.entry.latency
    summary = model.schema.get("description", model.title)
    start = f"{summary} Starts a paid job that makes one {model.returns}, and returns its id at once. Then call `wait`."
    parts = [start, f"Usually takes about {latency:.0f} seconds." if latency else "", *rules]
    return Tool(
        name=name,
        title=model.title,
        description="\n".join(part for part in parts if part),
        input_schema=schema,
        execution=ToolExecution(task_support="optional"),
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True),
    )


class KeyArgument(BaseModel):
    """The argument that the tool of a model has beside the parameters."""

    idempotency_key: str = Field(
        min_length=1,
        max_length=255,
        description="Any text of your own. Repeating a call with the same key and parameters never starts a second job.",
    )


class JobArguments(BaseModel, extra="forbid"):
    """The arguments of `status`."""

    job_id: str = Field(description="The id of a job, as the tool of a model returned it.")


class WaitArguments(JobArguments):
    """The arguments of `wait`."""

    seconds: float = Field(default=MAX_WAIT, ge=0, le=MAX_WAIT)


class ListArguments(BaseModel, extra="forbid"):
    """The arguments of `list_jobs`."""

    limit: int = Field(default=20, ge=1, le=100)


class EstimateArguments(BaseModel, extra="forbid"):
    """The arguments of `estimate`."""

    model: str = Field(description="The name of the tool of a model.")
    parameters: dict[str, Any] = Field(description="The arguments of that tool.")


_WAIT: Final = (
    f"Wait for a job for {MAX_WAIT:g} seconds at most, and return its state. Call it again until the status is "
    "completed or failed. The job continues in any case."
)
_DESCRIPTIONS: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "status": (JobArguments, "Return the state of a job at once."),
    "wait": (WaitArguments, _WAIT),
    "list_jobs": (ListArguments, "List the jobs, the newest first, also those of earlier sessions."),
    "estimate": (
        EstimateArguments,
        "Estimate the price of a job in credits; one credit is about one USD. Nothing is started.",
    ),
}
JOB_TOOLS: Final = {
    name: Tool(
        name=name,
        description=description,
        input_schema=kind.model_json_schema(),
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    for name, (kind, description) in _DESCRIPTIONS.items()
}
