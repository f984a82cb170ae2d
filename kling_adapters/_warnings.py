"""Warnings about calls that still work, attributed to the code that makes them."""

from __future__ import annotations

import inspect
import warnings

_PASSED_OVER = ("kling_adapters", "pydantic")
_deprecated_names: set[str] = set()
"""Old names that this process has been warned of."""


class DeprecatedParameter(DeprecationWarning):
    """A call uses a parameter that is deprecated, or an old name of one. It works, and is sent."""


class UnknownParameter(UserWarning):
    """A call sets a parameter that the spec of a partial model does not have. It is sent without a check."""


def warn_caller(message: str, category: type[Warning]) -> None:
    """Issue a warning at the line that called this package, where Python shows it and filters find it.

    Args:
        message: The text of the warning.
        category: Its class.

    """
    level, frame = 1, inspect.currentframe()
    while frame and frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_OVER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_deprecated(name: str, *, since: str, use: str, until: str) -> None:
    """Warn the caller of an old name of this package, once a process; docs/versions.md says how long a name stays.

    Args:
        name: The old name, as its users write it, such as "Kling.old_name" or "Kling.submit(old_name=...)".
        since: The version that deprecates it.
        use: The present name.
        until: The version that no longer has it.

    """
    if name not in _deprecated_names:
        _deprecated_names.add(name)
        warn_caller(
            f"{name} is deprecated since version {since}. Use {use}; version {until} removes it",
            DeprecationWarning,
        )
