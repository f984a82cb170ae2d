"""The surroundings of the pages: files, jobs and servers that their code blocks name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kling_sandbox
import pytest
from kling_sandbox import Sandbox
from kling_sandbox.clock import Timing

from kling_adapters import Kling
from kling_adapters.testing import PNG
from tests.docs.blocks import ROOT
from tests.support.serving import ALICE, make_sandbox_settings, serve_app

BATCH = [
    {"model": "kling-2", "prompt": "A lighthouse in a storm", "#customer": "Ann"},
    {"model": "kling-bloombloom", "image": "@cat.png", "#customer": "Bob"},
]


@dataclass
class Surroundings:
    """What a page finds when its blocks run: a folder, a gateway, and names for its Python blocks."""

    folder: Path
    sandbox: Sandbox
    names: dict[str, Any] = field(default_factory=dict)


def make_sandbox(timing: str = "at-once", **options: Any) -> Sandbox:
    """Return a sandbox whose jobs end at once."""
    Timing.parse(timing)
    return Sandbox(timing="at-once", **options)


@contextmanager
def surround(page: str, sandbox: Sandbox, folder: Path) -> Iterator[Surroundings]:
    """Set the working folder, the environment and the files of a page, until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        before = dict(os.environ)
        patch.chdir(folder)
        values = {
            "SEGMIND_API_KEY": sandbox.api_key,
            "KLING_BASE_URL": sandbox.base_url,
            "SANDBOX": sandbox.base_url,
            "KLING_JOURNAL": str(folder / "journal.sqlite3"),
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        for name, value in values.items():
            patch.setenv(name, value)
        # Jobs of `--sandbox` would take a hundredth of their documented time.
        patch.setattr(kling_sandbox, "Sandbox", make_sandbox)
        (folder / "pictures").mkdir()
        (folder / "cat.png").write_bytes(PNG)
        (folder / "films.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in BATCH))
        surroundings = Surroundings(folder, sandbox)
        with _PAGES.get(page, _nothing)(surroundings, patch):
            yield surroundings
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


@contextmanager
def _nothing(_surroundings: Surroundings, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    yield


@contextmanager
def _served(surroundings: Surroundings, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run kling-serve, whose address and token the page reads from the environment."""
    with serve_app(make_sandbox_settings(surroundings.folder)) as served:
        patch.setenv("KLING_SERVE_URL", served.base_url)
        patch.setenv("KLING_SERVE_TOKEN", ALICE)
        yield


@contextmanager
def _with_jobs(surroundings: Surroundings, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fill the journal with seven finished jobs."""
    with Kling() as kling:
        for number in range(7):
            kling.run("kling-2", prompt=f"a lighthouse {number}")
        surroundings.names["kling"] = kling
        yield


@contextmanager
def _in_clone(surroundings: Surroundings, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Link what the compiler reads, and copy what it writes, into the folder."""
    for name in ("specs", "docs/models", "kling_adapters/models"):
        shutil.copytree(ROOT / name, surroundings.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (surroundings.folder / "kling_adapters/client").mkdir()
    for name in ("kling_adapters/client/_calls.pyi", "kling_adapters/__init__.py", "README.md"):
        shutil.copyfile(ROOT / name, surroundings.folder / name)
    yield


_PAGES: Mapping[str, Any] = {
    "docs/interfaces.md": _served,
    "docs/journal.md": _with_jobs,
    "docs/validation.md": _with_jobs,
    "docs/guide/add-a-model.md": _in_clone,
    "codegen/README.md": _in_clone,
}
