"""Stores of limited size: a client that sends without end must not fill the memory of this machine."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedStore(Generic[K, V]):
    """A mapping that drops its oldest entries when all of them together are too large.

    May be used by several threads.
    """

    def __init__(self, capacity: int) -> None:
        """Begin empty. `capacity`: the size of all entries together, in the unit that `add` takes."""
        self._capacity = capacity
        self._size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: K, value: V, size: int) -> None:
        """Add an entry under a new key, and drop the oldest ones for which there is no room now."""
        with self._lock:
            self._entries[key] = (value, size)
            self._size += size
            self._make_room()

    def grow(self, key: K, size: int) -> None:
        """Count an entry as larger by `size`, if it has not been dropped."""
        with self._lock:
            if entry := self._entries.get(key):
                self._entries[key] = (entry[0], entry[1] + size)
                self._size += size
                self._make_room()

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None if there is none or it was dropped."""
        with self._lock:
            value, _ = self._entries.get(key, (None, 0))
        return value

    def values(self) -> tuple[V, ...]:
        """Return all values, the oldest first."""
        with self._lock:
            return tuple(value for value, _ in self._entries.values())

    def _make_room(self) -> None:
        while self._size > self._capacity:
            _, (_, dropped_size) = self._entries.popitem(last=False)
            self._size -= dropped_size
