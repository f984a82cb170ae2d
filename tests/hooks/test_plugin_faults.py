"""Plugins that end the process or return wrong types: job, file and application continue."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.hookspecs import Location, hookimpl
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient

from .conftest import Install

EXITS = {
    "sys.exit": "import sys; print('noise'); sys.exit(0)",
    "warns and exits": (
        "import sys, warnings; warnings.simplefilter('ignore'); warnings.warn('old'); sys.exit('bye')"
    ),
    "GeneratorExit": "raise GeneratorExit('out')",
    "own BaseException": "class Panic(BaseException): ...\nraise Panic('rust')",
}


@pytest.mark.parametrize("kind", EXITS)
def test_plugin_that_exits_at_import_is_broken(install: Install, kind: str) -> None:
    install("exits", EXITS[kind])
    install("z_good", "")
    with Kling() as kling:
        plugins = {info.name: info for info in kling.plugins}
        assert "kling-2" in kling.catalog
    assert plugins["exits"].state == "broken"
    assert plugins["exits"].reason.startswith(("SystemExit: ", "GeneratorExit: out", "Panic: rust"))
    assert plugins["z_good"].state == "loaded"
    with pytest.raises(ka.ConfigError, match="plugin exits cannot be used"):
        Kling(strict_plugins=True)


def test_ctrl_c_at_import_of_a_plugin_passes(install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with Kling() as kling, pytest.raises(KeyboardInterrupt):
        _ = kling.catalog


class Exits:
    """Calls sys.exit() in the named hooks and methods."""

    def __init__(self, *methods: str, key: str = "") -> None:
        self.methods = methods
        self.key = key

    def may_exit(self, method: str) -> None:
        if method in self.methods:
            sys.exit(f"in {method}")

    @hookimpl
    def kling_register_adapters(self) -> None:
        self.may_exit("kling_register_adapters")

    @hookimpl
    def kling_cli(self) -> None:
        self.may_exit("kling_cli")

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        self.may_exit("kling_storage")
        return self if url.startswith("exits:") else None

    @hookimpl
    def kling_auth(self) -> Any:
        self.may_exit("kling_auth")
        return self if self.key else None

    @hookimpl
    def kling_event(self) -> None:
        self.may_exit("kling_event")

    @hookimpl
    def kling_close(self) -> None:
        self.may_exit("kling_close")

    def api_key(self) -> str:
        self.may_exit("api_key")
        return self.key

    def check(self) -> None:
        self.may_exit("check")

    def open(self, name: str, content_type: str) -> Any:
        self.may_exit("open")
        return self

    def write(self, chunk: bytes) -> None:
        self.may_exit("write")

    def commit(self, sha256: str) -> Location:
        self.may_exit("commit")
        return Location("exits:1")

    def abort(self) -> None:
        self.may_exit("abort")


@pytest.mark.parametrize("hook", ["kling_storage", "kling_auth", "kling_event", "kling_close"])
def test_exit_in_a_hook_harms_no_job(
    open_client: OpenClient,
    sandbox: Sandbox,
    hook: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)

    with open_client(sandbox, plugins=[Exits(hook)], api_key=None) as kling:
        assert kling.run("kling-2", prompt="x", save_to=tmp_path).saved[0].path.is_file()
    assert f"SystemExit: in {hook}" in caplog.text


def test_exit_in_a_coroutine_harms_no_job(
    open_client: OpenClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    class Notifier:
        def __init__(self) -> None:
            self.events: list[str] = []

        @hookimpl
        async def kling_event(self, event: ka.events.Event) -> None:
            self.events.append(type(event).__name__)
            sys.exit(1)

    notifier = Notifier()

    with open_client(sandbox, plugins=[notifier]) as kling:
        kling.run("kling-2", prompt="x")
    assert notifier.events == ["Submitted", "StateChanged", "StateChanged", "Completed"]
    assert caplog.text.count("plugin Notifier failed on") == 4


@pytest.mark.parametrize("method", ["api_key", "check", "open", "write", "commit", "abort"])
def test_exit_in_a_method_is_a_kling_error(open_client: OpenClient, sandbox: Sandbox, method: str) -> None:
    plugin = Exits(method, *(["commit"] if method == "abort" else []), key=sandbox.api_key)
    before = len(sandbox.billed)

    with open_client(sandbox, plugins=[plugin], api_key=None) as kling:
        with pytest.raises((ka.StorageError, ka.ConfigError)) as caught:
            kling.run("kling-2", prompt="x", save_to="exits:")
        assert "SystemExit" in str(caught.value)
        if len(sandbox.billed) > before:
            assert isinstance(caught.value, ka.StorageError)
            assert caught.value.url
            assert "can still be fetched from" in str(caught.value)
    assert len(sandbox.billed) - before == (method not in ("api_key", "check"))


def test_ctrl_c_in_a_method_passes(sandbox: Sandbox) -> None:
    class Slow(Exits):
        def write(self, chunk: bytes) -> None:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with (
        Kling(**options, plugins=[Slow()], clock=SimulatedClock()) as kling,
        pytest.raises(KeyboardInterrupt),
    ):
        kling.run("kling-2", prompt="x", save_to="exits:")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_signal_handler_ends_the_application(sandbox: Sandbox) -> None:
    class Slow(Exits):
        def write(self, chunk: bytes) -> None:
            signal.raise_signal(signal.SIGTERM)

    def leave(*_: object) -> None:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, leave)
    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    try:
        with Kling(**options, plugins=[Slow()], clock=SimulatedClock()) as kling, pytest.raises(SystemExit):
            kling.run("kling-2", prompt="x", save_to="exits:")
    finally:
        signal.signal(signal.SIGTERM, before)


class WrongResult(Exits):
    """Returns `value` from one method of its storage."""

    def __init__(self, method: str, value: Any) -> None:
        super().__init__()
        setattr(self, method, lambda *_: value)


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("commit", None, "commit() returned a NoneType; expected a Location with a URL"),
        ("commit", "db:1", "commit() returned a str; expected a Location"),
        ("commit", Location(""), "commit() returned a Location without a URL"),
        ("commit", Location(None), "commit() returned a Location without a URL"),  # type: ignore[arg-type]
        ("commit", Location("db:1", 5), "commit() returned a Location without"),  # type: ignore[arg-type]
        ("open", None, "opened a NoneType for the file; expected a Writer with write, commit and abort"),
        ("open", "db", "opened a str for the file"),
    ],
)
def test_wrong_result_of_a_storage_is_storage_error(
    open_client: OpenClient, sandbox: Sandbox, method: str, value: Any, message: str
) -> None:
    with open_client(sandbox, plugins=[WrongResult(method, value)]) as kling:
        with pytest.raises(ka.StorageError) as caught:
            kling.run("kling-2", prompt="x", save_to="exits:")
        assert message in str(caught.value)
        assert "plugin WrongResult" in str(caught.value)
        assert caught.value.url
        assert caught.value.url in str(caught.value)


@pytest.mark.parametrize("key", [None, b"SG_0123456789abcdef", 7, ["SG_1"]])
def test_key_of_another_type_is_config_error(open_client: OpenClient, sandbox: Sandbox, key: Any) -> None:
    class Keys:
        @hookimpl
        def kling_auth(self) -> Any:
            return self

        def api_key(self) -> Any:
            return key

    with open_client(sandbox, plugins=[Keys()], api_key=None) as kling:
        with pytest.raises(ka.ConfigError) as caught:
            kling.submit("kling-2", prompt="x")
        assert f"the auth plugin Keys returned a {type(key).__name__} as the API key; expected a str" in str(
            caught.value
        )
        assert "SG_" not in str(caught.value)


def raise_error(*_: Any) -> Any:
    raise RuntimeError("SG_secret_secret_secret")


@pytest.mark.parametrize("answer", [raise_error, lambda *_: None, lambda *_: 5, sys.exit])
def test_defective_pool_loses_no_job(
    open_client: OpenClient, sandbox: Sandbox, answer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Pool:
        keys = accepted = refused = key_of = staticmethod(answer)

        @hookimpl
        def kling_auth(self) -> Any:
            return self

        def api_key(self) -> str:
            return sandbox.api_key

    with open_client(sandbox, plugins=[Pool()], api_key=None) as kling:
        job = kling.submit("kling-2", prompt="x")
        assert job.wait().output
    assert "SG_secret" not in caplog.text


def test_result_of_a_notifier_is_ignored(
    open_client: OpenClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    class Chatty:
        @hookimpl
        def kling_event(self) -> Any:
            return "thanks"

    with open_client(sandbox, plugins=[Chatty()]) as kling:
        kling.run("kling-2", prompt="x")
    assert "Chatty" not in caplog.text


class Vault:
    """Has a key that is rotated: `refused` fetches the new one."""

    def __init__(self, *keys: str) -> None:
        self.ring = list(keys)
        self.refusals: list[tuple[str, int, float | None]] = []

    @hookimpl
    def kling_auth(self) -> Any:
        return self

    def api_key(self) -> str:
        return self.ring[0]

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        self.refusals.append((key, status, retry_after))
        self.ring.pop(0)
        return bool(self.ring)


def test_renewed_key_is_used_after_a_401(open_client: OpenClient, sandbox: Sandbox) -> None:
    good, bad = sandbox.api_key, "SG_wrong_wrong_wrong"
    vault = Vault(bad, good)

    before = len(sandbox.billed)
    with open_client(sandbox, plugins=[vault], api_key=None) as kling:
        job = kling.submit("kling-2", prompt="x")
        vault.ring.insert(0, "SG_false_false_false")
        assert job.wait().output
    assert vault.refusals == [(bad, 401, None), ("SG_false_false_false", 401, None)]
    assert len(sandbox.billed) == before + 1


def test_key_that_cannot_be_renewed_is_unauthorized(open_client: OpenClient, sandbox: Sandbox) -> None:
    vault = Vault()
    with open_client(sandbox, plugins=[vault], api_key=None) as kling:
        for call in (lambda: kling.submit("kling-2", prompt="x"), kling.credits):
            vault.ring[:] = ["SG_wrong_wrong_wrong", "SG_false_false_false", "SG_wrong_wrong_wrong"]
            with pytest.raises(ka.Unauthorized):
                call()
    assert len(vault.refusals) <= 6


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
