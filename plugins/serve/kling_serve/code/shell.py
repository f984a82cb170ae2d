"""A call as a command line of `kling`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from kling_serve.connections import Connection
from kling_serve.forms.fields import Schema, list_types
from kling_serve.models import SPECS, Model


def write_shell(model: Model, values: Mapping[str, Any], connection: Connection) -> str:
    """Return a command line; a model that no installed package has is submitted without its spec."""
    is_raw = model.origin == SPECS
    words = ["kling", "submit-raw" if is_raw else "run", model.slug]
    for name, value in values.items():
        words.append(f"{name}={_write(value, model.schema['properties'].get(name, {}), is_raw=is_raw)}")
    words += ["--save-to", "renders/"]
    settings = ""
    if connection.base_url is not None:
        words += ["--base-url", connection.base_url]
    if connection.sandbox_key is not None:
        settings = f"SEGMIND_API_KEY={shlex.quote(connection.sandbox_key)} "
        words += ["--journal", "none"]
    text = settings + shlex.join(words[:3])
    for word in words[3:]:
        space = " " if text.endswith(("--save-to", "--base-url", "--journal")) else " \\\n  "
        text += f"{space}{shlex.quote(word)}"
    return f"{text}\n"


def _write(value: Any, schema: Schema, *, is_raw: bool) -> str:
    """Return a value as an argument has it: text as it is, everything else as JSON."""
    if isinstance(value, Path):
        return f"@{value}"
    if isinstance(value, str):
        text = f"@{value}" if value.startswith("@") else value
        is_text = not is_raw and "string" in list_types(schema) and "array" not in list_types(schema)
        return text if is_text or not _is_json(text) else json.dumps(text, ensure_ascii=False)
    return json.dumps(_mark_texts(value), ensure_ascii=False)


def _mark_texts(value: Any) -> Any:
    """Return a value with @ before each file and before each text that starts with @."""
    if isinstance(value, Path):
        return f"@{value}"
    if isinstance(value, str):
        return f"@{value}" if value.startswith("@") else value
    if isinstance(value, Mapping):
        return {name: _mark_texts(item) for name, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [_mark_texts(item) for item in items]
    return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
