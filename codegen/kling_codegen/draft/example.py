"""The example of a page, adapted to the table, with neutral texts and URLs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeGuard, cast

from pydantic import MISSING, ValidationError

from kling_codegen.draft.page import Page
from kling_codegen.keywords import bare_kind
from kling_codegen.schema import Schema, violations

SAMPLES = {"video": "https://example.com/video.mp4", "audio": "https://example.com/audio.mp3"}
# A larger example is left out.
MAX_ITEMS, MAX_CHARACTERS = 100, 10_000
IMAGE, TEXT = "https://example.com/image.png", "A paper boat on a quiet lake."


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value of the example is an object."""
    return isinstance(value, dict)


def list_items(value: Any) -> list[Any]:
    """Return the items of a list, or a single value as a list."""
    return list(cast("Sequence[Any]", value)) if isinstance(value, list) else [value]


def is_url(value: Any) -> bool:
    """Return whether a value is a URL of the page."""
    return isinstance(value, str) and bool(re.match(r"https?://", value))


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a schema accepts a value; an unusable schema accepts any."""
    try:
        return not any(violations(Schema.model_validate(schema), value))
    except ValidationError:
        return True


def repair_example(inside: dict[str, Any], page: Page) -> dict[str, Any]:
    """Return the parameters of the example that the table allows, and all required ones."""
    parameters: dict[str, Any] = {}
    for name, schema in inside["properties"].items():
        required, sent = name in inside.get("required", ()), page.sent.get(name, MISSING)
        if required or sent not in (MISSING, "", [], None):
            value = _make_neutral(schema, sent, name)
            if required or fits(schema, value):
                parameters[name] = value
    return parameters


def _make_neutral(schema: dict[str, Any], sent: Any, name: str) -> Any:
    """Return the sent value if it is a number, a name or a default; otherwise a neutral value."""
    kind = bare_kind(schema["type"])
    match kind, sent:
        case "array", [_, *_]:
            return [_make_neutral(schema["items"], item, name) for item in sent]
        case "array", _:
            return [_make_neutral(schema["items"], MISSING, name)] * min(
                max(1, schema.get("minItems", 1)), MAX_ITEMS
            )
        case "object", _:
            members = sent if is_object(sent) else {}
            parts: dict[str, Any] = schema.get("properties", {})
            names = [part for part in parts if part in members or part in schema.get("required", ())]
            return {part: _make_neutral(parts[part], members.get(part, MISSING), part) for part in names}
        case _:
            pass
    if "format" in schema or is_url(sent):
        return next((url for word, url in SAMPLES.items() if word in name), IMAGE)
    if kind == "integer" and re.fullmatch(r"-?\d{1,15}", str(sent)):
        sent = int(sent)
    sentence = (
        isinstance(sent, str) and " " in sent and "enum" not in schema and sent != schema.get("default")
    )
    if sent is not MISSING and not sentence and fits(schema, sent):
        return sent
    text = TEXT[: schema.get("maxLength")].ljust(min(schema.get("minLength", 0), MAX_CHARACTERS), ".")
    plain = {"string": text, "boolean": True}.get(kind, schema.get("minimum", 1))
    return schema.get("default", schema.get("enum", [plain])[0])
