"""The body of a form that a browser has sent, bounded."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BYTES: Final = 2 * 1024**2
MAX_FIELDS: Final = 1000
_TYPE: Final = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Return the names and values of a form, in their order. Raises HTTPException for a body that is too large."""
    if request.headers.get("content-type", _TYPE).partition(";")[0].strip().lower() != _TYPE:
        raise HTTPException(415, f"Expected a form, as {_TYPE}.")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"The form is too large; expected at most {MAX_BYTES} bytes.")
    try:
        text = content.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, f"The form cannot be read; expected at most {MAX_FIELDS} fields.") from None
