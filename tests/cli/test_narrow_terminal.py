"""Tables on a terminal that is too narrow for them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from .conftest import Command


def show_jobs(kling: Command, columns: int) -> str:
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", "from kling_adapters.cli import main; main()", "jobs"],
        env={**os.environ, "KLING_JOURNAL": str(kling.journal), "TERM": "xterm", "COLUMNS": str(columns)},
        stdout=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # Linux raises it at the end
        while chunk := screen.read(4096):
            shown += chunk
    return shown.decode()


@pytest.mark.parametrize(("columns", "has_blocks"), [(80, True), (160, False)])
def test_jobs_are_shown_whole_at_any_width(kling: Command, columns: int, has_blocks: bool) -> None:
    request_id = kling("submit", "kling-2", "prompt=x").stdout.strip()
    shown = show_jobs(kling, columns)
    assert all(text in shown for text in (request_id, "QUEUED", "kling-2"))
    assert (f"request id  {request_id}" in shown) is has_blocks
