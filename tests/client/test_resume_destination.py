"""The destination of `resume`, which several jobs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from tests.support.clients import OpenClient


def test_resume_refuses_one_file_name_for_all_jobs(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=tmp_path / "journal.sqlite3") as kling:
        kling.submit("kling-2", prompt="1")
        kling.submit("kling-2", prompt="2")
        with pytest.raises(ka.ConfigError, match=r"each would replace the one before.* Nothing was sent"):
            list(kling.resume(save_to=tmp_path / "out" / "film.mp4"))
        assert not (tmp_path / "out").exists()
        outcomes = list(kling.resume(save_to=f"{tmp_path}/out/film-{{request_id}}.mp4"))
    files = [outcome.result.saved[0].path for outcome in outcomes]
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert len(files) == 2
