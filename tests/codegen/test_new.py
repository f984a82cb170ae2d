"""`kling-codegen new`: a spec that loads, a package that a venv takes and gives back, a plugin that passes its tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.load.folder import load_specs

SITE = next(path for path in sys.path if path.endswith("site-packages"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*words: str) -> str:
    result = CliRunner().invoke(main, ["new", *words])
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*words: str) -> str:
    result = CliRunner().invoke(main, ["new", *words])
    assert result.exit_code == 2
    return result.stderr.splitlines()[-1]


def test_new_spec_loads_and_names_the_next_step(folder: Path) -> None:
    (folder / "specs").mkdir()
    assert new("kling-9").splitlines() == [
        "wrote specs/kling-9.yaml. Next:",
        "  1. Fill in every TODO of specs/kling-9.yaml from the documentation page of the model.",
        "  2. `kling-codegen lint --specs specs` lists what remains to do.",
        "  3. `make generate` writes the adapter, its schema and its documentation.",
        "  4. `kling run --sandbox kling-9 prompt=hello` tries it without an account.",
    ]
    [spec] = load_specs(folder / "specs").models
    assert spec.slug == "kling-9"
    lint = CliRunner().invoke(main, ["lint"])
    assert lint.exit_code == 1
    places = {
        line.split(", at ")[1].split(";")[0].split(" [")[0]
        for line in lint.stderr.splitlines()
        if "placeholder" in line
    }
    assert places >= {
        "title",
        "summary",
        "source.page",
        "source.document",
        "input.properties.prompt.description",
    }


REFUSED = [
    ("kling-2", "specs/kling-2.yaml already exists"),
    ("Kling-9", "'Kling-9' is not a slug: use small letters and digits, in words joined by - or .; start with a letter"),
    ("9-kling", "'9-kling' is not a slug: use small letters and digits, in words joined by - or .; start with a letter"),
    ("../kling", "'../kling' is not a slug: use small letters and digits, in words joined by - or .; start with a letter"),
    ("kling.2", "'kling.2' would be Kling2 in Python, as 'kling-2' is"),
    ("class", "'class' would be class in Python, which is a reserved name"),
    ("params", "'params' would be Params in Python, which is a reserved name"),
    ("catalogue", "catalogue.yaml is the file of the gateway's list of models; use another slug"),
    ("gateway", "gateway.yaml is the file of the facts that all models share; use another slug"),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "why"), REFUSED, ids=[slug for slug, _ in REFUSED])
def test_slug_that_is_bad_or_taken_is_refused(folder: Path, slug: str, why: str) -> None:
    (folder / "specs").mkdir()
    (folder / "specs" / "kling-2.yaml").write_text("mine")
    assert refusal(slug) == f"Error: {why}"
    assert [path.read_text() for path in folder.rglob("*.yaml")] == ["mine"]


def test_there_must_be_a_slug_and_a_folder(folder: Path) -> None:
    assert refusal() == "Error: missing SLUG: pass the slug of the model, as in kling-codegen new kling-9"
    assert refusal("kling-9") == "Error: there is no folder specs; pass another one with --specs"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Acme", "'Acme' is not a valid name: use small letters, digits and single hyphens"),
        ("acme_kling", "'acme_kling' is not a valid name: use small letters, digits and single hyphens"),
        ("json", "'json' cannot be used: Python has another module json"),
        ("kling-adapters", "'kling-adapters' cannot be used: Python has another module kling_adapters"),
        ("taken", "taken already exists"),
    ],
)  # fmt: skip
def test_package_that_cannot_be_is_refused(folder: Path, name: str, why: str) -> None:
    (folder / "taken").mkdir()
    assert refusal("--package", name) == f"Error: {why}"
    assert refusal("--plugin", name) == f"Error: {why}"
    assert [path.name for path in folder.iterdir()] == ["taken"]


class Environment:
    """A venv that sees what the running environment has, and into which more can be installed."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        [site] = folder.glob("lib/python*/site-packages")
        # addsitedir, because the editable installs of the running environment are .pth files as well.
        (site / "running.pth").write_text(f"import site; site.addsitedir({SITE!r})\n")

    def pip(self, *words: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", *words]
        subprocess.run(command, check=True)

    def kling(self, *words: str) -> str:
        code = "from kling_adapters.cli import main; main()"
        environment = {**os.environ, "PYTHONWARNINGS": "error"}
        command = [str(self.python), "-c", code, *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout

    def slugs(self) -> list[str]:
        return [row["slug"] for row in json.loads(self.kling("models", "--json"))]


def environment_of_a_user(folder: Path) -> dict[str, str]:
    """Return variables with empty folders for the user, and without the journal that this test run has."""
    variables = {name: value for name, value in os.environ.items() if name != "KLING_JOURNAL"}
    return {**variables, "HOME": str(folder / "home"), "XDG_STATE_HOME": str(folder / "state")}


def test_plugin_has_no_models(folder: Path) -> None:
    for words in (["--plugin", "acme", "acme-1"], ["--plugin", "acme", "--package", "acme"]):
        assert (
            refusal(*words)
            == "Error: --plugin makes a package without models: do not pass a SLUG or --package with it"
        )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "acme-archive-of-every-rendering"])
