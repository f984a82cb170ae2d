"""Patterns of the texts in specs, with descriptions for messages."""

from __future__ import annotations

from kling_codegen.closed import NOT_EMPTY
from kling_codegen.keywords import HTTP_URL

SLUG = r"^[a-z][a-z0-9]*([.-][a-z0-9]+)*$"
LINE, SENTENCE = r"^\S(.*\S)?$", r"^\S.*\.$"
SUBMIT_PATH, REQUEST_PATH = r"^/[^{}]*\{slug\}[^{}]*$", r"^/[^{}]*\{request_id\}[^{}]*$"
PATH, ORIGIN, CURRENCY = r"^/[^{}]*$", r"^https://[^\s/?#]+$", "^[A-Z]{3}$"
ADDRESS = r"^https://[^\s/?#]+/[^\s?#]+$"
PATTERNS = {
    SLUG: "small letters and digits, in words joined by - or .; it starts with a letter",
    HTTP_URL: "an http or https URL",
    NOT_EMPTY: "text that is not empty",
    LINE: "one line that neither starts nor ends with a space",
    SENTENCE: "one sentence on one line, with a full stop",
    SUBMIT_PATH: "a path that starts with / and has {slug} once",
    REQUEST_PATH: "a path that starts with / and has {request_id} once",
    PATH: "a path that starts with /",
    ORIGIN: "an https URL without a path",
    ADDRESS: "an https URL with a path",
    CURRENCY: "three capital letters, such as USD",
}
"""Descriptions of the patterns, for messages."""
