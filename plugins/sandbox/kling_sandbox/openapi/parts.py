"""Parts of an OpenAPI document: operations, responses, and references between them."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from kling_adapters import GATEWAY_STATUSES

Part = dict[str, Any]

TEXT: Final = {"type": "string"}
URI: Final = {"type": "string", "format": "uri"}
UUID: Final = {"type": "string", "format": "uuid"}
NUMBER: Final = {"type": "number"}

SUBMIT_ERRORS: Final = frozenset({400, 404, 406, 410})
"""Rows of the table of errors that are about parameters."""
JOB_ERRORS: Final = frozenset({404, 422})
"""Rows of the table of errors that are about a job. Any other row applies to every operation with a key."""


def describe_operation(name: str, summary: str, responses: Mapping[str, Any], **more: Any) -> Part:
    """Describe an operation without a key."""
    common = {
        "403": describe_json(
            "The Host or Origin header is not of this sandbox (as from a web page).", "Error"
        )
    }
    if "requestBody" in more:
        common["413"] = describe_json("The body is larger than the limit of the sandbox.", "Error")
    return {"operationId": name, "summary": summary, "responses": common | dict(responses), **more}


def describe_keyed_operation(
    name: str, summary: str, response: Mapping[str, Any], errors: Collection[int] = (), **more: Any
) -> Part:
    """Describe an operation with a key. `errors` are its rows of SUBMIT_ERRORS and JOB_ERRORS."""
    rows = [
        status for status in GATEWAY_STATUSES if status in errors or status not in SUBMIT_ERRORS | JOB_ERRORS
    ]
    references = {str(status): {"$ref": f"#/components/responses/{status}"} for status in rows}
    return describe_operation(name, summary, {"200": response, **references}, security=[{"key": []}], **more)


def describe_error(status: int) -> Part:
    """Describe the response of a row of the table of errors."""
    response = describe_json(GATEWAY_STATUSES[status].meaning, "Failed" if status == 422 else "Error")
    if status == 405:
        response["content"] = {"text/html": {}}
    if status == 502:
        response["content"]["text/html"] = {}
    if status == 429:
        reset = {"required": True, "schema": {"type": "string", "format": "date-time"}}
        response["headers"] = {"x-rate-limit-reset-at-utc": reset}
    return response


def describe_json(description: str, *schemas: str) -> Part:
    """Describe a response with one of the schemas."""
    references = [_reference(name) for name in schemas]
    schema = references[0] if len(references) == 1 else {"oneOf": references}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def describe_file(description: str, *content_types: str) -> Part:
    """Describe a response with a file."""
    return {"description": description, "content": {content_type: {} for content_type in content_types}}


def describe_object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Part:
    """Describe a JSON object by its members."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def describe_body(schema: str) -> Part:
    """Describe a request body."""
    return {"required": True, "content": {"application/json": {"schema": _reference(schema)}}}


def describe_links(parameter: str, **targets: tuple[str, str]) -> Part:
    """Describe links by name. A target is an operation, and the member of the response for its parameter."""
    return {
        name: {"operationId": target, "parameters": {parameter: f"$response.body#{member}"}}
        for name, (target, member) in targets.items()
    }


def describe_path_parameter(name: str, schema: Mapping[str, Any] = TEXT) -> Part:
    """Describe a parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def describe_query_parameter(name: str, schema: Mapping[str, Any]) -> Part:
    """Describe a parameter in the query."""
    return {"name": name, "in": "query", "schema": schema}


def _reference(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}
