"""A deprecated name of the package warns once, at the line that uses it. No public name is deprecated today."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from kling_adapters import _warnings

SAMPLE = """
from kling_adapters._warnings import warn_deprecated

def present(size=1):
    return size

def old():
    warn_deprecated("sample.old", since="0.3", use="sample.present", until="0.5")
    return present()

def resize(size=1, old_size=None):
    if old_size is not None:
        warn_deprecated("sample.resize(old_size=...)", since="0.3", use="size", until="0.5")
        size = old_size
    return present(size)

class Present:
    pass

class Old(Present):
    def __init__(self):
        warn_deprecated("sample.Old", since="0.3", use="sample.Present", until="0.5")

def __getattr__(name):
    if name == "OLD_SIZE":
        warn_deprecated("sample.OLD_SIZE", since="0.3", use="sample.SIZE", until="0.5")
        return 7
    raise AttributeError(name)
"""


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the package with an old function, parameter, class and attribute."""
    monkeypatch.setattr(_warnings, "_deprecated_names", set())
    module = types.ModuleType("kling_adapters.sample")
    exec(SAMPLE, vars(module))
    return module


USES: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda sample: sample.old(), "sample.old", "sample.present"),
    (lambda sample: sample.resize(old_size=7), "sample.resize(old_size=...)", "size"),
    (lambda sample: sample.Old(), "sample.Old", "sample.Present"),
    (lambda sample: sample.OLD_SIZE, "sample.OLD_SIZE", "sample.SIZE"),
]


@pytest.mark.parametrize(("use", "name", "present"), USES, ids=[name for _, name, _ in USES])
def test_old_name_warns_once_at_its_use(
    sample: Any, use: Callable[[Any], Any], name: str, present: str
) -> None:
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        for _ in range(3):
            use(sample)
    [warning] = issued
    assert warning.category is DeprecationWarning
    assert (warning.filename, warning.lineno) == (__file__, use.__code__.co_firstlineno)
    assert str(warning.message) == (
        f"{name} is deprecated since version 0.3. Use {present}; version 0.5 removes it"
    )


def test_each_old_name_warns(sample: Any) -> None:
    for use, _, present in USES:
        with pytest.warns(DeprecationWarning, match=f"Use {present};"):
            use(sample)


def test_present_names_do_not_warn(sample: Any) -> None:
    assert sample.resize(size=2) == 2
    assert sample.Present()
