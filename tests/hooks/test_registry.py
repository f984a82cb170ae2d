"""Loading and choice of plugins, and jobs beside plugins that fail or hang."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import HookSpecs, Location, hookimpl
from kling_adapters.plugins import manager as plugins
from kling_adapters.testing import MP4, FakeGateway, SimulatedClock
from tests.support.clients import OpenClient

from .conftest import Install

KEY = "SG_0123456789abcdef"

LOADED = """
import os
with open(os.environ["LOADED"], "a") as file:
    file.write("{name} ")
"""

VAULT = """
from kling_adapters.hookspecs import hookimpl

class Vault:
    @hookimpl
    def kling_auth(self, gateway, chosen):
        return self if chosen or {always} else None

    def api_key(self):
        return "{key}"
"""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return the plugins made of LOADED that have been imported."""
    path = tmp_path / "loaded"
    path.touch()
    monkeypatch.setenv("LOADED", str(path))
    return lambda: path.read_text().split()


def states(client: Kling | AsyncKling) -> dict[str, tuple[str, str]]:
    return {info.name: (info.state, info.reason) for info in client.plugins}


def test_nothing_is_loaded_before_it_is_needed(install: Install, loaded: Callable[[], list[str]]) -> None:
    install("late", LOADED.format(name="late"))
    with Kling():
        assert loaded() == []
    with Kling() as kling:
        assert "kling-2" in kling.catalog
        assert loaded() == ["late"]


def test_strict_mode_loads_at_once(install: Install) -> None:
    install("broken", "1 / 0")
    with pytest.raises(ka.ConfigError, match="plugin broken cannot be used: ZeroDivisionError"):
        Kling(strict_plugins=True)


def test_environment_selects_the_plugins(
    install: Install, loaded: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        install(name, LOADED.format(name=name))
    monkeypatch.setenv("KLING_PLUGINS", "two, three")
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "three")
    with Kling() as kling:
        plugin_states = states(kling)
        assert len(kling.catalog) == 15  # the core is not in the list, and there all the same
    assert loaded() == ["two"]
    assert plugin_states["one"] == ("disabled", "not named in KLING_PLUGINS")
    assert plugin_states["two"] == ("loaded", "")
    assert plugin_states["three"] == ("disabled", "named in KLING_DISABLE_PLUGINS")


def test_plugins_are_sorted_by_name_after_those_of_the_core(install: Install) -> None:
    for name in ("zeta", "alpha", "mid"):
        install(name, "")
    with Kling() as kling:
        names = [info.name for info in kling.plugins]
    assert names[:4] == ["env_auth", "file_storage", "log_notifier", "models"]
    assert names[4:] == sorted(names[4:])
    assert {"alpha", "mid", "zeta"} < set(names)


def test_plugin_class_has_one_instance_per_client(install: Install) -> None:
    install(
        "counted",
        """
from kling_adapters.hookspecs import hookimpl
made = []
class Counted:
    def __init__(self):
        made.append(self)
    @hookimpl
    def kling_event(self, event): ...
""",
        "plugin_counted:Counted",
    )
    with Kling() as first, Kling() as second:
        assert states(first)["counted"] == states(second)["counted"] == ("loaded", "")
    assert len(sys.modules["plugin_counted"].made) == 2


def test_plugin_object_replaces_the_installed_plugin(install: Install) -> None:
    install("vault", VAULT.format(key="SG_installed", always=True), "plugin_vault:Vault")
    from plugin_vault import Vault  # type: ignore[import-not-found]

    with Kling(plugins=[Vault(), Vault()]) as kling:
        distributions = {info.name: info.distribution for info in kling.plugins}
    assert distributions["vault"] == "acme-vault 1.2"
    assert distributions["Vault"] is None
    assert "Vault-2" not in distributions


def test_installed_module_passed_again_is_broken(install: Install) -> None:
    install("here", "")
    import plugin_here  # type: ignore[import-not-found]

    with Kling(plugins=[plugin_here]) as kling:
        [duplicate] = [info for info in kling.plugins if info.name == "plugin_here"]
    assert (duplicate.state, duplicate.reason) == ("broken", "ConfigError: it is already registered, as here")


