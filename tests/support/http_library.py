"""The HTTP libraries of this run: httpx, and httpx2 unless it is missing, or hidden by `make plain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from kling_adapters._http import library

HTTPX = library.httpx.__name__
"""The library of the client."""
HTTPCORE = HTTPX.replace("httpx", "httpcore")

LIBRARIES: list[Any] = [httpx] if HTTPX == "httpx" else [httpx, library.httpx]
"""All libraries; a transport of a caller may be of any."""

HIDING_FOLDER = Path(__file__).parent / "without_httpx2"
"""In PYTHONPATH, it hides httpx2."""
