"""Plugins discovered through the metadata of an installed distribution."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import Location, hookimpl
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient

from .conftest import Install

ADAPTER = """
from kling_adapters import CatalogEntry
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    register(CatalogEntry("{slug}", "Acme", "video", None, "acme.models", "Acme"))
"""


def find_info(kling: Kling, name: str) -> ka.PluginInfo:
    [info] = [info for info in kling.plugins if info.name == name]
    return info


def test_built_in_plugins_are_listed() -> None:
    with Kling() as kling:
        names = {info.name: info for info in kling.plugins}
    assert {"env_auth", "file_storage", "log_notifier", "models", "sandbox"} <= set(names)
    assert all(info.state == "loaded" for info in names.values())
    assert names["env_auth"].distribution == f"kling-adapters {ka.__version__}"
    assert names["file_storage"].hooks == ("kling_storage",)


def test_plugin_registers_a_model(install: Install) -> None:
    install("models_of_acme", ADAPTER.format(slug="acme-1"))
    with Kling() as kling:
        assert kling.catalog["acme-1"].title == "Acme"
        assert find_info(kling, "models_of_acme").distribution == "acme-models_of_acme 1.2"
        assert find_info(kling, "models_of_acme").hooks == ("kling_register_adapters",)


BROKEN = {
    "unimportable": ("import nothing_of_that_name", "ModuleNotFoundError"),
    "syntax_error": ("def (", "SyntaxError"),
    "misnamed": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_evnt(event): ...",
        "kling_evnt",
    ),
    "wrong_argument": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_event(evnet): ...",
        "evnet",
    ),
    "raising": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_register_adapters(): 1 / 0",
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_listed_with_its_reason(
    install: Install, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    code, reason = BROKEN[name]
    install(name, code)
    install("a_good_one", ADAPTER.format(slug="acme-1"))
    install("z_good_one", ADAPTER.format(slug="acme-2"))
    with Kling() as kling:
        assert {"acme-1", "acme-2", "kling-2"} <= set(kling.catalog)
        assert find_info(kling, name).state == "broken"
        assert reason in find_info(kling, name).reason
        assert kling.catalog["kling-2"].module == "kling_adapters.models.kling_2"
    assert f"plugin {name} cannot be used and is left out" in caplog.text
    with pytest.raises(ka.ConfigError, match=f"plugin {name} cannot be used"):
        Kling(strict_plugins=True)


def test_hook_without_hookimpl_is_reported(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    marked = "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_close(): ...\n"
    install("forgetful", f"{marked}def kling_event(event): ...")
    with Kling() as kling:
        info = find_info(kling, "forgetful")
    assert (info.state, info.hooks) == ("loaded", ("kling_close",))
    assert info.reason == "kling_event is not called: mark it with @hookimpl"
    assert f"plugin forgetful: {info.reason}" in caplog.text


def test_environment_sets_strict_mode_and_disables(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("broken", "1 / 0")
    monkeypatch.setenv("KLING_STRICT_PLUGINS", "1")
    with pytest.raises(ka.ConfigError, match="plugin broken"):
        Kling()
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "broken, models")
    with Kling() as kling:
        assert find_info(kling, "broken").state == "disabled"
        assert len(kling.catalog) == 0


def test_plugins_load_with_importlib_metadata_backport() -> None:
    # keyring imports it. It then replaces the finders of the standard library, with other entry points.
    pytest.importorskip("importlib_metadata", reason="comes with keyring before Python 3.12")
    code = "import importlib_metadata; from kling_adapters import Kling; Kling().catalog['kling-2']"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_clients_have_separate_plugins(sandbox: Sandbox) -> None:
    class Key:
        @hookimpl
        def kling_auth(self) -> Any:
            return self

        def api_key(self) -> str:
            return sandbox.api_key

    with (
        Kling(base_url=sandbox.base_url, plugins=[Key()]) as first,
        Kling(base_url=sandbox.base_url) as second,
    ):
        assert first.credits().credits is not None
        assert not {info.name for info in first.plugins} <= {info.name for info in second.plugins}


class Recorder:
    def __init__(self) -> None:
        self.event_names: list[str] = []

    @hookimpl
    def kling_event(self, event: ka.events.Event) -> None:
        self.event_names.append(type(event).__name__)


class AsyncRecorder(Recorder):
    @hookimpl
    async def kling_event(self, event: ka.events.Event) -> None:  # type: ignore[override]
        self.event_names.append(type(event).__name__)


@pytest.mark.parametrize("recorder", [Recorder, AsyncRecorder])
def test_notifier_receives_all_events_in_order(
    open_client: OpenClient, sandbox: Sandbox, recorder: type[Recorder], tmp_path: Path
) -> None:
    notifier = recorder()

    with open_client(sandbox, plugins=[notifier]) as kling:
        kling.run("kling-2", prompt="x", save_to=tmp_path)
    assert notifier.event_names == ["Submitted", "StateChanged", "StateChanged", "Completed", "Stored"]


def test_failing_notifier_is_logged_and_skipped(
    open_client: OpenClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Failing:
        @hookimpl
        def kling_event(self) -> None:
            raise RuntimeError("the pager is down")

    notifier = Recorder()

    with open_client(sandbox, plugins=[Failing(), notifier]) as kling:
        assert kling.run("kling-2", prompt="x", save_to=tmp_path).saved
    assert len(notifier.event_names) == 5
    assert caplog.text.count("plugin Failing failed on") == 5
    assert "the pager is down" in caplog.text


class Memory:
    """Storage for mem: URLs that keeps committed files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fails = False

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        return self if url.startswith("mem:") else None

    def check(self) -> None:
        pass

    def open(self, name: str, content_type: str) -> Any:
        return MemoryWriter(self, name)


class MemoryWriter:
    def __init__(self, memory: Memory, name: str) -> None:
        self.memory, self.name, self.content = memory, name, b""

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def commit(self, sha256: str) -> Location:
        if self.memory.fails:
            raise ConnectionError("the store is away")
        self.memory.files[self.name] = self.content
        return Location(f"mem:{self.name}")

    def abort(self) -> None:
        self.content = b""


def test_storage_failure_is_storage_error(open_client: OpenClient, sandbox: Sandbox) -> None:
    memory = Memory()

    with open_client(sandbox, plugins=[memory]) as kling:
        result = kling.run("kling-2", prompt="x", save_to="mem:")
        [file] = result.saved
        assert len(memory.files[file.url.removeprefix("mem:")]) == file.size
        with pytest.raises(ValueError, match="is not a file on this machine"):
            _ = file.path
        memory.fails = True
        with pytest.raises(
            ka.StorageError, match=r"the store is away.*can still be fetched from http"
        ) as caught:
            result.save("mem:")
        assert caught.value.url == result.output
    assert len(memory.files) == 1


def test_built_in_notifier_logs_events(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kling_adapters")
    with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock()) as kling:
        request_id = kling.run("kling-2", prompt="x").request_id
    lines = [record.getMessage() for record in caplog.records if record.name == "kling_adapters"]
    assert lines[0] == f"kling-2 {request_id} submitted"
    assert lines[-1].startswith(f"kling-2 {request_id} completed; ")


def test_async_client_runs_under_trio(sandbox: Sandbox, tmp_path: Path) -> None:
    import anyio

    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock()
        ) as kling:
            assert (await kling.run("kling-2", prompt="x", save_to=tmp_path)).saved

    anyio.run(main, backend="trio")
