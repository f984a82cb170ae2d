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
    kling.run("dropped-1.5", images=["https://e.com/a.png"], seed=1)  # wrong
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


def drop(clone: Clone, golden: str, slug: str) -> None:
    """Put a golden spec into the clone under another slug, and generate."""
    spec = (ROOT / "tests" / "golden" / "core" / "specs" / f"{golden}.yaml").read_text("utf-8")
    (clone.folder / "specs" / f"{slug}.yaml").write_text(spec.replace(golden, slug), "utf-8")
    # -o: the clone needs no .venv of its own.
    clone.run("make", f"BIN={BIN}", "-o", ".venv/ready", "generate")


def test_dropped_spec_is_all_that_a_model_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = Clone(tmp_path / "clone")
    drop(clone, "full-1.5", "dropped-1.5")

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
    pages = [f"tests/docs/test_{name}.py" for name in ("models", "readme", "site")]
    tests = ["tests/properties", "tests/schema/test_params.py", *pages]
    report = clone.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "dropped or readme or page"
    )
    assert "dropped" not in report  # passed ones are not named
    assert "failed" not in report
    assert int(report.split(" passed")[0].split()[-1]) >= 9


def test_next_version_with_every_rule_is_checked_everywhere(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    drop(clone, "every-rule", "kling-9")
    shown = " ".join(clone.kling("show", "kling-9").split())
    for sentence in (
        "Exactly one of image_url, video_url must be set.",
        "A local file for elements.frontal_image_url can have at most 5242880 bytes (5 MiB).",
        "If mode is pro or master and video_url is set, resolution must be 720p or 1080p and strength must be at least 0.25.",
        "If shots.kind is fixed, shots.duration must be at most 5 and shots.movement must not be set.",
        "The values of shots.duration must add up to duration.",
    ):
        assert sentence in shown
    valid = ["prompt=a kite", "image_url=https://e.com/a.png", "seed=1"]
    out = tmp_path / "out"
    clone.kling("run", "--sandbox", "kling-9", *valid, f"--save-to={out}")
    assert [path.suffix for path in out.iterdir()] == [".mp4"]
    code = "import sys; from kling_adapters.cli import main; sys.stderr = sys.stdout; main()"
    refused = clone.python(
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}, *sys.argv[1:]])",
        *(
            "run",
            "--sandbox",
            "kling-9",
            *valid,
            "duration=15",
            'shots=[{"duration": 3, "movement": "left"}]',
        ),
    )
    for problem in (
        "duration: 15 is too large when mode is 'std'; allowed: at most 10",
        "shots[0].movement: cannot be set when shots.kind is 'fixed'",
        "shots: shots.duration adds up to 3, but duration is 15",
    ):
        assert problem in refused
    # The differential tests: models and sandbox beside the schema and the prose of the rules.
    report = clone.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/properties", "-k", "kling-9 and not described"
    )
    assert "failed" not in report
    assert int(report.split(" passed")[0].split()[-1]) >= 9
