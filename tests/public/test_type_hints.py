"""Every annotation of a public callable can be read at run time, as frameworks do."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass

import pytest

import kling_adapters
from kling_adapters import AsyncKling, Estimate, Kling, Params


def iter_callables() -> Iterator[tuple[str, object]]:
    """Yield the public functions, classes and methods of the package. Those of pydantic are its own."""
    for name in kling_adapters.__all__:
        value = getattr(kling_adapters, name)
        if inspect.isclass(value):
            yield name, value
            yield from _iter_methods(name, value)
        elif inspect.isfunction(value):
            yield name, value


def _iter_methods(name: str, owner: type) -> Iterator[tuple[str, object]]:
    for member, value in inspect.getmembers(owner):
        function = value.fget if isinstance(value, property) else value
        is_constructor = member == "__init__" and not is_dataclass(owner)
        if member.startswith("_") and not is_constructor:
            continue
        module = getattr(function, "__module__", None) or ""
        if (inspect.isfunction(function) or inspect.ismethod(function)) and "pydantic" not in module:
            yield f"{name}.{member}", function


@pytest.mark.parametrize(
    ("name", "value"), list(iter_callables()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_annotations_can_be_read(name: str, value: object) -> None:
    typing.get_type_hints(value)


def test_annotations_are_the_public_types() -> None:
    for client in (Kling, AsyncKling):
        hints = typing.get_type_hints(client.run)
        assert hints["model"] == str | Params
        assert typing.get_type_hints(client.estimate)["return"] is Estimate


def test_making_a_client_imports_no_types_of_annotations() -> None:
    code = "import sys, kling_adapters; kling_adapters.Kling; print(*(n for n in sys.modules if 'pydantic' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
