"""String literals of Python."""

from __future__ import annotations

import textwrap

# The longest string literal that fits after `description=` in a Field.
TEXT_LENGTH = 84


def text_literal(value: str) -> str:
    """Return a string literal, in pieces if it is long: ruff does not cut strings."""
    if len(repr(value)) <= TEXT_LENGTH:
        return repr(value)
    pieces = textwrap.wrap(
        value,
        TEXT_LENGTH - len("''"),
        drop_whitespace=False,
        replace_whitespace=False,
        expand_tabs=False,
        break_on_hyphens=False,
    )
    return f"({' '.join(map(repr, pieces))})"
