"""Auth plugins: the one that provides the key, and pools of keys."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.hookspecs import hookimpl
from tests.support.clients import OpenClient

from .conftest import VAULT, Install

KEY = "SG_0123456789abcdef"


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
