"""Stores of limited size, so that no client can fill the memory of this machine."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedStore(Generic[K, V]):
    """A mapping that drops its oldest entries when their total size exceeds the capacity. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        """`capacity` is in the unit of `add`."""
        self._capacity = capacity
        self._size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: K, value: V, size: int) -> None:
        """Add an entry with a new key, and drop the oldest entries to make room."""
        with self._lock:
            self._entries[key] = (value, size)
            self._size += size
            self._make_room()

    def grow(self, key: K, size: int) -> None:
        """Increase the size of an entry, unless it was dropped."""
        with self._lock:
            if entry := self._entries.get(key):
                self._entries[key] = (entry[0], entry[1] + size)
                self._size += size
                self._make_room()

    def get(self, key: K) -> V | None:
        """Return the value of a key; None if it does not exist or was dropped."""
        with self._lock:
            value, _ = self._entries.get(key, (None, 0))
        return value

    def values(self) -> tuple[V, ...]:
        """Return all values, oldest first."""
        with self._lock:
            return tuple(value for value, _ in self._entries.values())

    def _make_room(self) -> None:
        while self._size > self._capacity:
            _, (_, dropped_size) = self._entries.popitem(last=False)
            self._size -= dropped_size
