"""Parameters as rules read them: a rule reads few of them, so each becomes plain data when it is read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import MISSING

from kling_adapters.schema.declared import Model, map_attributes, read_declared
from kling_adapters.schema.fields import dump_set_fields, find_member, read_value
from kling_adapters.schema.paths import RuleValues


class _LazyValues(RuleValues):
    __slots__ = ("_names", "_values")

    _names: Mapping[str, Any]
    _values: dict[str, Any]

    @abstractmethod
    def _find(self, name: str) -> Any:
        """Return the value of a parameter; MISSING if it is not set."""

    @abstractmethod
    def _convert(self, name: str, value: Any) -> Any:
        """Return the value of a parameter as plain data."""

    def get(self, name: str, default: Any = None) -> Any:
        values = self._values
        if name not in values:
            values[name] = self._convert(name, self._find(name))
        value = values[name]
        return default if value is MISSING else value

    def peek(self, name: str) -> Any:
        value = self._find(name)
        return None if value is MISSING else value

    def __getitem__(self, name: str) -> Any:
        value = self.get(name, MISSING)
        if value is MISSING:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class ValidValues(_LazyValues):
    """Validated parameters.

    Args:
        model: The model.
        members: The values of all parameters, by the names in Python.
        set_names: The names of those to read; None for all, with their documented defaults.

    """

    __slots__ = ("_members", "_set_names")

    def __init__(self, model: Model, members: Mapping[str, Any], set_names: set[str] | None = None) -> None:
        self._values = {}
        self._names = map_attributes(model)
        self._members = members
        self._set_names = set_names

    def _find(self, name: str) -> Any:
        attribute = self._names.get(name, "")
        if self._set_names is not None and attribute not in self._set_names:
            return MISSING
        return self._members.get(attribute, MISSING)

    def _convert(self, name: str, value: Any) -> Any:
        return dump_set_fields(value, with_defaults=self._set_names is None)


class CallValues(_LazyValues):
    """Parameters of a call that may be invalid.

    Args:
        model: The model.
        data: The parameters by name.
        with_defaults: Whether to read the documented defaults of the others, too.

    """

    __slots__ = ("_data", "_with_defaults")

    def __init__(self, model: Model, data: Mapping[str, Any], *, with_defaults: bool = False) -> None:
        self._values = {}
        self._names = read_declared(model)
        self._data = data
        self._with_defaults = with_defaults

    def _find(self, name: str) -> Any:
        if name not in self._names:
            return MISSING
        parameter = self._names[name]
        value = find_member(parameter, self._data)
        return parameter.default if value is MISSING and self._with_defaults else value

    def _convert(self, name: str, value: Any) -> Any:
        parameter = self._names.get(name)
        if parameter is None or find_member(parameter, self._data) is MISSING:
            return dump_set_fields(value)
        return read_value(parameter, value, with_defaults=self._with_defaults)
