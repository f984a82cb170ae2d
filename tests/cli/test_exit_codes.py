"""The exit codes of `kling`: their meanings in the help and docs, and the codes of errors and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import kling_adapters as ka
from kling_adapters.cli import app
from kling_adapters.cli.exit_codes import ExitCode, exit_code, most_severe
from kling_adapters.result import Metrics

from .conftest import Command, Gateway

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def test_docs_and_help_list_every_exit_code() -> None:
    table = re.findall(r"^\| (\d+) \| (.+?) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert table == [(str(int(code)), code.meaning) for code in ExitCode]
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert all(f"{int(code)} {code.meaning}" in shown for code in ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ka.JobFailed("id", "blocked", Metrics()), ExitCode.JOB_FAILED),
        (ka.ParamsInvalid("kling-2", []), ExitCode.BAD_INPUT),
        (ka.UnknownModel("x"), ExitCode.BAD_INPUT),
        (ka.Unauthorized(401, "x"), ExitCode.GATEWAY),
        (ka.Unauthorized(401, "x", request_id="id"), ExitCode.UNCERTAIN),
        (ka.TransportError("x"), ExitCode.GATEWAY),
        (ka.SubmitUncertain("kling-2", "x"), ExitCode.UNCERTAIN),
        (ka.WaitTimeout("id", 1, None), ExitCode.UNCERTAIN),
        (ka.StorageError("x"), ExitCode.STORAGE),
        (ka.JobExpired("id"), ExitCode.UNKNOWN_JOB),
        (RuntimeError("x"), ExitCode.INTERNAL_ERROR),
    ],
)
def test_error_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_most_severe_code_ends_a_batch() -> None:
    assert most_severe([]) is ExitCode.DONE
    for less, more in (
        (ExitCode.INCOMPLETE, ExitCode.JOB_FAILED),
        (ExitCode.JOB_FAILED, ExitCode.GATEWAY),
        (ExitCode.STORAGE, ExitCode.UNCERTAIN),
        (ExitCode.UNCERTAIN, ExitCode.INTERNAL_ERROR),
    ):
        assert most_severe([more, less]) is most_severe([less, more]) is more
    assert len({most_severe([code]) for code in ExitCode}) == len(ExitCode)


def test_unknown_id_and_stopped_batch_differ(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    assert kling("status", "no-such-id").returncode == 6
    (tmp_path / "a.jsonl").write_text('{"model": "kling-2", "prompt": "x"}\n' * 3)
    assert kling("batch", "a.jsonl", "--max-cost", "1", "--allow-unknown-cost", "1").returncode == 7
    gateway.hangs = True
    assert kling("run", "kling-2", "prompt=x", "--timeout", "0.2").returncode == 4
