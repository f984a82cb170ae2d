"""The request history in the OpenAPI document."""

from typing import Any, Final

from kling_sandbox.history_query import MAX_PAGE, MAX_PER_PAGE, ORDERS, SORTS, STATES
from kling_sandbox.openapi.parts import (
    NUMBER,
    TEXT,
    UUID,
    Part,
    describe_object,
    describe_query_parameter,
)

_COUNT: Final = {"type": "integer", "minimum": 0}
_DAY: Final = {
    "type": "string",
    "format": "date",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "description": "Both days belong to the window, which has at most 31 days.",
}

_FILTERS: Final[dict[str, Part]] = {
    "page": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1},
    "per_page": {"type": "integer", "minimum": 1, "maximum": MAX_PER_PAGE, "default": 20},
    "from_date": _DAY,
    "to_date": _DAY,
    "model_name": {**TEXT, "description": "A part of the slug of the model."},
    "status": {"enum": list(STATES)},
    "sort_by": {"enum": list(SORTS), "default": "model_created"},
    "sort_order": {"enum": list(ORDERS), "default": "desc"},
}
HISTORY_FILTERS: Final = [describe_query_parameter(name, schema) for name, schema in _FILTERS.items()]
"""The parameters of a page."""

_ROW: Final = describe_object(
    {
        "request_id": UUID,
        "model_name": TEXT,
        "model_status": {"enum": list(STATES)},
        "credits_deduction": {"type": ["number", "null"], "description": "Credits."},
        "request_body": {"type": "object"},
        "generation_url": {"type": ["string", "null"], "format": "uri"},
        "latency_ms": {**NUMBER, "type": ["number", "null"]},
        "model_created": {"type": "string", "format": "date-time"},
    },
    {"error": TEXT},
)

HISTORY_SCHEMAS: Final[dict[str, Any]] = {
    "HistoryRow": _ROW,
    "History": describe_object(
        {
            "generations": {"type": "array", "items": _ROW},
            "pagination": describe_object(
                {
                    **dict.fromkeys(("page", "per_page", "total", "total_pages"), _COUNT),
                    **{name: {"type": "boolean"} for name in ("has_next", "has_prev")},
                }
            ),
        }
    ),
}
"""The bodies."""
