"""The public names, and the tables that must agree with each other."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import contextlib
import inspect
import os
import pathlib
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import kling_adapters
from kling_adapters import ApiError, KlingError, WaitTimeout, api_errors, errors, hookspecs, models, testing
from kling_adapters.models import CATALOG, _gateway
from kling_adapters.protocol.failures import api_error
from kling_adapters.protocol.messages import Answer

MODULES = (kling_adapters, kling_adapters.events, testing)
FOREIGN = (builtins, collections.abc, contextlib, os, pathlib, typing)
"""Modules of Python whose names public signatures use."""

MADE_BY_CLIENTS = ("Job.__init__", "AsyncJob.__init__")


def public_names() -> set[str]:
    names = {name for module in MODULES for name in module.__all__}
    return names | {name for name in vars(hookspecs) if not name.startswith("_")}


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of every public class, function, method and property."""
    exports = [(name, getattr(module, name)) for module in MODULES for name in module.__all__]
    exports += [(name, value) for name, value in vars(hookspecs).items() if not name.startswith("_")]
    for name, value in exports:
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value):
            members = {
                member: attribute
                for kind in reversed(value.__mro__)
                if kind.__module__.startswith("kling_adapters")
                for member, attribute in vars(kind).items()
                if not member.startswith("_") or member == "__init__"
            }
            for member, attribute in members.items():
                function = attribute.fget if isinstance(attribute, property) else attribute
                yield f"{name}.{member}", getattr(function, "__func__", function)


def names_in(annotation: str) -> set[str]:
    """Return the names of types in an annotation, without the strings of a Literal."""
    tree = ast.parse(annotation, mode="eval")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def is_type_variable(value: Any, name: str) -> bool:
    return isinstance(getattr(sys.modules[value.__module__], name, None), typing.TypeVar)


def test_every_public_name_exists() -> None:
    assert all(getattr(kling_adapters, name) is not None for name in kling_adapters.__all__)


def test_dir_lists_public_names_only() -> None:
    assert dir(kling_adapters) == sorted(kling_adapters.__all__)
    assert sorted(models.__all__) == sorted(["CATALOG", *(entry.name for entry in CATALOG)])


def test_types_of_public_signatures_are_public() -> None:
    allowed = public_names() | {"click"}
    missing = {
        (where, name)
        for where, value in public_objects()
        for argument, annotation in getattr(value, "__annotations__", {}).items()
        if isinstance(annotation, str) and not argument.startswith("_") and where not in MADE_BY_CLIENTS
        for name in names_in(annotation) - allowed
        if not any(hasattr(module, name) for module in FOREIGN) and not is_type_variable(value, name)
    }
    assert missing == set()


def test_every_error_is_public_and_in_the_tree() -> None:
    kinds = [
        kind
        for module in (errors, api_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, KlingError)
    ]
    assert len(kinds) > 20
    tree = (errors.__doc__ or "").splitlines()
    for kind in kinds:
        assert kind.__name__ in kling_adapters.__all__
        assert any(kind.__name__ in line.split() for line in tree), kind.__name__


def test_every_module_logs_to_one_logger() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("kling_adapters.")]
    loggers = [module.log.name for module in modules if hasattr(module, "log")]
    assert len(loggers) > 10
    assert set(loggers) == {"kling_adapters"}


def test_only_errors_look_like_errors() -> None:
    suffixes = ("Error", "Failed", "Expired", "Invalid", "Timeout", "Uncertain")
    for name in kling_adapters.__all__:
        value = getattr(kling_adapters, name)
        assert not name.endswith(suffixes) or issubclass(value, KlingError), name


def test_wait_timeout_is_a_timeout_error() -> None:
    with pytest.raises(TimeoutError, match=r"has not ended after 5 s \(QUEUED\)"):
        raise WaitTimeout("job-1", 5, None, "QUEUED")


@pytest.mark.parametrize("status", sorted(_gateway.STATUSES))
def test_every_status_has_the_error_class_of_its_name(status: int) -> None:
    error = api_error(Answer(status, {}, b'{"error": "no"}'))
    assert type(error).__name__ == _gateway.STATUSES[status].name
    assert isinstance(error, ApiError)
    assert _gateway.STATUSES[status].meaning in str(error)


def test_lifetimes_in_messages_are_those_of_the_gateway() -> None:
    assert "one hour" in str(errors.JobExpired("job-1"))
    assert _gateway.RECORD_LIFETIME == 3600
    assert "seven days" in str(errors.JobExpired("job-1"))
    assert _gateway.OUTPUT_LIFETIME == 7 * 86400


def test_catalog_has_a_short_repr() -> None:
    assert repr(kling_adapters.load_catalog()) == f"<Catalog of {len(CATALOG)} models>"


def test_importing_the_package_imports_no_model() -> None:
    code = (
        "import sys, kling_adapters; kling_adapters.load_catalog();"
        "print([m for m in sys.modules if m.startswith('kling_adapters.models.kling')]);"
        "from kling_adapters.models import Kling2;"
        "print([m for m in sys.modules if m.startswith('kling_adapters.models.kling')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['kling_adapters.models.kling_2']"]


def test_unknown_model_class_is_an_attribute_error() -> None:
    from kling_adapters import models

    assert {entry.name for entry in CATALOG} < set(models.__all__)
    with pytest.raises(AttributeError, match="Kling99"):
        _ = models.Kling99
