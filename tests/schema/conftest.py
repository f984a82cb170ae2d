"""Models of the catalog, and what is wrong with their parameters."""

from __future__ import annotations

from typing import Any

import pytest

from kling_adapters import Params, ParamsInvalid, load_catalog

CATALOG = load_catalog()
URL = "https://example.com/a.png"
MEDIA = "a URL such as https://example.com/cat.png, a Path, bytes, or a file opened in mode 'rb'"


def load_model(slug: str) -> type[Params]:
    """Return a model of the catalog."""
    return CATALOG[slug].load()


def list_problems(slug: str, **params: Any) -> list[str]:
    """Return what is wrong with parameters."""
    with pytest.raises(ParamsInvalid) as caught:
        load_model(slug).model_validate(params)
    return [str(problem) for problem in caught.value.problems]
