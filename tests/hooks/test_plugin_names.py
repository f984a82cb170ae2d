"""Plugins selected by name: misspelt names, shared names, and models of two plugins."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.plugins.manager import Plugins

from .conftest import Install

# `make bare` installs none of them.
needs_plugins = pytest.mark.skipif(
    not all(map(find_spec, ("kling_keypool", "kling_objectstore", "kling_webhook"))),
    reason="kling-keypool, kling-objectstore and kling-webhook are not installed",
)

MODELS = """
from kling_adapters import CatalogEntry
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    for slug in {slugs!r}:
        register(CatalogEntry(slug, "Acme", "video", None, "acme.models", "Acme"))

@hookimpl
def kling_event(event): ...
"""

VAULT = """
from kling_adapters.hookspecs import hookimpl

class Key:
    def api_key(self):
        return "{key}"

@hookimpl
def kling_auth(gateway, chosen):
    return Key()
"""


def info(kling: Kling, full_name: str) -> ka.PluginInfo:
    [info] = [info for info in kling.plugins if info.full_name == full_name]
    return info


@needs_plugins
@pytest.mark.parametrize("variable", ["KLING_PLUGINS", "KLING_DISABLE_PLUGINS"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("webhok", "names 'webhok', which is not an installed plugin. Did you mean webhook?"),
        ("Webhook", "names 'Webhook', which is not an installed plugin. Did you mean webhook?"),
        (
            "webhook, nothing-like-it",
            "names 'nothing-like-it', which is not an installed plugin. Installed: ",
        ),
        ("kling-webhok:webhook", "names 'kling-webhok:webhook', which is not"),
    ],
)
def test_misspelt_plugin_is_config_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, names: str, message: str
) -> None:
    monkeypatch.setenv(variable, names)
    with Kling() as kling, pytest.raises(ka.ConfigError) as caught:
        _ = kling.plugins
    assert f"{variable} {message}" in str(caught.value)
    assert "env_auth" in str(caught.value)


@needs_plugins
@pytest.mark.parametrize("separator", [",", ";", " ", " ; ", "\n"])
def test_names_have_several_separators(monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    monkeypatch.setenv("KLING_PLUGINS", separator.join(["webhook", "Kling_Keypool:keypool"]))
    with Kling() as kling:
        loaded = {plugin.name for plugin in kling.plugins if plugin.state == "loaded" and not plugin.is_core}
    assert loaded == {"webhook", "keypool"}


def test_misspelt_auth_plugin_is_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_AUTH", "Env_Auth")
    with Kling() as kling, pytest.raises(ka.ConfigError) as caught:
        kling.credits()
    assert "no auth plugin 'Env_Auth'. Did you mean env_auth?" in str(caught.value)
    assert "Available: " in str(caught.value)


@pytest.fixture
def same_names(install: Install, tmp_path: Path, sandbox: Sandbox) -> None:
    """Install two distributions with a plugin `vault`; the first in the order of names has a wrong key."""
    install("vault", VAULT.format(key=sandbox.api_key))
    install("aaa", VAULT.format(key="SG_wrong_wrong_wrong"))
    points = tmp_path / "acme_aaa-1.2.dist-info" / "entry_points.txt"
    points.write_text("[kling_adapters]\nvault = plugin_aaa\n")


@pytest.mark.usefixtures("same_names")
def test_plugins_of_one_name_are_both_disabled(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    with Kling(base_url=sandbox.base_url, auth="vault") as kling:
        with pytest.raises(ka.ConfigError, match=r"disabled: acme-.*have the same name"):
            kling.credits()
        for name, rival in (("acme-vault", "acme-aaa"), ("acme-aaa", "acme-vault")):
            plugin = info(kling, f"{name}:vault")
            assert plugin.state == "disabled"
            assert plugin.reason == (
                f"{name}:vault and {rival}:vault have the same name; disable one, "
                f"for example with KLING_DISABLE_PLUGINS={rival}:vault"
            )
    assert "plugin acme-aaa:vault is not used" in caplog.text
    with pytest.raises(ka.ConfigError, match="have the same name"):
        Kling(strict_plugins=True)


@pytest.mark.usefixtures("same_names")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KLING_DISABLE_PLUGINS", "acme-aaa:vault"),
        ("KLING_PLUGINS", "Acme_Vault:vault"),
        ("KLING_AUTH", "acme-vault:vault"),
    ],
)
def test_full_name_selects_one_of_two_plugins(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with Kling(base_url=sandbox.base_url, auth="acme-vault:vault") as kling:
        assert kling.credits().credits is not None
        assert info(kling, "acme-vault:vault").state == "loaded"
        assert info(kling, "acme-aaa:vault").state == "disabled"


@pytest.mark.usefixtures("same_names")
def test_plugins_of_one_name_load_by_full_names(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_PLUGINS", "acme-vault:vault acme-aaa:vault")
    with Kling(base_url=sandbox.base_url, auth="acme-vault:vault") as kling:
        assert kling.credits().credits is not None
    with Kling(base_url=sandbox.base_url, auth="acme-aaa:vault") as kling, pytest.raises(ka.Unauthorized):
        kling.credits()


STORAGE = """
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_storage(url):
    return None