def test_several_plugin_objects_of_one_class_are_used() -> None:
    class Mine:
        @hookimpl
        def kling_event(self) -> None: ...

    with Kling(plugins=[Mine(), Mine(), Mine]) as kling:
        assert [info.name for info in kling.plugins if info.distribution is None] == [
            "Mine",
            "Mine-2",
            "Mine-3",
        ]


@pytest.fixture
def vaults(install: Install, sandbox: Sandbox) -> None:
    """Install two auth plugins: one has a bad key, and one answers only when it is chosen."""
    install("eager", VAULT.format(key="SG_wrong_wrong_wrong", always=True), "plugin_eager:Vault")
    install("shy", VAULT.format(key=sandbox.api_key, always=False), "plugin_shy:Vault")


@pytest.mark.usefixtures("vaults")
def test_key_comes_from_the_chosen_plugin(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with Kling(base_url=sandbox.base_url) as kling, pytest.raises(ka.Unauthorized):
        kling.credits()
    with Kling(base_url=sandbox.base_url, auth="shy") as kling:
        assert kling.credits().credits is not None
    monkeypatch.setenv("KLING_AUTH", "shy")
    with Kling(base_url=sandbox.base_url) as kling:
        assert kling.credits().credits is not None
    with Kling(base_url=sandbox.base_url, auth="env_auth") as kling:
        monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
        assert kling.credits().credits is not None


@pytest.mark.usefixtures("vaults")
def test_unknown_auth_name_is_refused_before_anything_is_sent(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_PLUGINS", "eager, shy, broken")  # but no other plugin of this environment
    install("broken", "1 / 0")
    with Kling(auth="kering") as kling, pytest.raises(ka.ConfigError) as caught:
        kling.credits()
    assert str(caught.value) == ("no auth plugin 'kering'. Available: eager, env_auth, shy. Nothing was sent")
    with (
        Kling(auth="broken") as kling,
        pytest.raises(ka.ConfigError, match=r"'broken' \(broken: ZeroDivision"),
    ):
        kling.credits()
    with pytest.raises(ka.ConfigError, match="not both"):
        Kling(api_key=KEY, auth="shy")


def test_missing_key_error_says_how_to_pass_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KLING_PLUGINS", "env_auth")  # but no other plugin of this environment
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "env_auth")
    with Kling() as kling, pytest.raises(ka.ConfigError) as caught:
        kling.credits()
    assert str(caught.value) == (
        "no plugin provides an API key: pass Kling(api_key=...), or enable another plugin; "
        "`kling plugins` lists them. Nothing was sent"
    )


def test_key_is_read_from_a_file(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    path = tmp_path / "key"
    monkeypatch.setenv("SEGMIND_API_KEY_FILE", str(path))
    with Kling(base_url=sandbox.base_url) as kling:
        with pytest.raises(ka.ConfigError, match=r"cannot be read from .*key.*No such file"):
            kling.credits()
        path.write_text(" \n")
        with pytest.raises(ka.ConfigError, match="is empty"):
            kling.credits()
        path.write_bytes(KEY.encode() + b"\xff")
        with pytest.raises(ka.ConfigError, match="is not UTF-8 text") as caught:
            kling.credits()
        assert KEY not in repr(caught.getrepr(chain=True))
        path.write_text(f"{sandbox.api_key}\n")
        assert kling.credits().credits is not None
        monkeypatch.setenv("SEGMIND_API_KEY", "SG_wrong_wrong_wrong")
        with pytest.raises(ka.Unauthorized):
            kling.credits()


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


class Raising:
    """Fails in every hook."""

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        raise RuntimeError("storage is down")

    @hookimpl
    def kling_auth(self) -> Any:
        raise RuntimeError("vault is down")

    @hookimpl
    def kling_event(self) -> None:
        raise RuntimeError("pager is down")

    @hookimpl
    def kling_cli(self) -> None:
        raise RuntimeError("terminal is down")

    @hookimpl
    def kling_close(self) -> None:
        raise RuntimeError("door is down")


class Hanging:
    """Does not return from its first event before the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    @hookimpl
    def kling_event(self) -> None:
        self.over.wait()

    @hookimpl
    def kling_close(self) -> None:
        self.over.wait()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 0.05)
    monkeypatch.setattr(plugins, "CLOSE_SECONDS", 0.05)
    plugin = Hanging()
    yield plugin
    plugin.over.set()


def test_hundred_jobs_complete_beside_failing_plugins(
    install: Install,
    hanging: Hanging,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine, only a plugin that really hangs takes longer.
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 1.0)
    install("unimportable", "import nothing_of_that_name")
    stored: Counter[str] = Counter()

    class Good:
        @hookimpl
        def kling_event(self, event: ka.events.Event) -> None:
            stored[type(event).__name__] += 1

    async def main(gateway: FakeGateway) -> list[Any]:
        results: list[Any] = []
        # pluggy calls the last one first.
        troubled = [Good(), hanging, Raising()]
        async with AsyncKling(base_url=gateway.base_url, clock=SimulatedClock(), plugins=troubled) as kling:

            async def run_one(number: int) -> None:
                results.append(
                    # Each sleep of one job moves the time of all.
                    await kling.run("kling-2", prompt=str(number), save_to=tmp_path, timeout=1e6)
                )

            async with anyio.create_task_group() as group:
                for number in range(100):
                    group.start_soon(run_one, number)
        return results

    with FakeGateway() as gateway:
        monkeypatch.setenv("SEGMIND_API_KEY", gateway.api_key)
        results = anyio.run(main, gateway)
    files = [file.path for result in results for file in result.saved]
    assert len(set(files)) == 100
    assert all(path.read_bytes() == MP4 for path in files)
    assert stored == {"Submitted": 100, "StateChanged": 200, "Completed": 100, "Stored": 100}
    messages = Counter(record.getMessage().split(" of ")[0] for record in caplog.records)
    assert messages["plugin Raising failed on Submitted"] == 100
    assert messages["plugin Raising failed on closing"] == 1
    assert messages["plugin Raising is skipped"] == 101  # for each storage, and once for the key
    assert sum(count for text, count in messages.items() if text.startswith("plugin Hanging hangs")) == 501
    assert any(
        "plugin unimportable cannot be used and is left out: ModuleNotFoundError" in text for text in messages
    )


def test_blocking_job_completes_beside_a_hanging_plugin(
    sandbox: Sandbox, hanging: Hanging, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, plugins=[hanging], clock=SimulatedClock()
    ) as kling:
        assert kling.run("kling-2", prompt="x", save_to=tmp_path).saved
    messages = [record.getMessage() for record in caplog.records if "hangs" in record.getMessage()]
    assert "has not finished after 0.05 s; the job continues" in messages[0]
    assert all("hangs and did not receive" in message for message in messages[1:])
    assert len(messages) == 6


def test_hanging_coroutine_is_cancelled(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 0.05)
    ended: list[str] = []

    class Hanging:
        @hookimpl
        async def kling_event(self, event: ka.events.Event) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(type(event).__name__)

    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url, api_key=sandbox.api_key, plugins=[Hanging()], clock=SimulatedClock()
        ) as kling:
            await (await kling.submit("kling-2", prompt="x")).wait()

    anyio.run(main)
    assert ended == ["Submitted", "StateChanged", "StateChanged", "Completed"]
    assert caplog.text.count("plugin Hanging failed on") == 4
    assert "TimeoutError" in caplog.text


def test_process_ends_beside_a_hanging_plugin(sandbox: Sandbox) -> None:
    code = f"""
import threading
from kling_adapters import Kling
from kling_adapters.plugins import manager as plugins
from kling_adapters.hookspecs import hookimpl
plugins.EVENT_SECONDS = plugins.CLOSE_SECONDS = 0.05

class Hanging:
    @hookimpl
    def kling_event(self):
        threading.Event().wait()

with Kling(base_url="{sandbox.base_url}", api_key="{sandbox.api_key}", plugins=[Hanging()]) as kling:
    print(kling.submit("kling-2", prompt="x").model)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "kling-2\n"


def test_plugin_with_a_wrong_return_type_is_skipped(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Confused:
        @hookimpl
        def kling_auth(self) -> Any:
            return "SG_this_is_the_key_itself"

        @hookimpl
        def kling_storage(self) -> Any:
            return Path()

    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
    with Kling(base_url=sandbox.base_url, plugins=[Confused()], clock=SimulatedClock()) as kling:
        assert kling.run("kling-2", prompt="x", save_to=tmp_path).saved
    assert "plugin Confused is skipped: it returned a str, not an Auth" in caplog.text
    assert "plugin Confused is skipped: it returned a PosixPath, not a Storage" in caplog.text
    assert "SG_this" not in caplog.text


def test_storage_error_of_a_plugin_stops_the_submit(open_client: OpenClient, sandbox: Sandbox) -> None:
    class Closed:
        @hookimpl
        def kling_storage(self, url: str) -> Any:
            raise ka.StorageError("the archive is closed on Saturdays")

    with open_client(sandbox, plugins=[Closed()]) as kling:
        before = len(sandbox.requests)
        with pytest.raises(ka.StorageError, match="closed on Saturdays"):
            kling.run("kling-2", prompt="x", save_to="anywhere")
        assert len(sandbox.requests) == before


class Pool:
    """Two keys: the first is refused."""

    def __init__(self, keys: list[str], *, has_another: bool = True) -> None:
        self.ring = keys
        self.has_another = has_another
        self.reports: list[tuple[Any, ...]] = []
        self.jobs: dict[str, str] = {}

    @hookimpl
    def kling_auth(self) -> Any:
        return self

    def api_key(self) -> str:
        return self.ring[0]

    def accepted(self, key: str, request_id: str) -> None:
        self.reports.append(("accepted", key))
        self.jobs[request_id] = key
        self.ring.append(self.ring.pop(0))

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        self.reports.append(("refused", key, status))
        self.ring.append(self.ring.pop(0))
        return self.has_another

    def keys(self) -> list[str]:
        return list(self.ring)

    def key_of(self, request_id: str) -> str | None:
        return self.jobs.get(request_id)


def test_pool_retries_with_another_key_that_the_job_keeps(open_client: OpenClient, sandbox: Sandbox) -> None:
    good, bad = sandbox.api_key, "SG_wrong_wrong_wrong"
    pool = Pool([bad, good])

    with open_client(sandbox, plugins=[pool], api_key=None) as kling:
        job = kling.submit("kling-2", prompt="x")
        assert pool.ring[0] == bad  # another submit would be sent with it
        assert job.wait().output
        assert kling.job(job.request_id).status().state == "COMPLETED"
    assert pool.reports == [("refused", bad, 401), ("accepted", good)]


def test_new_pool_finds_the_key_of_a_job_in_the_journal(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    good, bad = sandbox.api_key, "SG_wrong_wrong_wrong"
    ids: list[str] = []

    def waiting(kling: Any) -> None:
        assert kling.job(ids[0]).wait().output

    with open_client(sandbox, plugins=[Pool([good])], api_key=None, journal=tmp_path / "journal") as kling:
        ids.append(kling.submit("kling-2", prompt="x").request_id)
    after = Pool([bad, good])
    with open_client(sandbox, plugins=[after], api_key=None, journal=tmp_path / "journal") as kling:
        waiting(kling)
    assert after.reports == [("accepted", good)]
    with (
        pytest.raises(ka.Unauthorized),
        open_client(sandbox, plugins=[Pool([bad, good])], api_key=None, journal=None) as kling,
    ):
        waiting(kling)


def test_pool_without_the_key_of_a_job_uses_another(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids: list[str] = []

    with open_client(
        sandbox, plugins=[Pool([sandbox.api_key])], api_key=None, journal=tmp_path / "journal"
    ) as kling:
        ids.append(kling.submit("kling-2", prompt="x").request_id)
    for journal in ("journal", "none here"):
        pool = Pool(["SG_wrong_wrong_wrong"])
        with (
            open_client(sandbox, plugins=[pool], api_key=None, journal=tmp_path / journal) as kling,
            pytest.raises(ka.Unauthorized),
        ):
            kling.job(ids[0]).status()
        assert pool.reports == []
    assert not (tmp_path / "none here").exists()


def test_error_of_an_auth_plugin_is_not_repeated(open_client: OpenClient, sandbox: Sandbox) -> None:
    class Leaky:
        @hookimpl
        def kling_auth(self) -> Any:
            return self

        def api_key(self) -> str:
            raise KeyError(KEY)

    with open_client(sandbox, plugins=[Leaky()], api_key=None) as kling:
        for call in (kling.credits, lambda: kling.submit("kling-2", prompt="x")):
            with pytest.raises(ka.ConfigError, match=r"failed with KeyError\. Nothing was sent") as caught:
                call()
            assert KEY not in "".join(traceback.format_exception(caught.value))


def test_failing_storage_check_stops_the_submit(open_client: OpenClient, sandbox: Sandbox) -> None:
    class Odd:
        @hookimpl
        def kling_storage(self) -> Any:
            return self

        def check(self) -> None:
            raise OSError("the tape is torn")

        def open(self, name: str, content_type: str) -> Any: ...

    with open_client(sandbox, plugins=[Odd()]) as kling:
        before = len(sandbox.requests)
        with pytest.raises(ka.StorageError, match="nothing can be stored to tape:1: the tape is torn"):
            kling.run("kling-2", prompt="x", save_to="tape:1")
        assert len(sandbox.requests) == before


def test_failing_pool_loses_no_job(
    open_client: OpenClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Pool):
        def accepted(self, key: str, request_id: str) -> None:
            raise RuntimeError("the ledger is full")

        def refused(self, key: str, status: int, retry_after: float | None) -> bool:
            super().refused(key, status, retry_after)
            raise RuntimeError("the ledger is full")

    with open_client(
        sandbox, plugins=[Failing(["SG_wrong_wrong_wrong", sandbox.api_key])], api_key=None
    ) as kling:
        with pytest.raises(ka.Unauthorized):
            kling.submit("kling-2", prompt="x")
        assert kling.submit("kling-2", prompt="x").wait().output
    assert "plugin Failing failed in accepted() with RuntimeError" in caplog.text
    assert caplog.text.count("plugin Failing failed in refused() with RuntimeError") == 1


def test_pool_with_invalid_keys_tries_each_once(open_client: OpenClient, sandbox: Sandbox) -> None:
    pool = Pool(["SG_wrong_wrong_wrong", "SG_false_false_false"])

    with open_client(sandbox, plugins=[pool], api_key=None) as kling, pytest.raises(ka.Unauthorized):
        kling.submit("kling-2", prompt="x")
    assert len(pool.reports) == 3


def test_plugin_commands_are_loaded_on_demand(
    install: Install, loaded: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        "hello",
        LOADED.format(name="hello")
        + """
import click
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_cli(app):
    @app.command()
    def hello():
        click.echo("hello from a plugin")
""",
    )
    install("mute", "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_cli(app): 1 / 0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def kling(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("kling")), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert kling("--version").returncode == 0
    assert kling("status", "--help").returncode == 0
    assert loaded() == []
    shown = kling("--help")
    assert "hello" in shown.stdout
    assert "plugin mute added no commands" in shown.stderr
    assert kling("hello").stdout == "hello from a plugin\n"
    assert kling("helo").returncode == 2


def test_only_our_logger_is_used(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("broken", "1 / 0")
    caplog.set_level(logging.DEBUG)
    with Kling() as kling, suppress(ka.KlingError):
        kling.catalog.find("none")
    assert {record.name for record in caplog.records} == {"kling_adapters"}
