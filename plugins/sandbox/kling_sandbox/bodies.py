"""Bodies of requests: their limits, and strict JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Receive

MAX_PARAMS: Final = 4 * 1024**2
"""Bytes of a body, except for uploads."""


class BodyTooLarge(Exception):
    """The body exceeds its limit. It was read to its end and dropped."""


class ClientDisconnected(Exception):
    """The connection ended before the body."""


def read_content_type(headers: Mapping[str, str]) -> str:
    """Return the media type of a body in lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def receive_body(receive: Receive, limit: int) -> bytes:
    """Return the body of a request. It is always read to its end, because a client may read no response before.

    Raises BodyTooLarge for more than `limit` bytes, ClientDisconnected if the connection ended before the body.
    """
    body = bytearray()
    is_too_large = False
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        is_too_large = is_too_large or len(body) + len(chunk) > limit
        if is_too_large:
            body.clear()
        else:
            body += chunk
    if is_too_large:
        raise BodyTooLarge
    return bytes(body)


def make_too_large_body(limit: int) -> dict[str, str]:
    """Return the response body for a request that is too large."""
    return {"error": f"The body is larger than {limit} bytes, the limit of the sandbox for this path"}


def parse_json(body: bytes) -> Any:
    """Return the JSON value. Raises ValueError, also for NaN, 1e999 and lone surrogates, which Python accepts."""
    try:
        value: Any = json.loads(body)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from None
    return value


def to_integers(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an object with 5.0 as 5, which JSON Schema treats as equal."""
    return {
        name: int(member) if isinstance(member, float) and member.is_integer() else member
        for name, member in members.items()
    }
