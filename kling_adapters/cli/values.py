"""`name=value` on the command line, read as the type that the model declares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kling_adapters.errors import ConfigError


def read_values(words: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Turn words into parameters by the JSON Schema of the model.

    Text is taken as it stands, `name=@file` reads it from a file, and `name=@@text` is text that starts with one @;
    everything else is JSON. A list is JSON too, or its name is repeated with one item each. What cannot be read as
    the type is left to the validation to report.
    Raises ConfigError for a word without `=` or a file that cannot be read.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{word!r} is not name=value; nothing was sent")
        declared = schema["properties"].get(name, {})
        types = declared.get("type", "string")
        if text.startswith("@@"):
            text = text[1:]
        elif text.startswith("@") and text != "@":
            text = _read(name, text[1:], is_url=declared.get("format") == "uri")
        if "array" in types and not text.lstrip().startswith("["):
            values.setdefault(name, []).append(_value(text, declared["items"]["type"]))
        elif name in values:
            raise ConfigError(f"{name} is given twice; nothing was sent")
        else:
            values[name] = _value(text, types)
    return values


def _value(text: str, types: str | list[str]) -> Any:
    if "string" in types and not ("null" in types and text == "null"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(name: str, file: str, *, is_url: bool) -> str:
    if is_url:
        raise ConfigError(f"{name} takes a URL; local files cannot be uploaded yet. Nothing was sent")
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {file} cannot be read: {error}. Nothing was sent") from error
