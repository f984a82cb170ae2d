"""The destination of `resume`, which several jobs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from tests.support.play import Play


def test_resume_refuses_one_file_name_for_all_jobs(play: Play, tmp_path: Path) -> None:
    async def submit_twice(kling: Any) -> None:
        await kling.submit("kling-2", prompt="1")
        await kling.submit("kling-2", prompt="2")

    def resume(save_to: str) -> Any:
        async def scenario(kling: Any) -> Any:
            return [outcome async for outcome in kling.resume(save_to=f"{tmp_path}/out/{save_to}")]

        return play(scenario, journal=tmp_path / "journal.sqlite3")

    play(submit_twice, journal=tmp_path / "journal.sqlite3")
    with pytest.raises(ka.ConfigError, match=r"each would replace the one before.* Nothing was sent"):
        resume("film.mp4")
    assert not (tmp_path / "out").exists()
    files = [outcome.result.saved[0].path for outcome in resume("film-{request_id}.mp4")]
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    assert len(files) == 2
