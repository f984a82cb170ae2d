"""URLs of outputs that are not fetched, and results without a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kling_adapters import ResultData, StorageError
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.protocol.collect import Destination, collect
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer
from kling_adapters.protocol.responses import read_ended_job
from kling_adapters.protocol.session import Session
from tests.support.clients import OpenClient
from tests.support.output_files import list_files, script_output
from tests.support.scripted_flow import Key, run
from tests.support.scripted_server import (
    JOB,
    Reply,
    ScriptedServer,
    gateway_script,
    result_reply,
)


@pytest.mark.parametrize(
    "location",
    [
        "/files/x.mp4",
        "ftp://127.0.0.1/x",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "",
        "http://\x01/",
        "//",
        "data:video/mp4,",
    ],
)
def test_redirect_to_a_bad_address_fails(
    location: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    script_output(server, [Reply(302, b"", {"location": location})])
    with pytest.raises(StorageError):
        open_client(server).save_job(tmp_path)
    assert list_files(tmp_path) == []


URLS = [
    "https://[bad",
    "https://[::1",
    "https://a\u2100b.example/x.mp4",
    "https://host\ud800/x.mp4",
    "https://host/\ud800.mp4",
    "https://",
    "https:///x.mp4",
    "https://host:port/x.mp4",
    "https://host:99999/x.mp4",
    "https://127.0.0.1:1/\n",
    "https://127.0.0.1:1/\0",
    "https://user:pa ss@127.0.0.1:1/x",
    "https://xn--/x",
    "https://" + "a" * 70_000,
    "https://" + "é" * 80 + ".example/",
]


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url[:30]))
def test_hostile_addresses_are_not_fetched(
    url: str, described: bool, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    """Paid for all the same: the result comes, and saving it says what is wrong."""
    server.play(gateway_script(result=[result_reply(url, **({"video": {"url": url}} if described else {}))]))
    client = open_client(server)
    result = client.job(JOB).wait()
    assert result.output == url
    with pytest.raises(StorageError):
        result.save(tmp_path)
    assert list_files(tmp_path) == []


def test_plain_http_from_a_remote_gateway_is_refused(tmp_path: Path) -> None:
    data = read_ended_job(JOB, None, None, Answer(200, {}, result_reply("http://images.example/x.mp4").body))
    assert isinstance(data, ResultData)
    flow_result = run(
        collect(Session(Gateway("https://gateway.example"), Key), data, Destination(Folder(tmp_path))), []
    )
    assert isinstance(flow_result.error, StorageError)
    assert flow_result.sent == 0


@pytest.mark.parametrize("output", [None, 7, "text", [], {}, ["x"], "ftp://x/y", "javascript:alert(1)"])
def test_result_without_files_cannot_be_saved(
    output: Any, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    server.play(gateway_script(result=[result_reply(output)]))
    with pytest.raises(StorageError, match="no file"):
        open_client(server).save_job(tmp_path)


def test_deeply_nested_output_has_no_files() -> None:
    """Whatever depth JSON could be read at, it can be talked about."""
    for depth in range(300, 1000, 10):
        data = read_ended_job(
            JOB,
            None,
            None,
            Answer(200, {}, result_reply("X").body.replace(b'"X"', b"[" * depth + b"]" * depth)),
        )
        if isinstance(data, ResultData):
            flow_result = run(
                collect(
                    Session(Gateway("https://gateway.example"), Key),
                    data,
                    Destination(Folder(Path("unused"))),
                ),
                [],
            )
            assert isinstance(flow_result.error, StorageError), depth
