"""Hints for files that media parameters cannot use, in the words of the command line."""

from __future__ import annotations

import pytest

from .conftest import Command


@pytest.mark.parametrize("name", ["nothing.png", "empty.png"])
def test_unusable_file_is_explained_without_python(kling: Command, name: str) -> None:
    (kling.folder / "empty.png").write_bytes(b"")
    done = kling("run", "kling-bloombloom", f"image=@{name}")
    assert done.returncode == 2
    assert f"image: {name} is " in done.stderr
    assert "allowed: an http or https URL, or @FILE for a file of this machine" in done.stderr
    assert "bytes" not in done.stderr
