"""Output files that are read into memory."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from tests.support.play import Play


def test_content_is_that_of_the_stored_file(play: Play, tmp_path: Path) -> None:
    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="a rook")
        content = await result.read()
        [file] = await result.save(tmp_path)
        assert content == file.path.read_bytes()

    play(scenario, journal=None)


def test_reading_is_not_storing(play: Play, tmp_path: Path) -> None:
    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="a rook")
        assert await result.read()
        [entry] = await kling.entries()
        assert (entry.save_to, entry.files) == (None, ())

    play(scenario, journal=tmp_path / "journal.db")


def test_file_over_the_limit_is_refused(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="a rook")
        with pytest.raises(ka.StorageError, match="larger than 100 bytes") as caught:
            await result.read(max_bytes=100)
        assert caught.value.url == result.video.url

    play(scenario, journal=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": 1}, "index is 1; job .* has 1 output file, counted from 0"),
        ({"index": -1}, "index is -1"),
        ({"index": "first"}, "index is 'first'; job"),
        ({"max_bytes": 0}, "max_bytes is 0; expected a whole number of bytes"),
    ],
)
def test_unusable_argument_is_a_config_error(play: Play, arguments: dict[str, Any], message: str) -> None:
    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="a rook")
        with pytest.raises(ka.ConfigError, match=message):
            await result.read(**arguments)

    play(scenario, journal=None)


def make_result(*artifacts: ka.Artifact) -> ka.Result:
    return ka.Result("job-1", "kling-o1", "a text", artifacts, ka.Metrics(), {})


def test_result_without_files_is_a_config_error() -> None:
    with pytest.raises(ka.ConfigError, match="job job-1 has no file to read; its output is 'a text'"):
        make_result().read()


def test_content_in_the_result_needs_no_client() -> None:
    result = make_result(ka.Artifact("", "image", "image/png", 3, b"png"))
    assert pickle.loads(pickle.dumps(result)).read() == b"png"


def test_result_of_another_process_cannot_be_read() -> None:
    result = make_result(ka.Artifact("https://x.example/1.png", "image"))
    with pytest.raises(ka.ConfigError, match="comes from another process"):
        result.read()
