"""Paths of the sandbox that do not depend on its models."""

from typing import Final

from kling_sandbox import history, model_list
from kling_sandbox.openapi.history import HISTORY_FILTERS
from kling_sandbox.openapi.parts import (
    JOB_ERRORS,
    UUID,
    Part,
    describe_body,
    describe_file,
    describe_json,
    describe_keyed_operation,
    describe_links,
    describe_operation,
    describe_path_parameter,
)
from kling_sandbox.rendering.renderer import CONTENT_TYPES
from kling_sandbox.rendering.scenes import SAMPLE_SIZE


def _job_path(name: str, summary: str, end: str) -> Part:
    response = describe_json("The state of the job, or its end.", "Running", end)
    if end == "Result":
        response["links"] = describe_links(
            "name", video=("media", "/video/file_name"), image=("media", "/images/0/file_name")
        )
    parameters = [describe_path_parameter("request_id", UUID)]
    return {"get": describe_keyed_operation(name, summary, response, JOB_ERRORS, parameters=parameters)}


_NOT_FOUND: Final = describe_json("The file does not exist, or was removed.", "Error")
_CONTROL_RESPONSES: Final = {
    "204": {"description": "The change applies from now on."},
    "400": describe_json("The body is invalid. Nothing was changed.", "Error"),
    "415": describe_json("The Content-Type is not application/json.", "Error"),
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

_GATEWAY_PATHS: Final = {
    "/v2/requests/{request_id}/status": _job_path("status", "Get the status of a job", "Completed"),
    "/v2/requests/{request_id}": _job_path("result", "Get the result of a job", "Result"),
    "/v1/requests/{request_id}": _job_path("poll", "Get the result of a job, at its poll_url", "Result"),
    "/v1/get-user-credits": {
        "get": describe_keyed_operation(
            "credits", "Get the balance", describe_json("The balance.", "Credits")
        )
    },
    history.PATH: {
        "get": describe_keyed_operation(
            "history",
            "List the requests of the account; the real gateway has another host for this",
            describe_json("A page of requests.", "History"),
            {400},
            parameters=HISTORY_FILTERS,
        )
    },
    f"{history.PATH}/{{request_id}}": {
        "get": describe_keyed_operation(
            "request",
            "Get a request of any age of the account",
            describe_json("The request.", "HistoryRow"),
            {404},
            parameters=[describe_path_parameter("request_id", UUID)],
        )
    },
    model_list.PATH: {
        "get": describe_operation(
            "models",
            "List the models, without a key; the real gateway has another host for this",
            {"200": describe_json("The models.", "Models")},
        )
    },
    "/upload-asset": {
        "post": describe_keyed_operation(
            "upload",
            "Upload files; the real gateway has another host for this",
            describe_json("The files are stored.", "Uploaded"),
            {400},
            requestBody=describe_body("Upload"),
        )
    },
}
_FILE_PATHS: Final = {
    "/media/{name}": {
        "get": describe_operation(
            "media",
            "Download the output of a job, for a week, without a key",
            {
                "200": describe_file("The file.", *CONTENT_TYPES.values()),
                "206": describe_file("The part in the Range header.", *CONTENT_TYPES.values()),
                "400": describe_file("The Range header is invalid.", "text/plain"),
                "404": _NOT_FOUND,
                "416": describe_file("The file does not have that part.", "text/plain"),
            },
            parameters=[describe_path_parameter("name"), _RANGE],
        )
    },
    "/assets/{name}": {
        "get": describe_operation(
            "asset",
            "Download an uploaded file, without a key",
            {"200": describe_file("The file.", "*/*"), "404": _NOT_FOUND},
            parameters=[describe_path_parameter("name")],
        )
    },
    "/samples/{name}.png": {
        "get": describe_operation(
            "sample",
            "Draw a picture for a name",
            {
                "200": describe_file("The picture.", "image/png"),
                "400": describe_json("The size is invalid.", "Error"),
            },
            parameters=[describe_path_parameter("name"), _SIZE],
        )
    },
}
_CONTROL_PATHS: Final = {
    "/_sandbox/state": {
        "get": describe_operation(
            "state", "Get the state of the sandbox", {"200": describe_json("The state.", "State")}
        )
    },
    "/_sandbox/faults": {
        "post": describe_operation(
            "faults", "Replace the faults", _CONTROL_RESPONSES, requestBody=describe_body("Faults")
        )
    },
    "/_sandbox/clock": {
        "post": describe_operation(
            "clock", "Advance the clock", _CONTROL_RESPONSES, requestBody=describe_body("Clock")
        )
    },
    "/_sandbox/history": {
        "post": describe_operation(
            "delay",
            "Set the delay of the history",
            _CONTROL_RESPONSES | {"404": describe_json("The job is unknown.", "Error")},
            requestBody=describe_body("HistoryDelay"),
        )
    },
    "/_sandbox/openapi.json": {
        "get": describe_operation(
            "openapi", "Get this document", {"200": describe_file("The document.", "application/json")}
        )
    },
}

PATHS: Final = _GATEWAY_PATHS | _FILE_PATHS | _CONTROL_PATHS
