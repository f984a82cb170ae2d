"""Writes to the journal and calls of plugins whose failure must not lose a paid job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from kling_adapters.errors import StorageError
from kling_adapters.protocol.effects import Flow, Record

log = logging.getLogger("kling_adapters")
T = TypeVar("T")
P = ParamSpec("P")

_FAILURE = "could not update the journal or a plugin; the job continues"


def record(write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T | None]:
    """Call a method of the journal. A failure is logged.

    Returns:
        The value of the method; None if it failed.

    """
    call = partial(write, *args, **kwargs)
    try:
        value: T = yield Record(call)
    except Exception as error:  # noqa: BLE001  the job continues
        _report(error)
        return None
    except BaseException:
        # Ctrl-C during the write: complete the record first; a repeated write is harmless.
        call_quietly(call)
        raise
    return value


def call_quietly(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call a function of the journal or of a plugin. A failure is logged and does not affect the job."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  the job continues
        _report(error)
        return None


def _report(error: Exception) -> None:
    """Log a failure. That of a journal, such as a read-only one, needs no traceback, and may come with each write."""
    if isinstance(error, StorageError):
        log.warning("%s: %s", _FAILURE, error)
    else:
        log.error(_FAILURE, exc_info=error)
