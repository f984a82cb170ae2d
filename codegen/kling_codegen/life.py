"""Days in a spec."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from kling_codegen.closed import ValueRefused
from kling_codegen.messages import Message, format_value


def _parse_day(value: Any) -> Any:
    if isinstance(value, date):
        return value
    try:
        # fromisoformat takes 20261121, too.
        return date.fromisoformat(value if len(value) == len("2026-11-21") else "")
    except (TypeError, ValueError):
        raise ValueRefused(Message(f"{format_value(value)} is not a day", "such as 2026-11-21")) from None


Day: TypeAlias = Annotated[
    date, BeforeValidator(_parse_day), WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"})
]
