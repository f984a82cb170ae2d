"""The output of `kling`: nothing steers a terminal, and a broken output never stops a job."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import kling_adapters
from kling_adapters.cli import app
from kling_adapters.cli.output import escape_controls, print_table
from kling_adapters.testing import FakeGateway

COMMAND = [sys.executable, "-c", "from kling_adapters.cli import main; main()"]
HOSTILE = "\x1b]0;owned\x07[bold]\x9b31m\u202egnp.exe\ud800"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def environment(gateway: FakeGateway, folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONWARNINGS": "error",
        "SEGMIND_API_KEY": gateway.api_key,
        "KLING_BASE_URL": gateway.base_url,
        "KLING_JOURNAL": str(folder / "journal.sqlite3"),
        **more,
    }


def test_control_characters_are_escaped() -> None:
    assert escape_controls(HOSTILE) == r"\x1b]0;owned\x07[bold]\x9b31m\u202egnp.exe\ud800"
    assert escape_controls("a\xadb\u180e\U000e0041") == r"a\xadb\u180e\U000e0041"
    assert escape_controls("plain\ttext\nfür 東京 🦊") == "plain\ttext\nfür 東京 🦊"


def test_table_shows_markup_and_controls_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((HOSTILE, "[red]title"), [("[/]", HOSTILE)])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert printed.count(r"\x1b]0;owned\x07[bold]") == 2
    assert "[red]title" in printed
    assert "[/]" in printed


def test_message_of_the_gateway_is_escaped_and_shown_once(tmp_path: Path) -> None:
    with FakeGateway(fails="\u202eblocked.") as gateway:
        done = subprocess.run(
            [*COMMAND, "run", "kling-2", "prompt=x"],
            env=environment(gateway, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "\u202e" not in done.stderr
    assert done.stderr.count("blocked") == 1
    assert "blocked. A failed job is not billed" in done.stderr


def test_column_name_of_csv_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("prompt,\x1b[31mred\nx,y\n")
    done = subprocess.run(
        [*COMMAND, "batch", str(file), "--model", "kling-2", "--dry-run", "--journal", "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert r"\x1b[31mred" in done.stderr


@pytest.mark.parametrize(("output", "code"), [("closed", 0), ("/dev/full", 5), ("pipe", 0)])
def test_output_that_cannot_be_written_is_not_a_failed_job(
    gateway: FakeGateway, tmp_path: Path, output: str, code: int
) -> None:
    redirect = {"closed": ">&-", "/dev/full": ">/dev/full", "pipe": ""}[output]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [
                "sh",
                "-c",
                f'"$@" {redirect}',
                "sh",
                *COMMAND,
                "run",
                "kling-2",
                "prompt=x",
                "--save-to",
                "out",
            ],
            env=environment(gateway, tmp_path),
            cwd=tmp_path,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("standard output cannot be written: No space left" in done.stderr) is (code == 5)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_broken_standard_error_does_not_stop_a_batch(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text('{"model": "kling-2", "prompt": "x"}\n' * 3)
    arguments = [*COMMAND, "batch", str(file)]
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>/dev/full', "sh", *arguments], env=environment(gateway, tmp_path), check=False
    )
    assert done.returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "films.jsonl.outcomes.jsonl").read_text().splitlines()]
    assert [row["state"] for row in rows] == ["COMPLETED"] * 3


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii"])
def test_output_in_another_encoding_is_complete(encoding: str) -> None:
    for arguments in (["show", "kling-2"], ["show", "kling-2", "--json"]):
        done = subprocess.run(
            [*COMMAND, *arguments], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"duration" in done.stdout
    assert json.loads(done.stdout)["description"]


def test_caught_error_prints_nothing() -> None:
    code = """
from kling_adapters import JobFailed, Kling
from kling_adapters.testing import FakeGateway
with FakeGateway(fails="blocked") as gateway:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=None) as kling:
        try:
            kling.run("kling-2", prompt="x")
        except JobFailed:
            pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_application_with_logging_gets_the_records(caplog: pytest.LogCaptureFixture) -> None:
    assert kling_adapters.__version__
    logging.getLogger("kling_adapters").warning("a job failed")
    assert "a job failed" in caplog.text


def test_uncaught_error_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "faulty_plugin.py").write_text(
        "from kling_adapters.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def kling_cli(app):\n"
        "    @app.command()\n"
        "    def fail():\n"
        "        raise BrokenPipeError(32, 'Broken \\x1b[1m pipe')\n"
    )
    metadata = tmp_path / "faulty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kling_adapters]\nfaulty = faulty_plugin\n")
    done = subprocess.run(
        [*COMMAND, "fail"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70
    assert (
        "kling: internal error: RuntimeError: BrokenPipeError: [Errno 32] Broken \\x1b[1m pipe" in done.stderr
    )
    assert "please report it" in done.stderr
    assert "70 internal error" in " ".join(CliRunner().invoke(app, ["--help"]).output.split())


def test_streams_of_a_program_that_calls_main_stay() -> None:
    code = (
        "import io, sys; from kling_adapters.cli import main\n"
        "sys.argv, sys.stdout = ['kling', '--version'], io.StringIO()\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    sys.__stdout__.write(f'{end.code} {sys.stdout.getvalue()}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("0 kling-adapters, version "), done.stderr
