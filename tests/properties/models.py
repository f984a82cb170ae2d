"""The models to judge: those of the catalogue, and those of tests/golden, whose specs use every keyword."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from functools import reduce
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from kling_adapters import Params, load_catalog

_TREES = [Path(__file__).parents[1] / "golden" / tree for tree in ("core/models", "acme/acme_kling/models")]
_loaded = count()


def golden() -> dict[str, tuple[dict[str, Any], Path]]:
    """Return the packaged schema and the generated module of each model of tests/golden."""
    return {
        path.stem: (
            json.loads(path.read_text("utf-8")),
            path.parents[1] / f"{path.stem.replace('-', '_').replace('.', '_')}.py",
        )
        for tree in _TREES
        for path in (tree / "schemas").glob("*.json")
    }


def load_model(sources: Mapping[str, str]) -> type[Params]:
    """Execute sources of modules, by name, and return the adapter class of the last.

    Each imports the earlier ones instead of the modules of `kling_adapters` with these names.
    """
    called = {
        f"kling_adapters.{name}": f"loaded_{next(_loaded)}_{name.replace('.', '_')}" for name in sources
    }
    for name, source in zip(called.values(), sources.values(), strict=True):
        module = ModuleType(name)
        # pydantic looks up the names of annotations in the module of their class.
        sys.modules[name] = module
        exec(
            reduce(lambda text, old: re.sub(rf"\b{old}\b", called[old], text), called, source),
            module.__dict__,
        )
    [model] = [
        member
        for member in vars(module).values()
        if isinstance(member, type) and member.__module__ == name and "adapter" in vars(member)
    ]
    return model


def models() -> dict[str, tuple[dict[str, Any], type[Params]]]:
    """Return the packaged schema and the model of every spec, by slug."""
    models = {slug: (entry.json_schema(), entry.load()) for slug, entry in load_catalog().items()}
    return models | {
        slug: (schema, load_model({path.stem: path.read_text("utf-8")}))
        for slug, (schema, path) in golden().items()
    }
