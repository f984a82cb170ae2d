"""References to objects that only this process can use: a client, a connection, a lock."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

T = TypeVar("T")


class ProcessLocal(Generic[T]):
    """Reference to `value` in this process. Copies share it; in a pickle it becomes None."""

    def __init__(self, value: T | None = None) -> None:
        self.value = value

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[ProcessLocal[T]], tuple[()]]:
        return type(self), ()
