"""Bodies of requests: how much of them is read, and as JSON that any reader takes."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Receive

LARGEST_PARAMS: Final = 4 * 1024**2
"""Bytes of the body of any request but an upload."""


class BodyTooLarge(Exception):
    """More was sent than is taken; it was read to its end, and nothing of it was kept."""


class ClientGone(Exception):
    """The connection ended before the body did."""


async def receive_body(receive: Receive, largest: int) -> bytes:
    """Read the body of a request, so that its sender reads the answer, and keep at most `largest` bytes.

    Raises BodyTooLarge if it has more, ClientGone if the client went away before the end of the body.
    """
    body = bytearray()
    is_too_large = False
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        is_too_large = is_too_large or len(body) + len(chunk) > largest
        if is_too_large:
            body.clear()
        else:
            body += chunk
    if is_too_large:
        raise BodyTooLarge
    return bytes(body)


def too_large(largest: int) -> dict[str, str]:
    """Return the body of the answer to a request that is too large."""
    return {"error": f"The body is larger than {largest} bytes, the most that the sandbox takes here"}


def read(body: bytes) -> Any:
    """Return the JSON value. Raises ValueError, also for what only Python reads: NaN, 1e999, half characters."""
    try:
        value: Any = json.loads(body)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from None
    return value


def with_integers(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an object with 5.0 as 5, which is the same to JSON Schema."""
    return {
        name: int(member) if isinstance(member, float) and member.is_integer() else member
        for name, member in members.items()
    }
