"""Bodies of requests, JSON or multipart, as values that fit the JSON Schema of a model."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from kling_serve.api.errors import RequestError

MAX_BYTES: Final = 80 * 1024**2
"""Size of a request with its files, in bytes."""
_MAX_FIELDS: Final = 500
_KEY: Final = re.compile(r"([^\[\]]+)(\[\])?(?:\[([^\[\]]+)\])?(\[\])?")
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
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RequestError(400, "The body is not valid JSON.", "invalid_json") from None
    if not isinstance(body, dict):
        raise RequestError(400, "The body is not a JSON object.", "invalid_json")
    return cast("dict[str, Any]", body)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


async def _read_form(request: Request) -> dict[str, Any]:
    """Return a form; names such as `image_urls[]` and `elements[][prompt]` are lists, as clients write them."""
    body: dict[str, Any] = {}
    try:
        async with request.form(max_files=50, max_fields=_MAX_FIELDS) as form:
            for key, field in form.multi_items():
                _add_field(body, key, await field.read() if isinstance(field, UploadFile) else field)
    except HTTPException:
        raise RequestError(400, "The body is not a valid form.", "invalid_form") from None
    return body


def _add_field(body: dict[str, Any], key: str, value: str | bytes) -> None:
    match = _KEY.fullmatch(key)
    if match is None or (match[2] and match[3] and match[4]):
        # It would be unknown which item a value belongs to.
        raise _refuse_field(key, "Send it as JSON text instead")
    name, is_list, member, is_inner_list = match.groups()
    if member is None:
        _put(body, name, value, is_list=bool(is_list))
    elif not is_list:
        _put(_open(body, name, dict), member, value, is_list=bool(is_inner_list))
    else:
        _put_in_item(_open(body, name, list), member, value)


def _put_in_item(items: list[Any], member: str, value: str | bytes) -> None:
    """Set a member of the first object that does not have it yet."""
    for item in items:
        if isinstance(item, dict) and member not in item:
            item[member] = value
            return
    items.append({member: value})


def _put(target: dict[str, Any], name: str, value: str | bytes, *, is_list: bool) -> None:
    if is_list:
        _open(target, name, list).append(value)
    elif name in target:
        raise _refuse_field(name, "It was sent twice")
    else:
        target[name] = value


def _open(target: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """Return a list or an object in a form, which is created if there is none."""
    value = target.setdefault(name, kind())
    if not isinstance(value, kind):
        raise _refuse_field(name, "It was sent in two forms")
    return value


def _refuse_field(name: str, problem: str) -> RequestError:
    name = name.partition("[")[0][:100]
    return RequestError(400, f"The field {name!r} is not valid: {problem}.", "invalid_form", name)


def fit(value: Any, schema: Mapping[str, Any], *, is_form: bool) -> Any:
    """Return a value with the types that its schema expects: bytes for data URLs, numbers for the texts of forms.

    A value that does not fit is returned as it is, so that the adapter refuses it with its message.

    Args:
        value: The value.
        schema: The JSON Schema of the parameter.
        is_form: Whether numbers, lists and the like are texts.

    """
    items: Mapping[str, Any] = schema.get("items", {})
    if isinstance(value, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        members = cast("dict[str, Any]", value).items()
        return {name: fit(member, properties.get(name, {}), is_form=is_form) for name, member in members}
    if isinstance(value, list):
        return [fit(item, items, is_form=is_form) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, str):
        return value
    if "media" in schema.get("x-kling", {}):
        return decode_data_url(value)
    return _parse_text(value, schema) if is_form else value


def _parse_text(text: str, schema: Mapping[str, Any]) -> Any:
    types = schema.get("type", "string")
    if "enum" in schema or ("string" in types and not ("array" in types and text.startswith("["))):
        return text
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return fit(value, schema, is_form=False)


def decode_data_url(text: str) -> str | bytes:
    """Return the content of a data URL; any other text as it is."""
    match = _DATA_URL.match(text)
    if match is None:
        return text
    try:
        return base64.b64decode(text[match.end() :], validate=True)
    except binascii.Error:
        return text
