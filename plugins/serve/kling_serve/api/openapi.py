"""The OpenAPI 3.1 document of the interfaces: `openapi.json`, with the request bodies of the models."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.models import Model, Models
from kling_serve.schemas import simplify_schema
from kling_serve.studio import get_studio

_TEMPLATE: Final = Path(__file__).with_name("openapi.json")
_MEDIA: Final = "An http(s) URL, or a data URL."


async def show_document(request: Request) -> Response:
    """Return the document."""
    return JSONResponse(make_document(get_studio(request).models, str(request.base_url).rstrip("/")))


def make_document(models: Models, base_url: str) -> dict[str, Any]:
    """Return the document of these models at a base URL."""
    document: dict[str, Any] = json.loads(_TEMPLATE.read_text("utf-8"))
    document["info"]["version"] = version("kling-serve")
    document["servers"] = [{"url": base_url}]
    components = document["components"]
    components["requestBodies"] = {}
    for output in ("video", "image"):
        fields = components["schemas"][f"{output.title()}Fields"]["properties"]
        returning = [models[slug] for slug in models if models[slug].returns == output]
        components["schemas"] |= {model.slug: _describe_body(model, fields) for model in returning}
        components["requestBodies"][output.title()] = _describe_request(returning)
    return document


def _describe_body(model: Model, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a request: the parameters of a model, and the fields of the OpenAI shape."""
    schema = simplify_schema(model.schema, _MEDIA, "^data:[^,]*;base64,")
    # A parameter of media can be sent as input_reference.
    media = {
        name for name, part in model.schema["properties"].items() if "x-kling" in part.get("items", part)
    }
    schema["required"] = ["model", *(name for name in schema.get("required", ()) if name not in media)]
    schema["properties"] = {"model": {"const": model.slug}, **fields, **schema["properties"]}
    return schema


def _describe_request(models: list[Model]) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "required": ["model"],
        "properties": {"model": {"enum": [model.slug for model in models]}, "input_reference": file},
        "additionalProperties": {"type": "string"},
    }
    bodies = [{"$ref": f"#/components/schemas/{model.slug}"} for model in models]
    examples = {
        model.slug: {"value": {"model": model.slug, **model.schema["examples"][0]}}
        for model in models
        if model.schema.get("examples")
    }
    content = {
        "application/json": {"schema": {"anyOf": bodies}, "examples": examples},
        "multipart/form-data": {"schema": form},
    }
    return {"required": True, "content": content}


ROUTES = [Route("/openapi.json", show_document)]
