"""No import circles, no large modules, no long functions."""

from __future__ import annotations

import json
from pathlib import Path

from tests.repository import measures

# Modules and functions over the limits. Remove an entry once its code complies: a stale entry fails the test too.
EXCEPTIONS: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("structure_exceptions.json").read_text("utf-8")
)


def test_modules_do_not_import_each_other() -> None:
    in_circles = sorted(module for circle in measures.import_circles() for module in circle)
    assert in_circles == EXCEPTIONS["circles"]


def test_modules_are_short() -> None:
    long = sorted(size.name for size in measures.module_sizes() if size.lines > measures.MODULE_LINES)
    assert long == EXCEPTIONS["modules"]


def test_functions_are_short() -> None:
    long = sorted(size.name for size in measures.function_sizes() if size.lines > measures.FUNCTION_LINES)
    assert long == EXCEPTIONS["functions"]
