"""Output files that are read into memory."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from tests.support.clients import OpenClient


def test_content_is_that_of_the_stored_file(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=None) as kling:
        result = kling.run("kling-2", prompt="a rook")
        content = result.read()
        [file] = result.save(tmp_path)
        assert content == file.path.read_bytes()


def test_reading_is_not_storing(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox, journal=tmp_path / "journal.db") as kling:
        result = kling.run("kling-2", prompt="a rook")
        assert result.read()
        [entry] = kling.entries()
        assert (entry.save_to, entry.files) == (None, ())


def test_file_over_the_limit_is_refused(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox, journal=None) as kling:
        result = kling.run("kling-2", prompt="a rook")
        with pytest.raises(ka.StorageError, match="larger than 100 bytes") as caught:
            result.read(max_bytes=100)
        assert caught.value.url == result.video.url


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": 1}, "index is 1; job .* has 1 output file, counted from 0"),
        ({"index": -1}, "index is -1"),
        ({"index": "first"}, "index is 'first'; job"),
        ({"max_bytes": 0}, "max_bytes is 0; expected a whole number of bytes"),
    ],
)
def test_unusable_argument_is_a_config_error(
    open_client: OpenClient, sandbox: Sandbox, arguments: dict[str, Any], message: str
) -> None:
    with open_client(sandbox, journal=None) as kling:
        result = kling.run("kling-2", prompt="a rook")
        with pytest.raises(ka.ConfigError, match=message):
            result.read(**arguments)


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
