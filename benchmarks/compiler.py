"""The compiler, and what 1,000 models and 1,000 plugins cost an application.

Specs of all kinds are made up, and compiled in a project of their own. Compared is the CPU time of all processes
together. The peer of a spec is a call of datamodel-codegen for its JSON Schema, formatters included.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import Cost
from benchmarks.ratios import Ratio
from benchmarks.strict import CODEGEN, project, synthetic

LARGE, MEDIUM, SMALL = 1000, 100, 5
SAMPLE = 10
"""The specs that the peer compiles."""
IMPORTS, STARTS = 30, 15


def measure() -> Iterator[Ratio]:
    """Measure compiling, importing a model, and starting with plugins."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        folders = {count: Path(name) / str(count) for count in (LARGE, MEDIUM, SMALL)}
        for count, folder in folders.items():
            folder.mkdir()
            synthetic(folder, count)
            project(folder)
        yield from _measure_generate(folders)
        yield _measure_import(folders)
        yield _measure_start(Path(name) / "plugins")


def _measure_generate(folders: dict[int, Path]) -> Iterator[Ratio]:
    """Measure generate with and without the cache, and check, which reads none."""
    large, medium = folders[LARGE], folders[MEDIUM]
    run_codegen(folders[SMALL], "generate")
    medium_cold = run_codegen(medium, "generate")
    cold = run_codegen(large, "generate")
    label = f"CPU a spec, {LARGE:,} specs against {MEDIUM}"
    detail = f"{cold.clock:.1f} s on the clock, 15 s at most"
    yield _compare(label, cold.cpu / LARGE, medium_cold.cpu / MEDIUM, 1, detail)

    warm, check = run_codegen(large, "generate"), run_codegen(large, "check")
    spec = next((large / "specs").glob("s*.yaml"))
    spec.write_text(spec.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    changed = run_codegen(large, "generate")
    detail = f"{warm.clock:.1f} s on the clock, 2 s at most; {changed.clock:.1f} s after a change of one spec"
    yield _compare(f"generate, {LARGE:,} specs unchanged, against check", warm.cpu, check.cpu, 0.1, detail)

    yield _compare(
        "CPU a spec, against datamodel-codegen", cold.cpu / LARGE, _measure_datamodel_codegen(medium), 0.2
    )


def _measure_datamodel_codegen(folder: Path) -> float:
    """Return the seconds of CPU that datamodel-codegen takes for a schema."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "datamodel_code_generator", "--input-file-type=jsonschema"),
        *("--output-model-type=pydantic_v2.BaseModel", "--formatters=builtin"),
    ]
    schemas = sorted((folder / "kling_adapters" / "models" / "schemas").iterdir())[:SAMPLE]
    runs = (
        run_command([*command, f"--input={path}", f"--output={folder / 'peer.py'}"], folder)
        for path in schemas
    )
    return sum(cost.cpu for cost in runs) / SAMPLE


def _measure_import(folders: dict[int, Path]) -> Ratio:
    """Compare the import of the runtime and one adapter.

    All but the models package is the same in both, and would hide in its noise what 1,000 models cost.
    """
    module = next(path.stem for path in (folders[SMALL] / "kling_adapters" / "models").glob("s*_*.py"))
    remainder, models = float("inf"), {SMALL: float("inf"), LARGE: float("inf")}
    for turn in range(IMPORTS + 1):
        for count, best in list(models.items()):
            spent = read_import_times(folders[count], f"kling_adapters.models.{module}")
            models_time = sum(
                seconds for name, seconds in spent.items() if name.startswith("kling_adapters.models")
            )
            # The first turn writes the bytecode.
            if turn:
                models[count] = min(best, models_time)
                remainder = min(remainder, sum(spent.values()) - models_time)
    label = f"import of one adapter, {LARGE:,} models against {SMALL}"
    return _compare(label, remainder + models[LARGE], remainder + models[SMALL], 1.05)


def _measure_start(folder: Path) -> Ratio:
    """Compare what 1,000 installed plugins add to the start of a client with what reading their metadata takes."""
    folder.mkdir()
    for number in range(LARGE):
        (folder / f"dummy_{number}.py").touch()
        metadata = folder / f"dummy_{number}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dummy-{number}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[kling_adapters]\ndummy_{number} = dummy_{number}\n")
    # Pydantic reads it all, to look for plugins of its own; the client itself reads nothing before it needs to.
    reading = "from pydantic import TypeAdapter; TypeAdapter(int)"
    start = "from kling_adapters import Kling; Kling(api_key='SG_0')"
    added = {code: _measure_plugins(folder, code) for code in (reading, start, f"{start}.catalog")}
    detail = f"{added[f'{start}.catalog']:.2f} s for the first use, which imports the plugins"
    label = f"start with {LARGE:,} plugins, against their metadata"
    return _compare(label, added[start], added[reading], 1.1, detail)


def _measure_plugins(folder: Path, code: str) -> float:
    """Return the seconds of CPU that the plugins in a folder add to a program."""
    best = {path: float("inf") for path in ("", str(folder))}
    for _ in range(STARTS):
        for path, least in best.items():
            environment = {**os.environ, "PYTHONPATH": path}
            best[path] = min(least, run_command([sys.executable, "-c", code], folder.parent, environment).cpu)
    return max(best[str(folder)] - best[""], 0.0)


def read_import_times(folder: Path, module: str) -> dict[str, float]:
    """Return the seconds that a module and each of those it imports take themselves."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = (line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()[1:])
    spent = Counter[str]()
    for duration, _, name in lines:
        spent[name.strip()] += int(duration)
    return {name: microseconds / 1e6 for name, microseconds in spent.items()}


def run_codegen(folder: Path, command: str) -> Cost:
    """Run a command of the compiler in a project."""
    return run_command([*CODEGEN, command], folder)


def run_command(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end. An error of the command has its output as a note."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env=environment)
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr)
        raise
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return Cost(end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _compare(label: str, measured: float, reference: float, limit: float, detail: str = "") -> Ratio:
    figures = f"{measured * 1000:.1f} against {reference * 1000:.1f} ms"
    details = "; ".join(filter(None, (figures, detail)))
    return Ratio(label, measured / reference, limit, is_upper_limit=True, detail=details)
