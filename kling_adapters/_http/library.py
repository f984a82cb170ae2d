"""The HTTP library: httpx2, the maintained continuation of httpx, if it is installed; otherwise httpx.

No other module imports either. This package uses only what is the same in both, so the types are those of httpx.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

_FIRST, _AFTER_LAST = (2, 16), (3, 0)
"""Releases of httpx2 that are used; other packages may have installed any."""


def _is_supported(module: ModuleType) -> bool:
    version: str = module.__version__
    return module.__name__ == "httpx" or _FIRST <= tuple(map(int, version.split(".")[:2])) < _AFTER_LAST


if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx
    else:
        if not _is_supported(httpx):
            import httpx

__all__ = ["find_libraries", "find_request_type", "httpx"]


def find_libraries() -> list[ModuleType]:
    """Return the libraries that this process has imported: the transport of a caller may use the other one."""
    modules = (sys.modules.get(name) for name in ("httpx2", "httpx"))
    return [module for module in modules if module is not None and _is_supported(module)]


def find_request_type(custom: object) -> type[httpx.Request]:
    """Return the class of requests of the library that a transport belongs to; otherwise that of this package."""
    for library in find_libraries():
        if isinstance(custom, library.BaseTransport | library.AsyncBaseTransport):
            request_type: type[httpx.Request] = library.Request
            return request_type
    return httpx.Request
