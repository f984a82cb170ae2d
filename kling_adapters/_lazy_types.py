"""Types in annotations that are slow to import."""

from __future__ import annotations

from typing import Any, ForwardRef


def lazy_type(module: str, name: str) -> Any:
    """Return a type for annotations, which `typing.get_type_hints` imports when it reads them.

    A module that imports it for type checkers only would lack the name at run time.

    Args:
        module: The module in this package.
        name: The name of the type in it.

    """
    return ForwardRef(f"__import__('kling_adapters.{module}', fromlist=['{name}']).{name}")