"""


def test_storage_error_names_the_disabled_plugin(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("filing", STORAGE)
    install("unrelated", "1 / 0")
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "filing")
    message = "plugin 'filing' is installed but not enabled (named in KLING_DISABLE_PLUGINS)"
    with Kling() as kling:
        with pytest.raises(ka.ConfigError, match=re.escape(message)) as caught:
            kling.run("kling-2", prompt="x", save_to="filing:")
        assert "unrelated" not in str(caught.value)
        with pytest.raises(ka.ConfigError, match=re.escape(message)) as caught:
            kling.run("kling-2", prompt="x", save_to="sftp://bucket/")
        assert "plugin 'unrelated' is installed but broken (ZeroDivisionError" in str(caught.value)


def test_auth_names_its_plugin(install: Install, sandbox: Sandbox) -> None:
    install("vault", VAULT.format(key=sandbox.api_key))
    plugins = Plugins()
    assert plugins.auth(sandbox.base_url, "vault").plugin == "vault"
    assert plugins.auth(sandbox.base_url, "env_auth").plugin == "env_auth"


def test_name_of_built_in_plugin_is_not_taken(
    install: Install, tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("rival", VAULT.format(key="SG_wrong_wrong_wrong"))
    points = tmp_path / "acme_rival-1.2.dist-info" / "entry_points.txt"
    points.write_text("[kling_adapters]\nenv_auth = plugin_rival\n")
    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
    with Kling(base_url=sandbox.base_url, auth="env_auth") as kling:
        assert kling.credits().credits is not None
        assert info(kling, "kling-adapters:env_auth").state == "loaded"
        rival = info(kling, "acme-rival:env_auth")
    assert (rival.state, rival.reason) == (
        "disabled",
        "the name env_auth belongs to a built-in plugin; use acme-rival:env_auth in KLING_PLUGINS",
    )


def test_taken_slug_leaves_out_that_model_only(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("acme", MODELS.format(slugs=["acme-1", "kling-2", "acme-2"]))
    with Kling() as kling:
        assert {"acme-1", "acme-2"} <= set(kling.catalog)
        assert kling.catalog["kling-2"].module == "kling_adapters.models.kling_2"
        plugin = info(kling, "acme-acme:acme")
    assert plugin.state == "loaded"
    assert plugin.hooks == ("kling_event", "kling_register_adapters")
    assert plugin.reason == (
        "left out: acme.models.Acme has the slug kling-2, "
        "which is that of kling_adapters.models.kling_2.Kling2"
    )
    assert "a model of plugin acme is left out" in caplog.text
    with pytest.raises(ka.ConfigError, match="slug kling-2, which is that of"):
        Kling(strict_plugins=True)


def test_model_of_another_type_breaks_its_plugin(install: Install) -> None:
    code = "from kling_adapters.hookspecs import hookimpl\n@hookimpl\ndef kling_register_adapters(register): "
    install("odd", f"{code}register('kling-9')")
    with Kling() as kling:
        plugin = info(kling, "acme-odd:odd")
    assert plugin.state == "broken"
    assert "register() expects a CatalogEntry and got a str" in plugin.reason


def test_broken_plugin_is_logged_once_in_a_process(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("broken", "1 / 0")
    for _ in range(3):
        with Kling() as kling:
            assert info(kling, "acme-broken:broken").state == "broken"
    records = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(records) == 1


def test_entry_point_like_a_full_name_is_not_called(
    install: Install, tmp_path: Path, sandbox: Sandbox
) -> None:
    install("aaa", VAULT.format(key=sandbox.api_key))
    install("rival", VAULT.format(key="SG_wrong_wrong_wrong"))
    points = tmp_path / "acme_rival-1.2.dist-info" / "entry_points.txt"
    points.write_text("[kling_adapters]\nacme-aaa:aaa = plugin_rival\n")
    with Kling(base_url=sandbox.base_url, auth="acme-aaa:aaa") as kling:
        assert kling.credits().credits is not None


WITHOUT_METADATA = """
import importlib.metadata, sys
importlib.metadata.MetadataPathFinder.find_distributions = classmethod(lambda *_, **__: iter(()))
assert not importlib.metadata.entry_points(group="kling_adapters")
from kling_adapters import Kling
from kling_adapters.testing import FakeGateway, SimulatedClock
import os
with FakeGateway() as gateway:
    os.environ["SEGMIND_API_KEY"] = gateway.api_key
    options = {"base_url": gateway.base_url, "clock": SimulatedClock(), "journal": None}
    with Kling(**options) as kling:
        print(*(f"{plugin.name}={plugin.state}" for plugin in kling.plugins))
        print(kling.run("kling-2", prompt="x", save_to=sys.argv[1]).saved[0].path.is_file())
"""


def test_built_in_plugins_need_no_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", WITHOUT_METADATA, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = run()
    names = ["env_auth", "file_storage", "log_notifier", "models"]
    assert done.stdout.splitlines() == [" ".join(f"{name}=loaded" for name in names), "True"], done.stderr
    monkeypatch.setenv("KLING_DISABLE_PLUGINS", "models")
    done = run()
    assert "models=disabled" in done.stdout
    assert "no adapter for 'kling-2'" in done.stderr
