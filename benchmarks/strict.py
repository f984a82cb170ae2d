"""Generate adapters from varied specs, and put them before mypy (strict), pyright (strict), ruff and themselves.

    python -m benchmarks.strict 1000 [--seed 7]

Prints what each says and how long it took; the exit code is 1 if one of them finds something. `make types1000`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODEGEN = [sys.executable, "-m", "kling_codegen.cli"]

# Every adapter is imported, and takes its examples as they are. An example may set a deprecated parameter.
USE = """
import warnings
from kling_adapters import DeprecatedParameter
from kling_adapters.models import CATALOG

warnings.simplefilter("ignore", DeprecatedParameter)
for entry in CATALOG:
    model = entry.load()
    for example in entry.json_schema()["examples"]:
        sent = model.model_validate(example).wire()
        assert sent == example, (entry.slug, sent, example)
"""


def synthetic(folder: Path, count: int, seed: int = 7) -> None:
    """Write specs into a project."""
    script = ROOT / "benchmarks" / "synthetic.py"
    subprocess.run([sys.executable, script, str(count), folder / "specs", f"--seed={seed}"], check=True)


def project(folder: Path) -> None:
    """Put the runtime of this repository beside the specs of a project."""
    shutil.copy(ROOT / "specs" / "gateway.yaml", folder / "specs")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "kling_adapters" / "client").mkdir(parents=True)
    runtime = ROOT / "kling_adapters"
    # The compiler writes the models and the stub of the client.
    for path in (*runtime.iterdir(), *(runtime / "client").iterdir()):
        if path.name not in {"models", "client", "_calls.pyi", "__pycache__"}:
            (folder / path.relative_to(ROOT)).symlink_to(path)


def judged(folder: Path) -> bool:
    """Generate the adapters of a project, and run the judges, two at a time; print and return what they say."""
    subprocess.run([*CODEGEN, "generate"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    strict = {"typeCheckingMode": "strict", "enableExperimentalFeatures": True}
    models, stub = "kling_adapters/models", "kling_adapters/client/_calls.pyi"
    include = {"include": [models, stub]}
    (folder / "pyrightconfig.json").write_text(json.dumps(strict | include), encoding="utf-8")
    commands = {
        "mypy": ["mypy", "--config-file=", "--strict", "--follow-imports=silent", "--cache-dir=.mypy", models, stub],
        "pyright": ["pyright", "--pythonpath", sys.executable],
        "ruff check": ["ruff", "check", "--no-cache", models, stub],
        "ruff format": ["ruff", "format", "--check", "--no-cache", models, stub],
    }  # fmt: skip
    python = [sys.executable, "-W", "error"]
    runs = {"examples": [*python, "-c", USE]} | {
        name: [sys.executable, "-m", *command] for name, command in commands.items()
    }

    def run(name: str) -> bool:
        start = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(folder), "MYPYPATH": str(folder)}
        done = subprocess.run(
            runs[name], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        output = (done.stdout + done.stderr).strip()
        print(f"{name}: {'passed' if done.returncode == 0 else output} ({time.perf_counter() - start:.1f} s)")
        return done.returncode == 0

    with ThreadPoolExecutor(2) as pool:
        return all(list(pool.map(run, runs)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        synthetic(Path(name), arguments.count, arguments.seed)
        project(Path(name))
        passed = judged(Path(name))
    sys.exit(not passed)
