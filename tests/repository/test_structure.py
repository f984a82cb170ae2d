"""No import circles, no large modules, no long functions."""

from __future__ import annotations

from tests.repository import measures


def test_modules_do_not_import_each_other() -> None:
    assert measures.import_circles() == []


def test_modules_are_short() -> None:
    assert [size for size in measures.module_sizes() if size.lines > measures.MODULE_LINES] == []


def test_functions_are_short() -> None:
    assert [size for size in measures.function_sizes() if size.lines > measures.FUNCTION_LINES] == []
