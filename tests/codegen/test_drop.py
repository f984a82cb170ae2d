"""A spec is dropped into a clone of this repository and `make generate` run; nothing else is touched by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

CALLS = """
from kling_adapters import Kling
from kling_adapters.models import Dropped15

def calls(kling: Kling) -> None:
    kling.submit("dropped-1.5", prompt="x", seed=1, images=["https://e.com/a.png"], duration=10)
    kling.submit(Dropped15(prompt="x", seed=1, images=["https://e.com/a.png"], class_="y"))
    kling.submit("dropped-1.5", prompt="x", seed=1, images=["https://e.com/a.png"], duration=7)  # wrong
    kling.run("dropped-1.5", prompt="x", seed=1)  # wrong
"""


class Clone:
    """The repository as it lies here, committed or not, and commands that run its code and not ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        ours = ["-C", str(ROOT)]
        changed = self.git(*ours, "diff", "-z", "--name-only", "HEAD")
        changed += self.git(*ours, "ls-files", "-z", "--others", "--exclude-standard")
        for name in filter(None, changed.split("\0")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, folder / name)
            else:
                (folder / name).unlink()
        self.git("add", "--all")

    def git(self, *words: str) -> str:
        return self.run("git", *words)

    def python(self, *words: str) -> str:
        return self.run(sys.executable, *words)

    def kling(self, *words: str) -> str:
        return self.python("-c", "from kling_adapters.cli import main; main()", *words)

    def run(self, *command: str) -> str:
        paths = [self.folder, self.folder / "codegen", self.folder / "plugins" / "sandbox"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "MYPYPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def test_dropped_spec_is_all_that_a_model_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = Clone(tmp_path / "clone")
    spec = (ROOT / "tests" / "golden" / "core" / "specs" / "full-1.5.yaml").read_text("utf-8")
    (clone.folder / "specs" / "dropped-1.5.yaml").write_text(spec.replace("full-1.5", "dropped-1.5"), "utf-8")
    # -o: the clone needs no .venv of its own.
    clone.run("make", f"BIN={BIN}", "-o", ".venv/ready", "generate")

    clone.git("add", "--intent-to-add", ".")
    stat = clone.git("diff", "--stat=120")
    with capsys.disabled():
        sys.stdout.write(f"\n{stat}")
    assert [line.split("|")[0].strip() for line in stat.splitlines()[:-1]] == [
        "README.md",
        "docs/models/dropped-1.5.md",
        "kling_adapters/client/_calls.pyi",
        "kling_adapters/models/__init__.py",
        "kling_adapters/models/dropped_1_5.py",
        "kling_adapters/models/schemas/dropped-1.5.json",
        "specs/dropped-1.5.yaml",
    ]
    assert "deletion" not in stat
    clone.run("make", f"BIN={BIN}", "-o", ".venv/ready", "generate")
    clone.python("-m", "kling_codegen.cli", "check")

    # Types.
    (tmp_path / "calls.py").write_text(CALLS, "utf-8")
    mypy = [
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        f"--cache-dir={tmp_path}/cache",
        "--no-error-summary",
    ]
    done = clone.python(
        "-c", f"import subprocess, sys; subprocess.run([sys.executable, *{mypy}, '{tmp_path}/calls.py'])"
    )
    wrong = {number for number, line in enumerate(CALLS.splitlines(), 1) if line.endswith("# wrong")}
    assert {int(line.split(":")[1]) for line in done.splitlines() if ": error:" in line} == wrong

    # The help of the command line, the route of the sandbox, the properties, and every example of the documentation.
    assert "dropped-1.5" in clone.kling("models")
    assert "mask_url needs images to be set and duration to be 5." in clone.kling("show", "dropped-1.5")
    out = tmp_path / "out"
    clone.kling(
        "run",
        "--sandbox",
        "dropped-1.5",
        "prompt=a kite",
        "seed=1",
        "images=https://e.com/a.png",
        f"--save-to={out}",
    )
    assert [path.suffix for path in out.iterdir()] == [".mp4"]
    tests = ["tests/properties", "tests/schema/test_params.py", "tests/docs"]
    report = clone.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "dropped or readme or page"
    )
    assert "dropped" not in report  # passed ones are not named
    assert "failed" not in report
    assert int(report.split(" passed")[0].split()[-1]) >= 9