def test_plugin_is_well_formed_whatever_its_name(folder: Path, name: str) -> None:
    new("--plugin", name)
    for words in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *words]
        done = subprocess.run(ruff, cwd=folder / name, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_new_plugin_passes_its_tests_and_checks(folder: Path) -> None:
    assert new("--plugin", "acme-store").splitlines() == [
        "wrote acme-store/. Next, in that folder:",
        "  1. `pip install 'pip>=25.1'`, `pip install --editable . --group dev`, then `pytest`: all tests pass,",
        "     and `kling plugins` lists it.",
        "  2. Keep the hooks of acme_store/plugin.py that you need, with their tests, and fill them in.",
    ]
    environment = Environment(folder / "venv")
    package = folder / "acme-store"
    environment.pip("install", "--no-index", "--no-deps", "--no-build-isolation", package)
    for python, *words in (
        [str(environment.python), "pytest", "-q", "-p", "no:cacheprovider"],
        [sys.executable, "ruff", "check"],
        [sys.executable, "ruff", "format", "--check"],
        [sys.executable, "mypy"],
    ):
        command = [python, "-m", *words]
        done = subprocess.run(
            command,
            cwd=package,
            env=environment_of_a_user(folder),
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "state").exists()
    listed = json.loads(environment.kling("plugins", "--json"))
    [row] = [row for row in listed if row["name"] == "acme-store"]
    assert row["state"] == "loaded"
    assert row["hooks"] == ["kling_auth", "kling_event", "kling_storage"]
    out = folder / "out"
    environment.kling("run", "--sandbox", "kling-2", "prompt=hello", "--save-to", f"acme-store:{out}")
    assert [file.suffix for file in out.iterdir()] == [".mp4"]


def test_new_package_from_build_to_uninstall(folder: Path) -> None:
    assert new("--package", "acme-kling").splitlines() == [
        "wrote acme-kling/. Next, in that folder:",
        "  1. `make setup` installs the package and its tools into .venv; `pip install --editable . --group dev`",
        "     does it in an environment that is active (pip 25.1 or newer).",
        "  2. Fill in every TODO of specs/acme-kling-1.yaml; `kling-codegen lint` lists what remains to do.",
        "  3. `make generate` writes acme_kling/models/, docs/models/ and the table in README.md.",
        "  4. `make test` runs every example; `pip install .` makes the models appear in `kling models`.",
    ]
    package = folder / "acme-kling"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in (
        ["make", "generate", "check"],
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,I,UP,B", "--line-length=110"],
        [sys.executable, "-m", "build", "--wheel", "--no-isolation"],
    ):
        subprocess.run(
            command, cwd=package, env={**os.environ, "PATH": path}, check=True, capture_output=True
        )
    assert not list(package.rglob("_gateway.py"))
    assert not list(package.rglob("_calls.pyi"))
    assert "[`acme-kling-1`](docs/models/acme-kling-1.md)" in (package / "README.md").read_text("utf-8")

    environment = Environment(folder / "venv")
    before = environment.slugs()
    assert all(
        row["package"] == "kling_adapters" for row in json.loads(environment.kling("models", "--json"))
    )
    [wheel] = package.glob("dist/*.whl")
    environment.pip("install", "--no-index", "--no-deps", wheel)
    assert environment.slugs() == sorted([*before, "acme-kling-1"])
    assert "; package acme_kling; from" in environment.kling("show", "acme-kling-1")
    [row] = [
        row for row in json.loads(environment.kling("models", "--json")) if row["slug"] == "acme-kling-1"
    ]
    assert row["package"] == "acme_kling"
    assert "acme_kling" in environment.kling("models")
    out = folder / "out"
    environment.kling("run", "--sandbox", "acme-kling-1", "prompt=hello", "--save-to", str(out))
    assert [file.suffix for file in out.iterdir()] == [".mp4"]
    done = subprocess.run(
        [str(environment.python), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env=environment_of_a_user(folder),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "state").exists()
    environment.pip("uninstall", "--yes", "acme-kling")
    assert environment.slugs() == before


def test_make_in_new_package_finds_its_tools(folder: Path) -> None:
    new("--package", "acme-kling")
    package = folder / "acme-kling"
    tools = folder / "tools"
    tools.mkdir()
    for name in ("make", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": str(tools)}
        command = [str(tools / "make"), *words]
        return subprocess.run(
            command, cwd=package, env=environment, check=False, capture_output=True, text=True
        )

    done = make("generate")
    assert done.returncode != 0
    assert "kling-codegen is not installed here. Run 'make setup'" in done.stdout
    # Makes the environment that `make setup` makes, but for the downloads and the package itself.
    programs = Path(sys.executable).parent
    stand_in = folder / "python3"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "from pathlib import Path\n"
        "folder = Path('.venv/bin')\n"
        "folder.mkdir(parents=True)\n"
        f"(folder / 'kling-codegen').symlink_to({str(programs / 'kling-codegen')!r})\n"
        f"(folder / 'pytest').symlink_to({str(programs / 'pytest')!r})\n"
        "(folder / 'python').symlink_to('/bin/true')\n"
    )
    stand_in.chmod(0o755)
    done = make("setup", "generate", "check", f"PYTHON={stand_in}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (package / "acme_kling" / "models" / "acme_kling_1.py").exists()
    (package / ".venv" / "bin" / "python").unlink()
    (package / ".venv" / "bin" / "python").symlink_to(sys.executable)
    done = make("test")
    assert done.returncode != 0
    assert "acme-kling is not installed here. Run 'make setup', or 'pip install --editable .'" in done.stdout
