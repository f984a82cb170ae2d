"""The OpenAPI 3.1 document of a sandbox, told from the schemas of its models and the gateway's table of errors."""

from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any, Final

from kling_adapters import GATEWAY_STATUSES
from kling_sandbox.faults import KINDS
from kling_sandbox.jobs import LONGEST_LEAP
from kling_sandbox.media import CONTENT_TYPES
from kling_sandbox.pictures import SAMPLE_SIZE
from kling_sandbox.validation import Schema

_TEXT: Final = {"type": "string"}
_URI: Final = {"type": "string", "format": "uri"}
_UUID: Final = {"type": "string", "format": "uuid"}
_NUMBER: Final = {"type": "number"}
_SECONDS: Final = {"type": "number", "minimum": 0, "description": "Seconds."}

_DATA_URL: Final = (
    "^data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64,"
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
)

# Rows of the table that are about parameters or about one job; any other can answer every call with a key.
_SUBMIT: Final = frozenset({400, 404, 406, 410})
_JOB: Final = frozenset({404, 422})


def document(schemas: Mapping[str, Schema], base_url: str) -> dict[str, Any]:
    """Return the document of a sandbox with these models, by slug, at `base_url`."""
    submits = {f"/v2/{slug}": {"post": _submit(slug, schema)} for slug, schema in schemas.items()}
    runs = {f"/v1/{slug}": {"post": _run(slug, schema)} for slug, schema in schemas.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kling-sandbox",
            "version": version("kling-sandbox"),
            "description": "A local gateway that speaks the protocol of the Segmind serverless API. "
            "Faults that were asked for can give a request any other answer.",
        },
        "servers": [{"url": base_url}],
        "paths": submits | runs | _PATHS,
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
            "schemas": {slug: dict(schema) for slug, schema in schemas.items()} | _SCHEMAS,
            "responses": {str(status): _error(status) for status in GATEWAY_STATUSES},
        },
    }


def _submit(slug: str, schema: Schema) -> dict[str, Any]:
    answer = _json("The job is accepted.", "Submitted")
    answer["links"] = _links(
        "request_id", **{name: (name, "/request_id") for name in ("status", "result", "poll")}
    )
    summary = f"Start a job of {schema['title']}"
    return _keyed(f"submit-{slug}", summary, answer, _SUBMIT, requestBody=_body(slug))


def _run(slug: str, schema: Schema) -> dict[str, Any]:
    headers = {
        "x-request-id": _UUID,
        "x-cost": _NUMBER,
        "x-remaining-credits": _NUMBER,
        "x-generation-time": _NUMBER,
        "x-seed-value": {"type": "integer"},
    }
    returns = schema["x-kling"]["returns"]
    kinds = [kind for kind in CONTENT_TYPES.values() if kind.startswith(returns)]
    answer = _file("The file itself, once the job has ended.", *kinds)
    answer["headers"] = {name: {"required": True, "schema": kind} for name, kind in headers.items()}
    summary = f"Run {schema['title']} in one call"
    return _keyed(f"run-{slug}", summary, answer, _SUBMIT | {422}, requestBody=_body(slug))


def _error(status: int) -> dict[str, Any]:
    """Describe what any call is answered with this status."""
    answer = _json(GATEWAY_STATUSES[status].meaning, "Failed" if status == 422 else "Error")
    if status == 405:
        answer["content"] = {"text/html": {}}
    if status == 502:
        answer["content"]["text/html"] = {}
    if status == 429:
        reset = {"required": True, "schema": {"type": "string", "format": "date-time"}}
        answer["headers"] = {"x-rate-limit-reset-at-utc": reset}
    return answer


def _keyed(
    name: str, summary: str, answer: Mapping[str, Any], own: Collection[int] = (), **more: Any
) -> dict[str, Any]:
    """Describe a call with a key. `own`: the rows of the table that not every such call can be answered with."""
    rows = [status for status in GATEWAY_STATUSES if status in own or status not in _SUBMIT | _JOB]
    errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in rows}
    return _open(name, summary, {"200": answer, **errors}, security=[{"key": []}], **more)


