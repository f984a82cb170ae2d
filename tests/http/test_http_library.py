"""The client uses httpx2 if it is installed, otherwise httpx; failures of both count alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import SubmitUncertain, TransportError
from tests.support.clients import OpenClient
from tests.support.http_library import HIDING_FOLDER, HTTPX, LIBRARIES

REQUEST = """
import logging, sys, types

if version := sys.argv[1]:
    sys.modules["httpx2"] = types.ModuleType("httpx2")
    sys.modules["httpx2"].__version__ = version
from kling_adapters import Kling
from tests.support.scripted_server import KEY, ScriptedServer, json_reply

names = set()
logging.basicConfig(level=logging.DEBUG, stream=open("/dev/null", "w"))
logging.getLogger().handlers[0].addFilter(lambda record: names.add(record.name.partition(".")[0]))
with (
    ScriptedServer([json_reply(200, {"credits": 1})]) as server,
    Kling(api_key=KEY, base_url=server.url, journal=None) as kling,
):
    kling.credits()
print(*sorted(names & {"httpcore", "httpcore2"}))
"""


def find_used_library(version: str = "", **environment: str) -> str:
    """Return the library that sends a request in a new process."""
    ended = subprocess.run(
        [sys.executable, "-c", REQUEST, version],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        timeout=60,
    )
    return ended.stdout.strip()


@pytest.mark.skipif(HTTPX == "httpx", reason="httpx2 is missing or hidden")
def test_installed_httpx2_sends_the_requests() -> None:
    assert find_used_library() == "httpcore2"


def test_httpx_sends_the_requests_without_httpx2() -> None:
    assert find_used_library(PYTHONPATH=str(HIDING_FOLDER)) == "httpcore"


@pytest.mark.parametrize("version", ["2.15.1", "3.0.0"])
def test_httpx_sends_the_requests_beside_an_unsupported_httpx2(version: str) -> None:
    assert find_used_library(version) == "httpcore"


def find_subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in find_subclasses(below))]


FAILURES = [
    pytest.param(library, kind, id=f"{library.__name__}.{kind.__name__}")
    for library in LIBRARIES
    for kind in find_subclasses(library.RequestError)
    if kind.__module__.startswith("httpx")
]
NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")


@pytest.mark.parametrize(("library", "kind"), FAILURES)
def test_only_failures_before_sending_repeat_a_submit(
    library: Any, kind: type[Exception], open_client: OpenClient
) -> None:
    def fail(_: object) -> None:
        raise kind("failed")

    is_repeated = kind.__name__ in NOT_SENT
    with (
        open_client("https://gateway.example", transport=library.MockTransport(fail), journal=None) as kling,
        pytest.raises(TransportError if is_repeated else SubmitUncertain) as caught,
    ):
        kling.submit("kling-2", prompt="x")
    assert ("Nothing was sent" in str(caught.value)) is is_repeated
