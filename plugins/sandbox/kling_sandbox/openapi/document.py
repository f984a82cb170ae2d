"""The document: the paths of each model, and all others."""

from collections.abc import Mapping
from importlib.metadata import version

from kling_adapters import GATEWAY_STATUSES
from kling_sandbox.openapi.parts import (
    NUMBER,
    SUBMIT_ERRORS,
    UUID,
    Part,
    describe_body,
    describe_error,
    describe_file,
    describe_json,
    describe_keyed_operation,
    describe_links,
)
from kling_sandbox.openapi.paths import PATHS
from kling_sandbox.openapi.schemas import SCHEMAS
from kling_sandbox.rendering.renderer import CONTENT_TYPES
from kling_sandbox.validation import Schema


def make_document(schemas: Mapping[str, Schema], base_url: str) -> Part:
    """Return the document of a sandbox with these models, by slug, at a base URL."""
    submits = {f"/v2/{slug}": {"post": _submit(slug, schema)} for slug, schema in schemas.items()}
    runs = {f"/v1/{slug}": {"post": _run(slug, schema)} for slug, schema in schemas.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kling-sandbox",
            "version": version("kling-sandbox"),
            "description": "A local gateway with the protocol of the Segmind serverless API. "
            "A configured fault can replace any response.",
        },
        "servers": [{"url": base_url}],
        "paths": submits | runs | PATHS,
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": {slug: dict(schema) for slug, schema in schemas.items()} | SCHEMAS,
            "responses": {str(status): describe_error(status) for status in GATEWAY_STATUSES},
        },
    }


def _submit(slug: str, schema: Schema) -> Part:
    response = describe_json("The job is accepted.", "Submitted")
    response["links"] = describe_links(
        "request_id", **{name: (name, "/request_id") for name in ("status", "result", "poll")}
    )
    summary = f"Submit a job of {schema['title']}"
    return describe_keyed_operation(
        f"submit-{slug}", summary, response, SUBMIT_ERRORS, requestBody=describe_body(slug)
    )


def _run(slug: str, schema: Schema) -> Part:
    headers = {
        "x-request-id": UUID,
        "x-cost": NUMBER,
        "x-remaining-credits": NUMBER,
        "x-generation-time": NUMBER,
        "x-seed-value": {"type": "integer"},
    }
    returns = schema["x-kling"]["returns"]
    content_types = [name for name in CONTENT_TYPES.values() if name.startswith(returns)]
    response = describe_file("The file, after the end of the job.", *content_types)
    response["headers"] = {name: {"required": True, "schema": part} for name, part in headers.items()}
    summary = f"Run {schema['title']} in one call"
    errors = SUBMIT_ERRORS | {422}
    return describe_keyed_operation(f"run-{slug}", summary, response, errors, requestBody=describe_body(slug))
