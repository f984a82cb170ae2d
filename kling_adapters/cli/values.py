"""Parameters from arguments, CSV cells and JSON, read with the JSON Schema of the model.

One rule for `@FILE`, at any depth: where the model takes media, it is a file of this machine, relative to the working
folder, and `@@TEXT` is text that starts with one @. For text parameters the command line reads `@FILE` as text; a
batch file, which others may have written, does so only below the folder of `--allow-files`.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from kling_adapters.errors import ConfigError
from kling_adapters.schema.packaged import list_declared

MAX_TEXT_BYTES = 1024**2
"""The largest file that is read as text."""

TextReader: TypeAlias = Callable[[str, str], str] | None
"""Takes the name of a parameter and a path, and returns the text of the file; None if `@` is only text."""

ANYTHING = {"properties": dict[str, Any](), "additionalProperties": True}
"""The schema of a model without a spec."""

_UNDESCRIBED = {"type": "", "format": "uri"}
_SECOND_URL = re.compile(r"[\s,;]https?://")


def read_arguments(arguments: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read the `name=value` arguments of the command line.

    Values of text parameters are text, all others JSON. A list is JSON, or its name is repeated with one item each.
    The validation reports values that cannot be read as the declared type.

    Args:
        arguments: The arguments, such as `duration=10`.
        schema: The JSON Schema of the model.

    Returns:
        The parameters by name.

    Raises:
        ConfigError: An argument has no `=`, a name is repeated, or a file cannot be read. Nothing was sent.

    """
    pairs: list[tuple[str, str]] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is not NAME=VALUE. Nothing was sent")
        pairs.append((name, text))
    declared = _declare((name for name, _ in pairs), schema)
    read_text = _unless_misspelt((name for name, _ in pairs), declared, _read_typed_file)
    values: dict[str, Any] = {}
    for name, text in pairs:
        value, is_item = _read_text_value(name, text, declared.get(name, {}), read_text)
        if is_item:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise ConfigError(f"{name} appears twice. Nothing was sent")
        else:
            values[name] = value
    return values


def read_cells(
    cells: Mapping[str, str], schema: Mapping[str, Any], read_text: TextReader = None
) -> dict[str, Any]:
    """Read the cells of a CSV line, as `read_arguments` does; an empty cell is left out."""
    declared = _declare(cells, schema)
    read_text = _unless_misspelt(cells, declared, read_text)
    values: dict[str, Any] = {}
    for name, text in cells.items():
        if text:
            value, is_item = _read_text_value(name, text, declared.get(name, {}), read_text)
            values[name] = [value] if is_item else value
    return values


def read_members(
    values: Mapping[str, Any], schema: Mapping[str, Any], read_text: TextReader = None
) -> dict[str, Any]:
    """Return the members of a JSON object, with files in place of the texts that name them."""
    declared = _declare(values, schema)
    read_text = _unless_misspelt(values, declared, read_text)
    return {
        name: _replace_files(name, value, declared.get(name, {}), read_text) for name, value in values.items()
    }


def text_files_below(folder: Path) -> TextReader:
    """Return a reader of plain files in a folder and its subfolders."""
    root = folder.resolve()

    def read(name: str, path: str) -> str:
        try:
            target = Path(path).resolve()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}: {path} cannot be read: {error}. Nothing was sent") from error
        if not target.is_relative_to(root):
            raise ConfigError(
                f"{name}: {path} is not in the folder {folder} of --allow-files. Text that starts with @ is written "
                "@@. Nothing was sent"
            )
        return _read_file(name, str(target), must_be_plain=True)

    return read


def _declare(names: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of each parameter; an unknown one of an open schema is JSON, text or a file."""
    unknown = dict.fromkeys(names, _UNDESCRIBED) if schema.get("additionalProperties") else {}
    return {**unknown, **list_declared(schema)}


def _unless_misspelt(names: Iterable[str], declared: Mapping[str, Any], read_text: TextReader) -> TextReader:
    """Return the reader; None if a name is unknown, which is reported before any file is read."""
    return read_text if all(name in declared for name in names) else None


def _read_text_value(
    name: str, text: str, declared: Mapping[str, Any], read_text: TextReader
) -> tuple[Any, bool]:
    """Return the value of text, and whether it is one item of a list."""
    types = declared.get("type", "")
    is_list = "array" in types and ("string" not in types or _is_json(name, text))
    item = declared.get("items", declared) if is_list else declared
    value = _resolve_file(name, text, item, read_text)
    if isinstance(value, str) and not text.startswith("@@"):
        if is_list and value.lstrip().startswith("["):
            return _replace_files(name, _parse(value), declared, None), False
        if is_list and item.get("format") == "uri" and _SECOND_URL.search(value):
            raise ConfigError(f'{name}: a list is JSON, such as ["URL", "URL"]. Nothing was sent')
        types = item.get("type", "string")
        if "string" not in types or ("null" in types and value == "null"):
            return _replace_files(name, _parse(value), item, None), is_list
    return value, is_list


def _is_json(name: str, text: str) -> bool:
    """Return whether text for a parameter that is text or a list is JSON, of the list or of an item."""
    if not text.lstrip().startswith(("[", "{")):
        return False
    if isinstance(_parse(text), str):
        raise ConfigError(
            f"{name}: a value that starts with [ or {{ is read as JSON, and this is not JSON. Nothing was sent"
        )
    return True


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _replace_files(name: str, value: Any, declared: Mapping[str, Any], read_text: TextReader) -> Any:
    """Return a JSON value with files in place of the texts that name them, at any depth."""
    if isinstance(value, str):
        return _resolve_file(name, value, declared, read_text)
    if isinstance(value, list):
        items = cast("Sequence[Any]", value)
        return [_replace_files(name, item, declared.get("items", {}), read_text) for item in items]
    if isinstance(value, dict):
        members = cast("Mapping[str, Any]", value)
        inner = declared.get("properties", {})
        return {
            key: _replace_files(f"{name}.{key}", member, inner.get(key, {}), read_text)
            for key, member in members.items()
        }
    return value


def _resolve_file(name: str, text: str, declared: Mapping[str, Any], read_text: TextReader) -> str | Path:
    is_media = declared.get("format") == "uri"
    if not text.startswith("@") or text == "@" or not (is_media or read_text):
        return text
    if text.startswith("@@"):
        return text[1:]
    if is_media:
        return Path(text[1:])
    assert read_text is not None
    return read_text(name, text[1:])


def _read_typed_file(name: str, path: str) -> str:
    """Read a file of the command line, which may be a pipe."""
    return _read_file(name, path, must_be_plain=False)


def _read_file(name: str, path: str, *, must_be_plain: bool) -> str:
    try:
        with open(path, "rb", opener=_open_at_once if must_be_plain else None) as file:
            if must_be_plain and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{name}: {path} is not a plain file. Nothing was sent")
            content = file.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise ConfigError(
                f"{name}: {path} is too large: at most {MAX_TEXT_BYTES} bytes are read as text. Nothing was sent"
            )
        return content.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{name}: {path} cannot be read: {reason}. For text that starts with @ write {name}=@@{path}. "
            "Nothing was sent"
        ) from error


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
