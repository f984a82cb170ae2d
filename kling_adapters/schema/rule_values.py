"""Parameters as rules read them: a rule reads few of them, so each becomes plain data when it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import MISSING

from kling_adapters.schema.declared import Model, map_attributes, read_declared
from kling_adapters.schema.fields import dump_set_fields, find_member, read_value


class RuleValues(Mapping[str, Any]):
    """Parameters by the gateway's names.

    Args:
        names: The gateway's names of all parameters.
        read: Returns the value of a parameter as plain data; MISSING if it is not set.

    """

    __slots__ = ("_names", "_read", "_values")

    def __init__(self, names: Iterable[str], read: Callable[[str], Any]) -> None:
        self._names = names
        self._read = read
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a parameter, or the default if it is not set."""
        return self._values[name] if name in self else default

    def __contains__(self, name: object) -> bool:
        if name not in self._values:
            self._values[str(name)] = self._read(str(name))
        return self._values[str(name)] is not MISSING

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def view_validated(
    model: Model, members: Mapping[str, Any], set_names: Collection[str]
) -> tuple[RuleValues, RuleValues]:
    """Return the values and the set values of valid parameters; see Rule.

    Args:
        model: The model.
        members: The validated values of all parameters, by the names in Python.
        set_names: The names of those that are set.

    Returns:
        The parameters with their defaults, and those that are set.

    """
    attributes = map_attributes(model)

    def read(name: str) -> Any:
        return dump_set_fields(members.get(attributes.get(name, ""), MISSING), with_defaults=True)

    def read_set(name: str) -> Any:
        attribute = attributes.get(name, "")
        return dump_set_fields(members[attribute]) if attribute in set_names else MISSING

    return RuleValues(attributes, read), RuleValues(attributes, read_set)


def view_data(model: Model, data: Mapping[str, Any]) -> tuple[RuleValues, RuleValues]:
    """Return the values and the set values of parameters that may be invalid; see Rule.

    Args:
        model: The model.
        data: The parameters of a call.

    Returns:
        The parameters with their defaults, and those that are set.

    """
    parameters = read_declared(model)

    def read(name: str) -> Any:
        value = read_set(name, with_defaults=True)
        return dump_set_fields(parameters[name].default) if value is MISSING and name in parameters else value

    def read_set(name: str, *, with_defaults: bool = False) -> Any:
        if name not in parameters:
            return MISSING
        return read_value(parameters[name], find_member(parameters[name], data), with_defaults=with_defaults)

    return RuleValues(parameters, read), RuleValues(parameters, read_set)
