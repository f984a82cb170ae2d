"""Reset of objects in a forked child, which must not use locks, connections and files of its parent."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object that must be reset in a forked child."""

    def reset_after_fork(self) -> None:
        """Replace everything that the child must not share with its parent. Must not block."""
        ...


_FORKABLES: WeakSet[Forkable] = WeakSet()


def reset_in_children(instance: Forkable) -> None:
    """Call `instance.reset_after_fork()` in every forked child, as long as the instance lives."""
    _FORKABLES.add(instance)


def _reset_all() -> None:
    for instance in list(_FORKABLES):
        instance.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_all)


class ForkSafeLock:
    """Lock that is free in a forked child, where the thread that held it does not exist."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        reset_in_children(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        # In a child that was forked within the block, the lock was replaced by a free one.
        with suppress(RuntimeError):
            self._lock.release()

    def reset_after_fork(self) -> None:
        """See Forkable."""
        self._lock = threading.Lock()
