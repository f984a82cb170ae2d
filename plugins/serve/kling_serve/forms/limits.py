"""The limits of a parameter in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_limits(schema: Mapping[str, Any]) -> str:
    """Return the allowed values of a parameter, such as "0 to 1" or "at most 3 items"; empty without a limit."""
    parts = [
        _describe_range(schema.get("minimum"), schema.get("maximum"), ""),
        _describe_range(schema.get("minLength"), schema.get("maxLength"), " characters"),
        _describe_range(schema.get("minItems"), schema.get("maxItems"), " items"),
    ]
    return ", ".join(part for part in parts if part)


def _describe_range(low: float | None, high: float | None, unit: str) -> str:
    if low is not None and high is not None:
        return f"{low:,} to {high:,}{unit}" if low != high else f"exactly {low:,}{unit}"
    if high is not None:
        return f"at most {high:,}{unit}"
    return f"at least {low:,}{unit}" if low is not None else ""
