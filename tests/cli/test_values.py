"""How the words of a command line become parameters."""

from __future__ import annotations

import subprocess
import sys


def test_an_unknown_name_is_reported_before_its_file() -> None:
    command = "from kling_adapters.cli import main; main()"
    words = [
        "run",
        "kling-bloombloom",
        "--base-url",
        "http://127.0.0.1:9",
        "--journal",
        "",
        "imag=@missing.png",
    ]
    done = subprocess.run(
        [sys.executable, "-c", command, *words],
        env={"SEGMIND_API_KEY": "SG_test", "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "imag: unknown parameter; did you mean image?" in done.stderr
    assert "image: required, but missing" in done.stderr
