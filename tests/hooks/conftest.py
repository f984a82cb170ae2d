"""Fixtures of the tests of plugins: installed distributions, and warnings that appear in every test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from kling_adapters.plugins import discovery

Install: TypeAlias = Callable[..., None]

VAULT = """
from kling_adapters.hookspecs import hookimpl

class Vault:
    @hookimpl
    def kling_auth(self, gateway, chosen):
        return self if chosen or {always} else None

    def api_key(self):
        return "{key}"
"""


@pytest.fixture(autouse=True)
def _warn_in_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which warnings were logged; users read each once in a process."""
    monkeypatch.setattr(discovery, "_warnings_logged", set())


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one plugin where Python finds installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def put(name: str, code: str, module: str | None = None) -> None:
        module = module or f"plugin_{name}"
        modules.append(module.partition(":")[0])
        (tmp_path / f"{module.partition(':')[0]}.py").write_text(code)
        metadata = tmp_path / f"acme_{name}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[kling_adapters]\n{name} = {module}\n")

    yield put
    for module in modules:
        sys.modules.pop(module, None)
