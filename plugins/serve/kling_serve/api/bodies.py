"""Bodies of requests, JSON or multipart, and the texts in them as the JSON Schema of a model expects them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from kling_serve.api.errors import RequestError

MAX_BYTES: Final = 80 * 1024**2
"""Size of a request with its files, in bytes."""
_MAX_FIELDS: Final = 500
_FIELD: Final = re.compile(r"([^\[\]]+)(\[\])?(?:\[([^\[\]]+)\])?")
"""The name of a form field: the parameter, brackets of a list, and a member of an object."""


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
    """Return a form; names such as `image_urls[]` and `multi_prompt[][prompt]` are lists, as clients write them."""
    try:
        async with request.form(max_files=50, max_fields=_MAX_FIELDS) as form:
            fields = {name: [await _read_value(value) for value in form.getlist(name)] for name in form}
    except UnicodeError:
        # Python has codecs that refuse texts with other errors than the form parser of Starlette expects.
        raise RequestError(
            400, "The form cannot be read in its charset: expected UTF-8.", "invalid_form"
        ) from None
    body: dict[str, list[Any]] = {}
    forms: dict[str, tuple[bool, bool]] = {}
    for field, values in fields.items():
        match = _FIELD.fullmatch(field)
        if match is None:
            # It would be unknown which item a value belongs to.
            raise _refuse_field(field, "Send it as JSON text instead")
        name, brackets, member = match.groups()
        form_of_field = (brackets is not None, member is not None)
        if forms.setdefault(name, form_of_field) != form_of_field:
            raise _refuse_field(field, "It was sent in two forms")
        if len(values) > 1 and brackets is None:
            raise _refuse_field(field, "It was sent twice")
        items = body.setdefault(name, values if member is None else [])
        for index, value in enumerate(values if member is not None else ()):
            if index == len(items):
                items.append({})
            items[index][member] = value
    for name, items in body.items():
        if forms[name][1] and len({len(item) for item in items}) > 1:
            # A form does not say which of the items lacks a member.
            raise _refuse_field(name, "Its items have different members. Send it as JSON text instead")
    return {name: items if forms[name][0] else items[0] for name, items in body.items()}


async def _read_value(value: UploadFile | str) -> bytes | str:
    return value if isinstance(value, str) else await value.read()


def _refuse_field(name: str, problem: str) -> RequestError:
    name = name.partition("[")[0][:100]
    return RequestError(400, f"The field {name!r} is not valid: {problem}.", "invalid_form", name)


def convert_texts(
    value: Any, schema: Mapping[str, Any], convert: Callable[[str, Mapping[str, Any]], Any]
) -> Any:
    """Return a value with each text in it as a function returns it, which receives the text and its JSON Schema."""
    if isinstance(value, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        members = cast("dict[str, Any]", value).items()
        return {name: convert_texts(member, properties.get(name, {}), convert) for name, member in members}
    if isinstance(value, list):
        items: Mapping[str, Any] = schema.get("items", {})
        return [convert_texts(item, items, convert) for item in cast("Sequence[Any]", value)]
    return convert(value, schema) if isinstance(value, str) else value


def read_text(text: str, schema: Mapping[str, Any]) -> Any:
    """Return a text of a form as its schema expects it: a number, a list, and so on.

    A text that does not fit is returned as it is, so that the adapter refuses it with its message.
    """
    types = schema.get("type", "string")
    if "enum" in schema or ("string" in types and not ("array" in types and text.startswith("["))):
        return text
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
