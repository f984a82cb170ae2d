"""Bodies of requests as JSON that any reader takes."""

import json
from collections.abc import Mapping
from typing import Any


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
