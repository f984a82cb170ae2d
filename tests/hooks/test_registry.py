"""Loading and choice of plugins."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import hookimpl

from .conftest import VAULT, Install

LOADED = """
import os
with open(os.environ["LOADED"], "a") as file:
    file.write("{name} ")
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
