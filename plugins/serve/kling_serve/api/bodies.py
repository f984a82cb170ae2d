"""Bodies of requests, JSON or multipart, as values that fit the JSON Schema of a model."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from kling_serve.api.errors import RequestError

MAX_BYTES: Final = 80 * 1024**2
"""Size of a request with its files, in bytes."""
_MAX_FIELDS: Final = 500
_FIELD: Final = re.compile(r"[^\[\]]+(?!\[\]\[\])(?:\[[^\[\]]*\]){0,2}")
_NAME: Final = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
_DATA_URL: Final = re.compile(r"data:[^,]{0,200};base64,", re.ASCII)


async def read_body(request: Request) -> tuple[dict[str, Any], bool]:
    """Return the body of a request, and whether it was a form, whose values are texts or bytes. Raises RequestError."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > MAX_BYTES:
            raise RequestError(
                413, f"The request is too large; expected {MAX_BYTES} bytes at most.", "too_large"
            )
        return message

    bounded = Request(request.scope, receive)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _read_form(bounded), True
    if content_type in ("application/json", ""):
        return _read_json(await bounded.body()), False
    raise RequestError(415, "Expected application/json or multipart/form-data.", "unsupported_media_type")


def _read_json(content: bytes) -> dict[str, Any]:
    try:
        body = from_json(content, allow_inf_nan=False)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RequestError(400, "The body is not a JSON object.", "invalid_json")
    return cast("dict[str, Any]", body)


async def _read_form(request: Request) -> dict[str, Any]:
    """Return a form; names such as `image_urls[]` and `elements[][prompt]` are lists, as clients write them."""
    body: dict[str, Any] = {}
    try:
        async with request.form(max_files=50, max_fields=_MAX_FIELDS) as form:
            fields = [
                (name, await field.read() if isinstance(field, UploadFile) else field)
                for name, field in form.multi_items()
            ]
    except RequestError:  # too large
        raise
    except HTTPException:
        raise RequestError(400, "The body is not a valid form.", "invalid_form") from None
    for field, value in fields:
        if _FIELD.fullmatch(field) is None:
            # It would be unknown which item a value belongs to.
            raise _refuse_field(field, "Send it as JSON text instead")
        _put(body, _NAME.findall(field), value)
    return body


def _put(target: dict[str, Any], names: Sequence[str], value: str | bytes) -> None:
    """Set a value in an object: a member of it, or below it; an empty name stands for an item of a list."""
    name, *rest = names
    if not rest:
        if name in target:
            raise _refuse_field(name, "It was sent twice")
        target[name] = value
        return
    kind = dict if rest[0] else list
    child: Any = target.setdefault(name, kind())
    if not isinstance(child, kind):
        raise _refuse_field(name, "It was sent in two forms")
    if isinstance(child, dict):
        _put(cast("dict[str, Any]", child), rest, value)
    elif rest == [""]:
        child.append(value)
    else:  # the first object that does not have the member yet
        free = (item for item in child if isinstance(item, dict) and rest[1] not in item)
        if (item := next(free, None)) is None:
            child.append(item := {})
        _put(item, rest[1:], value)


def _refuse_field(name: str, problem: str) -> RequestError:
    name = name.partition("[")[0][:100]
    return RequestError(400, f"The field {name!r} is not valid: {problem}.", "invalid_form", name)


def fit(
    value: Any, schema: Mapping[str, Any], read_media: Callable[[str], str | bytes], *, is_form: bool = False
) -> Any:
    """Return a value with the types that its schema expects: media as it is read, numbers for the texts of forms.

    A value that does not fit is returned as it is, so that the adapter refuses it with its message.

    Args:
        value: The value.
        schema: The JSON Schema of the parameter.
        read_media: Reads a text that stands for media.
        is_form: Whether numbers, lists and the like are texts.

    """
    if isinstance(value, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        members = cast("dict[str, Any]", value).items()
        return {
            name: fit(member, properties.get(name, {}), read_media, is_form=is_form)
            for name, member in members
        }
    if isinstance(value, list):
        items: Mapping[str, Any] = schema.get("items", {})
        return [fit(item, items, read_media, is_form=is_form) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, str):
        return value
    if "media" in schema.get("x-kling", {}):
        return read_media(value)
    return _read_text(value, schema, read_media) if is_form and "enum" not in schema else value


def _read_text(text: str, schema: Mapping[str, Any], read_media: Callable[[str], str | bytes]) -> Any:
    types = schema.get("type", "string")
    if "string" in types and not ("array" in types and text.startswith("[")):
        return text
    try:
        return fit(from_json(text, allow_inf_nan=False), schema, read_media)
    except ValueError:
        return text


def decode_data_url(text: str) -> str | bytes:
    """Return the content of a data URL; any other text as it is."""
    match = _DATA_URL.match(text)
    if match is None:
        return text
    try:
        return base64.b64decode(text[match.end() :], validate=True)
    except binascii.Error:
        return text
