"""Plugins found as any stranger's would be: through the metadata of an installed distribution."""

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

from .conftest import Install, Play

ADAPTER = """
from kling_adapters import CatalogEntry
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    register(CatalogEntry("{slug}", "Acme", "video", None, "acme.models", "Acme"))
"""


def found(kling: Kling, name: str) -> ka.PluginInfo:
    [info] = [info for info in kling.plugins if info.name == name]
    return info


def test_the_built_in_plugins_are_found_like_any_other() -> None:
    with Kling() as kling:
        names = {info.name: info for info in kling.plugins}
    assert {"env_auth", "file_storage", "log_notifier", "models", "sandbox"} <= set(names)
    assert all(info.state == "loaded" for info in names.values())
    assert names["env_auth"].distribution == f"kling-adapters {ka.__version__}"
    assert names["file_storage"].hooks == ("kling_storage",)


def test_a_plugin_offers_a_model(install: Install) -> None:
    install("models_of_acme", ADAPTER.format(slug="acme-1"))
    with Kling() as kling:
        assert kling.catalog["acme-1"].title == "Acme"
        assert found(kling, "models_of_acme").distribution == "acme-models_of_acme 1.2"
        assert found(kling, "models_of_acme").hooks == ("kling_register_adapters",)


BROKEN = {
    "unimportable": ("import nothing_of_that_name", "ModuleNotFoundError"),
    "unparsable": ("def (", "SyntaxError"),
    "misnamed": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_evnt(event): ...",
        "kling_evnt",
    ),
    "misfitting": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_event(evnet): ...",
        "evnet",
    ),
    "raising": (
        "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_register_adapters(register): 1 / 0",
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_harms_no_other(
    install: Install, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    code, reason = BROKEN[name]
    install(name, code)
    install("a_good_one", ADAPTER.format(slug="acme-1"))
    install("z_good_one", ADAPTER.format(slug="acme-2"))
    with Kling() as kling:
        assert {"acme-1", "acme-2", "kling-2"} <= set(kling.catalog)
        assert found(kling, name).state == "broken"
        assert reason in found(kling, name).reason
        assert kling.catalog["kling-2"].module == "kling_adapters.models.kling_2"
    assert f"plugin {name} cannot be used and is left out" in caplog.text
    with pytest.raises(ka.ConfigError, match=f"plugin {name} cannot be used"):
        Kling(strict_plugins=True)


def test_strict_mode_and_disabling_are_set_by_the_environment(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken", "1 / 0")
    monkeypatch.setenv("KLING_STRICT_PLUGINS", "1")
    with pytest.raises(ka.ConfigError, match="plugin broken"):
        Kling()
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "broken, models")
    with Kling() as kling:
        assert found(kling, "broken").state == "disabled"
        assert len(kling.catalog) == 0


def test_a_program_that_uses_the_backport_of_importlib_metadata_has_its_plugins() -> None:
    # It answers for the standard library from then on, with entry points of another class; keyring imports it.
    pytest.importorskip("importlib_metadata", reason="comes with keyring before Python 3.12")
    code = "import importlib_metadata; from kling_adapters import Kling; Kling().catalog['kling-2']"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_clients_have_their_own_plugins(sandbox: Sandbox) -> None:
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
        self.seen: list[str] = []

    @hookimpl
    def kling_event(self, event: ka.events.Event) -> None:
        self.seen.append(type(event).__name__)


class AsyncRecorder(Recorder):
    @hookimpl
    async def kling_event(self, event: ka.events.Event) -> None:  # type: ignore[override]
        self.seen.append(type(event).__name__)


@pytest.mark.parametrize("recorder", [Recorder, AsyncRecorder])
def test_a_notifier_is_told_the_whole_life_of_a_job_in_order(
    play: Play, recorder: type[Recorder], tmp_path: Path
) -> None:
    told = recorder()

    async def scenario(kling: Any) -> None:
        await kling.run("kling-2", prompt="x", save_to=tmp_path)

    play(scenario, plugins=[told])
    assert told.seen == ["Submitted", "StateChanged", "StateChanged", "Completed", "Stored"]


def test_a_notifier_that_fails_is_logged_and_harms_neither_job_nor_others(
    play: Play, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Failing:
        @hookimpl
        def kling_event(self) -> None:
            raise RuntimeError("the pager is down")

    told = Recorder()

    async def scenario(kling: Any) -> None:
        assert (await kling.run("kling-2", prompt="x", save_to=tmp_path)).saved

    play(scenario, plugins=[Failing(), told])
    assert len(told.seen) == 5
    assert caplog.text.count("plugin Failing failed on") == 5
    assert "the pager is down" in caplog.text


class Memory:
    """Storage for mem: URLs that keeps what is committed."""

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


def test_a_storage_plugin_gets_every_byte_and_its_failures_are_storage_errors(play: Play) -> None:
    memory = Memory()

    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="x", save_to="mem:")
        [file] = result.saved
        assert len(memory.files[file.url.removeprefix("mem:")]) == file.size
        with pytest.raises(ValueError, match="is not a file on this machine"):
            _ = file.path
        memory.fails = True
        with pytest.raises(
            ka.StorageError, match=r"the store is away.*can still be fetched from http"
        ) as caught:
            await result.save("mem:")
        assert caught.value.url == result.output

    play(scenario, plugins=[memory])
    assert len(memory.files) == 1


def test_events_are_logged_by_the_built_in_notifier(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kling_adapters")
    with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock()) as kling:
        request_id = kling.run("kling-2", prompt="x").request_id
    lines = [record.getMessage() for record in caplog.records if record.name == "kling_adapters"]
    assert lines[0] == f"kling-2 {request_id} submitted"
    assert lines[-1].startswith(f"kling-2 {request_id} completed; ")


def test_the_async_client_runs_under_trio(sandbox: Sandbox, tmp_path: Path) -> None:
    import anyio

    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock()
        ) as kling:
            assert (await kling.run("kling-2", prompt="x", save_to=tmp_path)).saved

    anyio.run(main, backend="trio")
