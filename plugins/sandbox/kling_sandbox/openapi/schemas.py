"""JSON Schemas of the bodies of the gateway and of the control interface."""

from collections.abc import Mapping
from typing import Any, Final

from kling_sandbox import model_list
from kling_sandbox.clock import MAX_ADVANCE
from kling_sandbox.faults import KINDS
from kling_sandbox.openapi.history import HISTORY_SCHEMAS
from kling_sandbox.openapi.parts import NUMBER, TEXT, URI, UUID, describe_object

_SECONDS: Final = {"type": "number", "minimum": 0, "description": "Seconds."}
_DATA_URL: Final = (
    "^data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64,"
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
)


def _closed_object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {**describe_object(required, optional), "additionalProperties": False}


_METRICS: Final = describe_object(
    {},
    {
        name: {**NUMBER, "description": unit}
        for name, unit in {
            "cost": "Credits.",
            "remaining_credits": "Credits.",
            "queue_time": "Seconds.",
            "inference_time": "Seconds.",
            "total_time": "Seconds.",
        }.items()
    },
)
_FILE: Final = describe_object(
    {"url": URI, "content_type": TEXT, "file_name": TEXT, "file_size": {"type": "integer"}}
)
_FAULT: Final = _closed_object(
    {"kind": {"anyOf": [{"enum": list(KINDS)}, {"type": "string", "pattern": "^[45][0-9]{2}$"}]}},
    {
        "rate": {"type": "number", "minimum": 0, "maximum": 1},
        "method": TEXT,
        "path": TEXT,
        "nth": {"type": ["integer", "null"], "minimum": 1},
        "burst": {"type": "integer", "minimum": 1},
        "at": {"type": ["integer", "null"], "minimum": 0},
        "seconds": _SECONDS,
    },
)
_RECEIVED_REQUEST: Final = describe_object(
    {
        "method": TEXT,
        "path": TEXT,
        "headers": {"type": "object", "additionalProperties": TEXT},
        "json": {"description": "The body, if it was JSON and not a large upload."},
        "fault": {
            **TEXT,
            "description": "The kind of the fault that affected the request; empty without a fault.",
        },
        "request_id": {"type": ["string", "null"], "description": "The job that the request started."},
        "status": {
            "type": ["integer", "null"],
            "description": "The status of the response, if one was sent.",
        },
        "is_complete": {"type": "boolean", "description": "True if the complete response was sent."},
        "secrets": {
            "type": "array",
            "items": TEXT,
            "description": "Fingerprints of the values that may contain a key.",
        },
    }
)

SCHEMAS: Final = {
    "Submitted": describe_object(
        {
            "request_id": UUID,
            "status": {"const": "QUEUED"},
            "poll_url": URI,
            "status_url": URI,
            "response_url": URI,
        }
    ),
    "Running": describe_object(
        {
            "request_id": UUID,
            "status": {"enum": ["QUEUED", "PROCESSING"]},
            "status_url": URI,
            "response_url": URI,
            "metrics": _METRICS,
        }
    ),
    "Completed": describe_object({"request_id": UUID, "status": {"const": "COMPLETED"}, "metrics": _METRICS}),
    "Result": describe_object(
        {"request_id": UUID, "status": {"const": "COMPLETED"}, "output": URI, "metrics": _METRICS},
        {
            "video": _FILE,
            "images": {"type": "array", "items": _FILE},
            "seed": {"type": "integer"},
            "prompt": TEXT,
        },
    ),
    "Failed": describe_object(
        {"request_id": UUID, "status": {"const": "FAILED"}, "error": TEXT, "metrics": _METRICS}
    ),
    "Error": describe_object(
        {"error": TEXT}, {"error_description": TEXT, "status_code": {"type": "integer"}}
    ),
    "Credits": describe_object({"credits": NUMBER, "free-credits": NUMBER}),
    **HISTORY_SCHEMAS,
    "HistoryDelay": _closed_object(
        {"delay": {"anyOf": [_SECONDS, {"type": "array", "minItems": 1, "items": _SECONDS}]}},
        {"request_id": {"type": ["string", "null"], "description": "The job; null for all jobs."}},
    ),
    "Models": describe_object(
        {
            model_list.NAME: {
                "type": "array",
                "items": describe_object(
                    {
                        "slug": TEXT,
                        "title": TEXT,
                        "description": TEXT,
                        "type": TEXT,
                        "average_latency": {"type": ["number", "null"], "description": "Seconds."},
                    }
                ),
            }
        }
    ),
    "Upload": describe_object(
        {"data_urls": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": _DATA_URL}}}
    ),
    "Uploaded": describe_object({"file_urls": {"type": "array", "items": URI}, "message": TEXT}),
    "Faults": _closed_object({}, {"seed": {"type": "integer"}, "faults": {"type": "array", "items": _FAULT}}),
    "Clock": _closed_object({"advance": {**_SECONDS, "maximum": MAX_ADVANCE}}),
    "State": describe_object(
        {
            "credits": NUMBER,
            "billed": {"type": "object", "additionalProperties": NUMBER},
            "seed": {"type": "integer"},
            "faults": {"type": "array", "items": _FAULT},
            "requests": {"type": "array", "items": _RECEIVED_REQUEST},
        }
    ),
}
