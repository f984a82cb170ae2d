"""A problem with one parameter, as `ParamsInvalid` reports it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

from kling_adapters import _text

_PLAIN_TYPES = (type(None), bool, int, float, str, bytes)
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Problem:
    """One broken constraint. Its text has no control characters and is bounded.

    Attributes:
        path: The parameter, such as `elements[0].frontal_image_url`.
        message: The constraint that is broken.
        value: The rejected value; a description of it if it is not plain data, such as an open file.
        allowed: The allowed values; None if `message` names them.
        suggestion: The name or value that was probably meant.
        file: The rejected text, if it is the path of an existing file that the parameter could take: as
            `Path(...)` in Python, as `@...` on the command line.

    """

    path: str
    message: str
    value: Any = None
    allowed: str | None = None
    suggestion: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        for name in ("path", "message"):
            _check_text(name, getattr(self, name))
        for name in ("allowed", "suggestion", "file"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        if not _is_plain(self.value):
            # An open file cannot be copied or pickled, and the error would keep it open.
            object.__setattr__(self, "value", _text.show(self.value))

    def __str__(self) -> str:
        text = f"{_text.shorten(self.path, 200)}: {_text.shorten(self.message)}"
        if self.allowed:
            text += f"; allowed: {_text.shorten(self.allowed)}"
        if self.suggestion:
            text += f"; did you mean {_text.shorten(self.suggestion, 200)}?"
        return _text.escape(text)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} of a Problem is of type {type(value).__name__}; expected a str")


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value consists of built-in types only, so that it can be copied and pickled."""
    if type(value) in _PLAIN_TYPES or isinstance(value, PurePath):
        return True
    if depth == _MAX_DEPTH:
        return False
    if type(value) is dict:
        pairs = cast("Mapping[Any, Any]", value).items()
        return all(_is_plain(name, depth + 1) and _is_plain(member, depth + 1) for name, member in pairs)
    if type(value) in (list, tuple):
        return all(_is_plain(item, depth + 1) for item in cast("Iterable[Any]", value))
    return False
