"""`name=value` on the command line, read as the type that the model declares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kling_adapters.errors import ConfigError


def read_values(words: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Turn words into parameters by the JSON Schema of the model.

    Text is taken as it stands, `name=@file` reads it from a file, or stands for a file of media where a URL belongs, and `name=@@text` is text that starts with one @;
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
        item = declared.get("items", declared)
        value: str | Path = text
        if text.startswith("@@"):
            value = text[1:]
        elif text.startswith("@") and text != "@" and declared:
            # The file of a parameter that does not exist is not read: its name is what is wrong.
            value = Path(text[1:]) if item.get("format") == "uri" else _read(name, text[1:])
        if "array" in types and not (isinstance(value, str) and value.lstrip().startswith("[")):
            values.setdefault(name, []).append(_value(value, item["type"]))
        elif name in values:
            raise ConfigError(f"{name} is given twice; nothing was sent")
        else:
            values[name] = _value(value, types)
    return values


def _value(text: str | Path, types: str | list[str]) -> Any:
    if isinstance(text, Path):
        return text
    if "string" in types and not ("null" in types and text == "null"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(name: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {file} cannot be read: {error}. Nothing was sent") from error