def _open(name: str, summary: str, answers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    responses = _FOREIGN | (_TOO_LARGE if "requestBody" in more else {}) | dict(answers)
    return {"operationId": name, "summary": summary, "responses": responses, **more}


def _json(description: str, *schemas: str) -> dict[str, Any]:
    found = [_schema(name) for name in schemas]
    content = {"schema": found[0] if len(found) == 1 else {"oneOf": found}}
    return {"description": description, "content": {"application/json": content}}


def _file(description: str, *kinds: str) -> dict[str, Any]:
    return {"description": description, "content": {kind: {} for kind in kinds}}


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _schema(schema)}}}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _links(parameter: str, **links: tuple[str, str]) -> dict[str, Any]:
    """Say which operation, by the name of a link, takes which member of the answer as this parameter."""
    return {
        name: {"operationId": operation, "parameters": {parameter: f"$response.body#{member}"}}
        for name, (operation, member) in links.items()
    }


def _in_path(name: str, schema: Mapping[str, Any] = _TEXT) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def _closed(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {**_object(required, optional), "additionalProperties": False}


def _job(name: str, summary: str, ended: str) -> dict[str, Any]:
    answer = _json("How far it is, or its end.", "Running", ended)
    if ended == "Result":
        answer["links"] = _links(
            "name", video=("media", "/video/file_name"), image=("media", "/images/0/file_name")
        )
    return {"get": _keyed(name, summary, answer, _JOB, parameters=[_in_path("request_id", _UUID)])}


_FOREIGN: Final = {
    "403": _json("The Host or Origin header is not of this sandbox, as in a request of a web page.", "Error")
}
_TOO_LARGE: Final = {"413": _json("The body is larger than the sandbox takes.", "Error")}
_GONE: Final = _json("There is no such file, or not any more.", "Error")
_DONE: Final = {
    "204": {"description": "It holds from now on."},
    "400": _json("The body means nothing, and changes nothing.", "Error"),
    "415": _json("The Content-Type is not application/json.", "Error"),
}
_SIZE: Final = {
    "name": "size",
    "in": "query",
    "description": "Width and height, each from 16 to 2048.",
    "schema": {"type": "string", "pattern": SAMPLE_SIZE, "default": "1280x720"},
}
_RANGE: Final = {
    "name": "Range",
    "in": "header",
    "schema": {"type": "string", "pattern": "^bytes=[0-9]+-[0-9]*$"},
}

_PATHS: Final = {
    "/v2/requests/{request_id}/status": _job("status", "Ask how a job is", "Completed"),
    "/v2/requests/{request_id}": _job("result", "Ask what a job gave", "Result"),
    "/v1/requests/{request_id}": _job("poll", "The same, at the poll_url", "Result"),
    "/v1/get-user-credits": {"get": _keyed("credits", "What is left", _json("Credits.", "Credits"))},
    "/upload-asset": {
        "post": _keyed(
            "upload",
            "Upload files; outside of a sandbox another host does it",
            _json("The files are kept.", "Uploaded"),
            {400},
            requestBody=_body("Upload"),
        )
    },
    "/media/{name}": {
        "get": _open(
            "media",
            "Fetch the output of a job, for a week; no key is needed",
            {
                "200": _file("The file.", *CONTENT_TYPES.values()),
                "206": _file("The part that a Range header asks for.", *CONTENT_TYPES.values()),
                "400": _file("The Range header makes no sense.", "text/plain"),
                "404": _GONE,
                "416": _file("The file does not have that part.", "text/plain"),
            },
            parameters=[_in_path("name"), _RANGE],
        )
    },
    "/assets/{name}": {
        "get": _open(
            "asset",
            "Fetch an uploaded file; no key is needed",
            {"200": _file("The file.", "*/*"), "404": _GONE},
            parameters=[_in_path("name")],
        )
    },
    "/samples/{name}.png": {
        "get": _open(
            "sample",
            "Draw a picture from its name",
            {"200": _file("The picture.", "image/png"), "400": _json("It has no such size.", "Error")},
            parameters=[_in_path("name"), _SIZE],
        )
    },
    "/_sandbox/state": {"get": _open("state", "What happened so far", {"200": _json("All of it.", "State")})},
    "/_sandbox/faults": {
        "post": _open("faults", "Choose what goes wrong", _DONE, requestBody=_body("Faults"))
    },
    "/_sandbox/clock": {"post": _open("clock", "Let time pass", _DONE, requestBody=_body("Clock"))},
    "/_sandbox/openapi.json": {
        "get": _open("openapi", "This document", {"200": _file("It.", "application/json")})
    },
}

_METRICS: Final = _object(
    {},
    {
        name: {**_NUMBER, "description": unit}
        for name, unit in {
            "cost": "Credits.",
            "remaining_credits": "Credits.",
            "queue_time": "Seconds.",
            "inference_time": "Seconds.",
            "total_time": "Seconds.",
        }.items()
    },
)
_FILE: Final = _object(
    {"url": _URI, "content_type": _TEXT, "file_name": _TEXT, "file_size": {"type": "integer"}}
)
_FAULT: Final = _closed(
    {"kind": {"anyOf": [{"enum": list(KINDS)}, {"type": "string", "pattern": "^[45][0-9]{2}$"}]}},
    {
        "rate": {"type": "number", "minimum": 0, "maximum": 1},
        "method": _TEXT,
        "path": _TEXT,
        "nth": {"type": ["integer", "null"], "minimum": 1},
        "burst": {"type": "integer", "minimum": 1},
        "at": {"type": ["integer", "null"], "minimum": 0},
        "seconds": _SECONDS,
    },
)
_RECEIVED: Final = _object(
    {
        "method": _TEXT,
        "path": _TEXT,
        "headers": {"type": "object", "additionalProperties": _TEXT},
        "json": {"description": "The body, if it was JSON and no large upload."},
        "fault": {**_TEXT, "description": "The kind of the fault that struck it, or nothing."},
        "request_id": {"type": ["string", "null"], "description": "The job that it started."},
        "status": {"type": ["integer", "null"], "description": "Of the answer, if there was one."},
        "whole": {"type": "boolean", "description": "Whether all of an answer was sent."},
        "secrets": {
            "type": "array",
            "items": _TEXT,
            "description": "Fingerprints of keys it may have carried.",
        },
    }
)

_SCHEMAS: Final = {
    "Submitted": _object(
        {
            "request_id": _UUID,
            "status": {"const": "QUEUED"},
            "poll_url": _URI,
            "status_url": _URI,
            "response_url": _URI,
        }
    ),
    "Running": _object(
        {
            "request_id": _UUID,
            "status": {"enum": ["QUEUED", "PROCESSING"]},
            "status_url": _URI,
            "response_url": _URI,
            "metrics": _METRICS,
        }
    ),
    "Completed": _object({"request_id": _UUID, "status": {"const": "COMPLETED"}, "metrics": _METRICS}),
    "Result": _object(
        {"request_id": _UUID, "status": {"const": "COMPLETED"}, "output": _URI, "metrics": _METRICS},
        {
            "video": _FILE,
            "images": {"type": "array", "items": _FILE},
            "seed": {"type": "integer"},
            "prompt": _TEXT,
        },
    ),
    "Failed": _object(
        {"request_id": _UUID, "status": {"const": "FAILED"}, "error": _TEXT, "metrics": _METRICS}
    ),
    "Error": _object({"error": _TEXT}, {"error_description": _TEXT, "status_code": {"type": "integer"}}),
    "Credits": _object({"credits": _NUMBER, "free-credits": _NUMBER}),
    "Upload": _object(
        {
            "data_urls": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": _DATA_URL},
            }
        }
    ),
    "Uploaded": _object({"file_urls": {"type": "array", "items": _URI}, "message": _TEXT}),
    "Faults": _closed({}, {"seed": {"type": "integer"}, "faults": {"type": "array", "items": _FAULT}}),
    "Clock": _closed({"advance": {**_SECONDS, "maximum": LONGEST_LEAP}}),
    "State": _object(
        {
            "credits": _NUMBER,
            "billed": {"type": "object", "additionalProperties": _NUMBER},
            "seed": {"type": "integer"},
            "faults": {"type": "array", "items": _FAULT},
            "requests": {"type": "array", "items": _RECEIVED},
        }
    ),
}
