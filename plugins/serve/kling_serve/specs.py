"""A folder of specs that is compiled while the application runs, each spec by itself, with `kling-codegen`."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from kling_adapters import CatalogEntry
from kling_serve.models import SPECS, Model, Models

log = logging.getLogger("kling_serve")

MAX_SPEC_BYTES: Final = 1024**2
_INTERVAL: Final = 1.0
_SECONDS: Final = 120.0
_MISSING: Final = "the compiler is not installed: pip install kling-codegen"


@dataclass(frozen=True)
class Finding:
    """A problem of a spec, as the compiler reports it.

    Attributes:
        level: error, warning or note.
        line: The line of the spec.
        text: The problem.

    """

    level: str
    line: int
    text: str


@dataclass(frozen=True)
class DroppedSpec:
    """A spec of the folder.

    Attributes:
        name: The name of its file.
        digest: A digest of its content.
        findings: What the compiler and its linter have found.
        code: The generated module; empty for an invalid spec.
        model: The model; None for an invalid spec.

    """

    name: str
    digest: str
    findings: tuple[Finding, ...]
    code: str = ""
    model: Model | None = None


class SpecsFolder:
    """The specs of a folder, which is looked at every second.

    Args:
        folder: The folder.
        models: The models, to which those of the folder are added.

    Attributes:
        specs: The specs by file name, as they were compiled last.
        version: The number of changes so far.

    """

    def __init__(self, folder: Path, models: Models) -> None:
        self.folder = folder
        self.specs: dict[str, DroppedSpec] = {}
        self.version = 0
        self._models = models
        self._lock = asyncio.Lock()

    async def watch(self) -> None:
        """Compile what is new or has changed, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_INTERVAL)

    async def refresh(self) -> None:
        """Compile what is new or has changed, and forget what is gone."""
        async with self._lock:
            await self._compile_changed()

    async def _compile_changed(self) -> None:
        contents = await asyncio.to_thread(_read_specs, self.folder)
        is_changed = contents.keys() != self.specs.keys()
        specs = {name: spec for name, spec in self.specs.items() if name in contents}
        for name, content in contents.items():
            digest = hashlib.sha256(content).hexdigest()
            if name not in specs or specs[name].digest != digest:
                specs[name], is_changed = await compile_spec(name, content, digest), True
        if is_changed:
            self.version += 1
            self.specs = dict(sorted(specs.items()))
            models = [spec.model for spec in self.specs.values() if spec.model is not None]
            self._models.set_dropped({model.slug: model for model in models})


def _read_specs(folder: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            if path.stem not in ("gateway", "catalogue") and path.stat().st_size <= MAX_SPEC_BYTES:
                contents[path.name] = path.read_bytes()
        except OSError as error:
            log.warning("the spec %s cannot be read: %s", path, error)
    return contents


async def compile_spec(name: str, content: bytes, digest: str) -> DroppedSpec:
    """Compile one spec in a folder of its own, so that an invalid one does not affect the others."""
    if importlib.util.find_spec("kling_codegen") is None:
        return DroppedSpec(name, digest, (Finding("error", 1, _MISSING),))
    with tempfile.TemporaryDirectory(prefix="kling-studio-") as place:
        specs, package = Path(place) / "specs", f"kling_spec_{digest[:16]}"
        specs.mkdir()
        (specs / name).write_bytes(content)
        out = Path(place) / package / "models"
        problems, lint = await asyncio.gather(
            _run_compiler("generate", "--specs", str(specs), "--out", str(out)),
            _run_compiler("lint", "--specs", str(specs)),
        )
        # The linter says again what the compiler said, sometimes on another level.
        findings = tuple({(finding.line, finding.text): finding for finding in (*problems, *lint)}.values())
        if not out.is_dir():
            return DroppedSpec(name, digest, findings)
        return await asyncio.to_thread(_load, name, digest, findings, out)


async def _run_compiler(*arguments: str) -> tuple[Finding, ...]:
    """Return the problems that a command of the compiler reports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kling_codegen.cli", *arguments, "--format", "json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        return (Finding("error", 1, f"the compiler did not end within {_SECONDS:.0f} seconds"),)
    try:
        problems: list[dict[str, Any]] = json.loads(output)["problems"]
    except (ValueError, KeyError, TypeError):
        text = errors.decode(errors="replace").strip().splitlines()
        return (
            (Finding("error", 1, text[-1] if text else "the compiler failed"),) if process.returncode else ()
        )
    return tuple(_read_finding(problem) for problem in problems)


def _read_finding(problem: Mapping[str, Any]) -> Finding:
    text = str(problem["text"])
    if suggestion := problem.get("suggestion"):
        text += f"; did you mean {suggestion}?"
    return Finding(str(problem["level"]), int(problem["line"]), text)


def _load(name: str, digest: str, findings: tuple[Finding, ...], out: Path) -> DroppedSpec:
    """Import the generated module, whose files are deleted afterwards."""
    slug = name.removesuffix(".yaml")
    schema: dict[str, Any] = json.loads((out / "schemas" / f"{slug}.json").read_text("utf-8"))
    index = _import(out.parent.name, out / "__init__.py")
    entry: CatalogEntry = index.CATALOG[0]
    path = out / f"{entry.module.rpartition('.')[2]}.py"
    module = f"{out.parent.name}.{path.stem}"
    _import(module, path)
    facts = CatalogEntry(
        entry.slug, entry.title, entry.returns, entry.latency, module, entry.name, entry.retired
    )
    return DroppedSpec(name, digest, findings, path.read_text("utf-8"), Model(facts, schema, SPECS))


def _import(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
