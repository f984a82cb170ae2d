"""The states in the life of a model, those of tests/golden/life, as plugins that a client can have."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from kling_adapters import CatalogEntry, Params
from kling_adapters.hookspecs import hookimpl

STATES = Path(__file__).parents[1] / "golden" / "life"


class State:
    """The models of one state. It is a plugin for `Kling(plugins=[...])`."""

    def __init__(self, catalog: tuple[CatalogEntry, ...]) -> None:
        self.catalog = catalog

    @hookimpl
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        for entry in self.catalog:
            register(entry)

    @property
    def model(self) -> type[Params]:
        """The class of studio-1."""
        return self.catalog[0].load()

    @property
    def schemas(self) -> dict[str, Any]:
        """The packaged schemas by slug, for a sandbox."""
        return {entry.slug: entry.json_schema() for entry in self.catalog}


@cache
def load_state(state: str) -> State:
    """Return a state, such as 2-renamed; its package is imported under a name of its own."""
    folder = Path(mkdtemp(prefix="kling-life-"))
    name = write_package(state, folder)
    sys.path.insert(0, str(folder))
    try:
        package = importlib.import_module(f"{name}.models")
        for entry in package.CATALOG:
            importlib.import_module(entry.module)
    finally:
        sys.path.remove(str(folder))
    return State(package.CATALOG)


def write_package(state: str, folder: Path) -> str:
    """Copy the package of a state into a folder, and return its import name, which no other state has."""
    name = f"studio_{state.replace('-', '_')}"
    shutil.copytree(STATES / state / "studio", folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / name).rglob("*.py"):
        path.write_text(path.read_text("utf-8").replace("studio.models", f"{name}.models"), "utf-8")
    return name


def read_example(state: str) -> dict[str, Any]:
    """Return the example of studio-1 in a state."""
    path = STATES / state / "studio" / "models" / "schemas" / "studio-1.json"
    example: dict[str, Any] = json.loads(path.read_text("utf-8"))["examples"][0]
    return example


_PLUGIN = """\
from kling_adapters.hookspecs import hookimpl
from {name}.models import CATALOG

@hookimpl
def kling_register_adapters(register):
    for entry in CATALOG:
        register(entry)
"""


def install_state(state: str, folder: Path) -> None:
    """Install a state as the distribution `studio`, for processes that have the folder in their path."""
    name = write_package(state, folder)
    (folder / "studio_plugin.py").write_text(_PLUGIN.format(name=name), "utf-8")
    metadata = folder / "studio-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: studio\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kling_adapters]\nstudio = studio_plugin\n")
