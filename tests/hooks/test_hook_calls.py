"""Calls of hooks during a job: their order, and what events contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters.hookspecs import HookSpecs, Location, hookimpl
from tests.support.clients import OpenClient


class Nosy:
    """Records every call of it, in order."""

    def __init__(self, key: str) -> None:
        self.calls: list[str] = []
        self.key = key
        self.content = b""

    @hookimpl
    def kling_register_adapters(self, register: Any) -> None:
        self.calls.append("kling_register_adapters")

    @hookimpl
    def kling_cli(self, app: Any) -> None:
        self.calls.append("kling_cli")

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        self.calls.append("kling_storage")
        return self

    @hookimpl
    def kling_auth(self) -> Any:
        self.calls.append("kling_auth")
        return self

    @hookimpl
    def kling_event(self, event: ka.events.Event) -> None:
        self.calls.append(f"kling_event {type(event).__name__}")

    @hookimpl
    def kling_close(self) -> None:
        self.calls.append("kling_close")

    def api_key(self) -> str:
        self.calls.append("api_key")
        return self.key

    def check(self) -> None:
        self.calls.append("check")

    def open(self, name: str, content_type: str) -> Any:
        self.calls.append(f"open {name.rpartition('.')[2]} {content_type}")
        return self

    def write(self, chunk: bytes) -> None:
        if not self.content:
            self.calls.append("write")
        self.content += chunk

    def commit(self, sha256: str) -> Location:
        self.calls.append("commit")
        return Location("nosy:1", "https://links.example/1")

    def abort(self) -> None:
        self.calls.append("abort")


def test_hooks_are_called_in_the_order_of_a_job(open_client: OpenClient, sandbox: Sandbox) -> None:
    nosy = Nosy(sandbox.api_key)

    with open_client(sandbox, plugins=[nosy], api_key=None) as kling:
        result = kling.run("kling-2", prompt="x", save_to="nosy:")
        assert result.saved[0].link == "https://links.example/1"
    polls = ["api_key"] * 3
    assert (
        nosy.calls
        == [
            "kling_register_adapters",
            "kling_storage",
            "check",
            "kling_auth",
            "api_key",
            "kling_event Submitted",
            "api_key",  # jobs of one key wait together
            *polls[:1],
            "kling_event StateChanged",
            *polls[1:2],
            "kling_event StateChanged",
            *polls[2:],
            "api_key",  # the result
            "kling_event Completed",
            "open mp4 video/mp4",
            "write",
            "commit",
            "kling_event Stored",
            "kling_close",
        ]
    )
    hooks = {line.split()[0] for line in nosy.calls if line.startswith("kling_")}
    assert hooks == {name for name in vars(HookSpecs) if name.startswith("kling_")} - {
        "kling_cli",
        "kling_engine",
    }


def test_refused_submit_is_an_event(open_client: OpenClient, sandbox: Sandbox) -> None:
    received: list[ka.events.Event] = []

    class Recorder:
        @hookimpl
        def kling_event(self, event: ka.events.Event) -> None:
            received.append(event)

    with (
        open_client(sandbox, plugins=[Recorder()], api_key="SG_wrong_wrong_wrong") as kling,
        pytest.raises(ka.Unauthorized),
    ):
        kling.submit("kling-2", prompt="x")
    [event] = received
    assert isinstance(event, ka.events.SubmitFailed)
    assert (event.model, event.uncertain, event.request_id) == ("kling-2", False, None)
    assert "401" in event.reason


def test_events_have_seconds_and_polls(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    received: dict[str, Any] = {}

    class Recorder:
        @hookimpl
        def kling_event(self, event: ka.events.Event) -> None:
            received[type(event).__name__] = event

    with open_client(sandbox, plugins=[Recorder()]) as kling:
        kling.run("kling-2", prompt="a secret plan", save_to=tmp_path)
    assert received["Submitted"].params == {"prompt": "a secret plan"}
    assert "secret" not in repr(received["Submitted"])
    assert received["Submitted"].seconds == 0 == received["Stored"].seconds  # on a simulated clock
    assert received["Completed"].polls == 4  # three states and the result
