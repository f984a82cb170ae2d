"""Calls into plugins. `sys.exit()` in a plugin is an exception like any other."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pluggy


class PluginExit(Exception):
    """A plugin tried to end the process, for example with sys.exit()."""


def call_hook(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation of a hook with those of the arguments that it accepts."""
    with contain_exits():
        return implementation.function(*(arguments[name] for name in implementation.argnames))


@contextmanager
def contain_exits() -> Generator[None]:
    """Convert exceptions that would end the process to PluginExit, except those of the user."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if _is_from_user(error):
            raise
        raise PluginExit(describe_error(error)) from error


def describe_error(error: BaseException) -> str:
    """Return the type and the message of an exception."""
    if isinstance(error, PluginExit):
        return str(error)
    return f"{type(error).__name__}: {error}".strip(": ")


def _is_from_user(error: BaseException) -> bool:
    """Return whether Ctrl-C or a signal handler of the application raised an exception."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = [getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()]
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, KeyboardInterrupt) or any(frame.f_code in handlers for frame, _ in frames)
