"""Days in a spec, deprecated parameters and retired models."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, TypeAlias

from pydantic import MISSING, BeforeValidator, Field, WithJsonSchema

from kling_codegen.closed import Closed, ValueRefused
from kling_codegen.messages import Message, format_value
from kling_codegen.patterns import LINE, SLUG


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


class Deprecated(Closed):
    """A parameter that works, and that callers should no longer set."""

    since: Annotated[Day, Field(description="The day from which it is deprecated.")]
    use: Annotated[
        Annotated[str, Field(pattern=LINE, max_length=100)] | MISSING,
        Field(description="The replacement, as it follows the word use: mode pro."),
    ] = MISSING

    def text(self) -> str:
        """Return a sentence for the documentation."""
        return _describe("Deprecated", self.since, self.use)


class Retired(Closed):
    """A model that takes no new jobs; its earlier ones can be collected."""

    since: Annotated[Day, Field(description="The day from which it takes no jobs.")]
    use: Annotated[
        Annotated[str, Field(pattern=SLUG)] | MISSING, Field(description="The slug of its successor.")
    ] = MISSING

    def text(self) -> str:
        """Return a sentence for the documentation."""
        return _describe("Retired", self.since, self.use)


def _describe(state: str, since: date, use: str | MISSING) -> str:
    return f"{state} since {since}{'' if use is MISSING else f'; use {use}'}."
