"""`kling` without a home folder, without a place for the journal, and with a name that is not UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_adapters.testing import FakeGateway

COMMAND = "from kling_adapters.cli import main; main()"
# A user without an entry, as containers run commands.
WITHOUT_USER = f"import pwd\ndef missing(uid): raise KeyError\npwd.getpwuid = missing\n{COMMAND}"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def kling(
    gateway: FakeGateway, cwd: Path | bytes, *arguments: str, code: str = COMMAND, **more: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("KLING_JOURNAL", "HOME")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**clean, "SEGMIND_API_KEY": gateway.api_key, "KLING_BASE_URL": gateway.base_url, **more},
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def test_every_command_explains_a_missing_home_alike(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "films.jsonl").write_text('{"model": "kling-2", "prompt": "x"}\n')
    for arguments in (
        ["jobs"],
        ["resume"],
        ["submit", "kling-2", "prompt=x"],
        ["run", "kling-2", "prompt=x"],
        ["batch", "films.jsonl"],
    ):
        done = kling(gateway, tmp_path, *arguments, code=WITHOUT_USER)
        assert done.returncode == 2, done.stderr
        assert "Set KLING_JOURNAL to" in done.stderr
        assert "Nothing was sent" in done.stderr
    assert not gateway.requests


def test_journal_that_cannot_be_written_is_refused(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "films.jsonl").write_text('{"model": "kling-2", "prompt": "x"}\n')
    (tmp_path / "file").write_text("not a folder")
    for arguments in (
        ["submit", "kling-2", "prompt=x"],
        ["run", "kling-2", "prompt=x"],
        ["batch", "films.jsonl"],
    ):
        done = kling(gateway, tmp_path, *arguments, KLING_JOURNAL=str(tmp_path / "file" / "journal"))
        assert done.returncode == 2, done.stderr
        assert "is not a folder that this user can write to. Set KLING_JOURNAL or --journal" in done.stderr
    assert not gateway.requests


def test_base_url_comes_from_the_option_or_the_environment(gateway: FakeGateway, tmp_path: Path) -> None:
    arguments = ("submit", "kling-2", "prompt=x", "--journal", "none")
    assert kling(gateway, tmp_path, *arguments).returncode == 0
    assert len(gateway.requests) == 1
    with FakeGateway() as second:
        place = ("--base-url", second.base_url)
        assert kling(gateway, tmp_path, *arguments, *place, SEGMIND_API_KEY=second.api_key).returncode == 0
        assert (len(gateway.requests), len(second.requests)) == (1, 1)
    done = kling(gateway, tmp_path, *arguments, KLING_BASE_URL="http://example.com")
    assert (done.returncode, len(gateway.requests)) == (2, 1)


def test_batch_in_a_folder_that_is_not_utf8(gateway: FakeGateway, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/f\xfcchse"
    os.mkdir(folder)  # noqa: PTH102
    with open(folder + b"/films.jsonl", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write('{"model": "kling-2", "prompt": "x"}\n')
    journal = str(tmp_path / "journal.sqlite3")
    for arguments in ((), ("--resume",)):
        done = kling(
            gateway, folder, "batch", "films.jsonl", "--save-to", "out", *arguments, KLING_JOURNAL=journal
        )
        assert done.returncode == 0, done.stderr
        assert len(os.listdir(folder + b"/out")) == 1  # noqa: PTH208
    assert sum(request.method == "POST" for request in gateway.requests) == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "soon"])
def test_amount_that_is_not_a_number_is_refused(gateway: FakeGateway, tmp_path: Path, value: str) -> None:
    done = kling(gateway, tmp_path, "run", "kling-2", "prompt=x", "--timeout", value, KLING_JOURNAL="none")
    assert (done.returncode, "is not a number; expected 0 or more" in done.stderr) == (2, True)
    assert not gateway.requests
