"""Measure the compiler, and what 1,000 models and 1,000 plugins cost an application. `make bench`.

Every figure is a ratio of two measurements of this run, with seconds of this machine beside it. CPU is that of all
processes together: on a machine that is busy with other things, it says more than the time on the clock.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks.strict import CODEGEN, project, synthetic

LARGE, MEDIUM, SMALL = 1000, 100, 5


class Cost(NamedTuple):
    """Seconds on the clock and of all processors."""

    clock: float
    cpu: float


def main() -> None:
    """Measure everything."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        folders = {count: Path(name) / str(count) for count in (LARGE, MEDIUM, SMALL)}
        for count, folder in folders.items():
            folder.mkdir()
            synthetic(folder, count)
            project(folder)
        compiling(folders)
        importing(folders)
        starting(Path(name) / "plugins")


def compiling(folders: dict[int, Path]) -> None:
    """Time generate with and without the cache, and check, which reads none."""
    large, medium = folders[LARGE], folders[MEDIUM]
    codegen(folders[SMALL], "generate")
    cold_medium = codegen(medium, "generate")
    cold = codegen(large, "generate")
    show(f"generate, {LARGE} specs, nothing cached", cold, "under 15 s")
    ratio(f"CPU a spec, {LARGE} specs against {MEDIUM}", cold.cpu / LARGE, cold_medium.cpu / MEDIUM, 1)

    warm = codegen(large, "generate")
    show(f"generate, {LARGE} specs, nothing changed", warm, "under 2 s")
    ratio("generate, cached against check", warm.cpu, codegen(large, "check").cpu, 0.1)
    spec = next((large / "specs").glob("s*.yaml"))
    spec.write_text(spec.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    show(f"generate, {LARGE} specs, one changed", codegen(large, "generate"), "")

    sample = sorted((medium / "kling_adapters" / "models" / "schemas").iterdir())[:10]
    peer = [
        *(sys.executable, "-W", "ignore", "-m", "datamodel_code_generator", "--input-file-type=jsonschema"),
        *("--output-model-type=pydantic_v2.BaseModel", "--formatters=builtin"),
    ]
    costs = [timed([*peer, f"--input={path}", f"--output={medium / 'peer.py'}"], medium) for path in sample]
    theirs = sum(cost.cpu for cost in costs) / len(costs)
    ratio("CPU a spec, against datamodel-codegen a file", cold.cpu / LARGE, theirs, 0.2)


def importing(folders: dict[int, Path]) -> None:
    """Compare the import of the runtime and one adapter, best of 30.

    All but the models package is the same in both, and would hide in its noise what 1,000 models cost.
    """
    module = next(path.stem for path in (folders[SMALL] / "kling_adapters" / "models").glob("s*_*.py"))
    remainder, models = float("inf"), {SMALL: float("inf"), LARGE: float("inf")}
    for turn in range(31):
        for count, best in list(models.items()):
            spent = imported(folders[count], f"kling_adapters.models.{module}")
            models_time = sum(
                time for name, time in spent.items() if name.startswith("kling_adapters.models")
            )
            # The first turn writes the bytecode.
            if turn:
                models[count] = min(best, models_time)
                remainder = min(remainder, sum(spent.values()) - models_time)
    label = f"import of one adapter, {LARGE} models against {SMALL}"
    ratio(label, remainder + models[LARGE], remainder + models[SMALL], 1.05)


def starting(folder: Path) -> None:
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
    added = {code: _added(folder, code) for code in (reading, start, f"{start}.catalog")}
    ratio(f"start with {LARGE} plugins, against their metadata", added[start], added[reading], 1.1)
    show(f"first use with {LARGE} plugins, which imports them", Cost(added[f"{start}.catalog"], 0), "")


def _added(folder: Path, code: str) -> float:
    """Return the seconds of CPU that the plugins in a folder add to a program, best of several."""
    best = {path: float("inf") for path in ("", str(folder))}
    for _ in range(15):
        for path, least in best.items():
            environment = {**os.environ, "PYTHONPATH": path}
            best[path] = min(least, timed([sys.executable, "-c", code], folder.parent, environment).cpu)
    return max(best[str(folder)] - best[""], 0.0)


def imported(folder: Path, module: str) -> dict[str, float]:
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


def codegen(folder: Path, command: str) -> Cost:
    """Run a command of the compiler in a project."""
    return timed([*CODEGEN, command], folder)


def timed(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return Cost(end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def show(label: str, cost: Cost, budget: str) -> None:
    """Print a time."""
    print(f"{label:48} {cost.clock:8.2f} s   {cost.cpu:8.2f} s CPU   {budget}", flush=True)


def ratio(label: str, measured: float, reference: float, limit: float) -> None:
    """Print a ratio, the two times in milliseconds, and whether it is within its limit."""
    warning = "" if measured <= limit * reference else "  OVER"
    figures = f"{measured * 1000:8.1f} ms to {reference * 1000:8.1f} ms"
    print(f"{label:48} {measured / reference:8.3f}     {figures}   at most {limit}{warning}", flush=True)


if __name__ == "__main__":
    main()
