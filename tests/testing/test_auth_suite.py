"""AuthConformance and KeyPoolConformance accept correct plugins; each check detects its own defect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from kling_adapters import ConfigError
from kling_adapters.hookspecs import Auth, hookimpl
from kling_adapters.testing import AuthConformance, KeyPoolConformance


class TestEnvironment(AuthConformance):
    plugin = "env_auth"
    hint = "SEGMIND_API_KEY"

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.variables = monkeypatch

    def configure(self, gateway: str, *keys: str) -> None:
        self.variables.setenv("SEGMIND_API_KEY", "".join(keys))


class Vault:
    """Returns its first key. It is correct; subclasses have a defect."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()

    @hookimpl
    def kling_auth(self, chosen: bool) -> Auth | None:
        if self.keys:
            return cast("Auth | None", self.auth())
        return cast("Auth | None", self.missing() if chosen else self.unconfigured())

    def auth(self) -> Any:
        return Key(self)

    def missing(self) -> Any:
        raise ConfigError("there is no key: run `vault unlock`")

    def unconfigured(self) -> Any:
        return None

    def key(self) -> str:
        return self.keys[0]


class Key:
    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def api_key(self) -> str:
        return self.vault.key()


class VaultConformance(AuthConformance):
    hint = "vault unlock"

    def __init__(self, plugin: Vault) -> None:
        self.plugin: Vault = plugin

    def configure(self, gateway: str, *keys: str) -> None:
        self.plugin.keys = keys


class NoneForSelected(Vault):
    def auth(self) -> Any:
        return None


class ReturnsNoAuth(Vault):
    def auth(self) -> Any:
        return object()


class NewlineInKey(Vault):
    def key(self) -> str:
        return f"{super().key()}\n"


class BytesKey(Vault):
    def key(self) -> Any:
        return super().key().encode()


class AnotherKey(Vault):
    def key(self) -> str:
        return "SG_another"


class AnotherKeyIfUnselected(Vault):
    @hookimpl
    def kling_auth(self, chosen: bool) -> Auth | None:
        return super().kling_auth(chosen) if chosen or not self.keys else Key(AnotherKey())


class RaisesIfUnselected(Vault):
    def unconfigured(self) -> Any:
        raise ConfigError("there is no key: run `vault unlock`")


class AuthWithoutKey(Vault):
    def unconfigured(self) -> Any:
        return Key(self)


class NoneWithoutKey(Vault):
    def missing(self) -> Any:
        return None


class EmptyKey(Vault):
    def missing(self) -> Any:
        vault = Vault()
        vault.keys = ("",)
        return Key(vault)


class NoHint(Vault):
    def missing(self) -> Any:
        raise ConfigError("there is no key")


class RaisesKeyError(Vault):
    def missing(self) -> Any:
        raise KeyError("vault unlock")


class KeyInRepr(Vault):
    def auth(self) -> Any:
        class Shown(Key):
            def __repr__(self) -> str:
                return f"Key({self.vault.key()})"

        return Shown(self)


class KeyInPluginRepr(Vault):
    def __repr__(self) -> str:
        return f"Vault{self.keys}"


class OneThreadOnly(Vault):
    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Lock()

    def key(self) -> str:
        if not self.busy.acquire(blocking=False):
            return "SG_busy"
        time.sleep(0.001)
        self.busy.release()
        return super().key()


class KeyForOneGateway(Vault):
    """Returns its key for one gateway only."""

    @hookimpl
    def kling_auth(self, gateway: str, chosen: bool) -> Auth | None:  # type: ignore[override]
        return super().kling_auth(chosen) if gateway == "https://api.segmind.com" else Key(AnotherKey())


class Renews(Vault):
    """Returns a new key after a refusal; correct."""

    def auth(self) -> Any:
        return Renewed(self)


class Renewed(Key):
    def refused(self, key: str, status: int, retry_after: float | None) -> Any:
        self.vault.keys = (f"{key}-renewed",)
        return True


class FalseRenewal(Vault):
    def auth(self) -> Any:
        class Same(Key):
            def refused(self, key: str, status: int, retry_after: float | None) -> Any:
                return True

        return Same(self)


class NoRenewalResult(Vault):
    def auth(self) -> Any:
        class Silent(Renewed):
            def refused(self, key: str, status: int, retry_after: float | None) -> Any:
                return None

        return Silent(self)


MUTANTS: list[tuple[type[Vault], str]] = [
    (FalseRenewal, "test_refused_key_is_not_returned_again"),
    (NoRenewalResult, "test_refused_key_is_not_returned_again"),
    (NoneForSelected, "test_selected_plugin_returns_the_key"),
    (ReturnsNoAuth, "test_selected_plugin_returns_the_key"),
    (NewlineInKey, "test_selected_plugin_returns_the_key"),
    (BytesKey, "test_selected_plugin_returns_the_key"),
    (AnotherKey, "test_selected_plugin_returns_the_key"),
    (ReturnsNoAuth, "test_unselected_plugin_returns_the_key_or_none"),
    (AnotherKeyIfUnselected, "test_unselected_plugin_returns_the_key_or_none"),
    (RaisesIfUnselected, "test_unconfigured_plugin_returns_none"),
    (AuthWithoutKey, "test_unconfigured_plugin_returns_none"),
    (NoneWithoutKey, "test_selected_plugin_without_key_names_the_hint"),
    (EmptyKey, "test_selected_plugin_without_key_names_the_hint"),
    (NoHint, "test_selected_plugin_without_key_names_the_hint"),
    (RaisesKeyError, "test_selected_plugin_without_key_names_the_hint"),
    (KeyInRepr, "test_no_repr_contains_the_key"),
    (KeyInPluginRepr, "test_no_repr_contains_the_key"),
    (OneThreadOnly, "test_threads_get_the_key"),
    (KeyForOneGateway, "test_client_sends_the_key"),
]


class Pool(Vault):
    """Uses its keys in turn without the refused ones. It is correct; subclasses have a defect."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def auth(self) -> Any:
        return Ring(self)

    def pauses(self, status: int, retry_after: float | None) -> bool:
        return True

    def has_other_key(self, ready: list[str]) -> bool:
        return bool(ready)

    def key_of_unknown_job(self) -> str | None:
        return None

    def list_keys(self) -> list[str]:
        return list(self.keys)


class Ring:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.ready = list(pool.keys)
        self.jobs: dict[str, str] = {}

    def api_key(self) -> str:
        with self.pool.lock:
            if not self.ready:
                raise ConfigError("every key was refused")
            self.ready.append(self.ready.pop(0))
            return self.ready[-1]

    def accepted(self, key: str, request_id: str) -> None:
        self.jobs[request_id] = key

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        with self.pool.lock:
            if self.pool.pauses(status, retry_after) and key in self.ready:
                self.ready.remove(key)
            return self.pool.has_other_key(self.ready)

    def keys(self) -> list[str]:
        return self.pool.list_keys()

    def key_of(self, request_id: str) -> str | None:
        return self.jobs.get(request_id) or self.pool.key_of_unknown_job()


class PoolConformance(KeyPoolConformance):
    hint = "vault unlock"

    def __init__(self, plugin: Vault) -> None:
        self.plugin: Vault = plugin

    def configure(self, gateway: str, *keys: str) -> None:
        self.plugin.keys = keys


class ReturnsNoPool(Pool):
    def auth(self) -> Any:
        return Key(self)


class ForgetsJobs(Pool):
    def auth(self) -> Any:
        class Forgets(Ring):
            def key_of(self, request_id: str) -> str | None:
                return next(iter(self.jobs.values()))

        return Forgets(self)


class KeyForUnknownJob(Pool):
    def key_of_unknown_job(self) -> str | None:
        return self.keys[0]


class ListsFirstKey(Pool):
    def list_keys(self) -> list[str]:
        return list(self.keys[:1])


class OffersInvalidKey(Pool):
    def pauses(self, status: int, retry_after: float | None) -> bool:
        return status != 401


class OffersLimitedKey(Pool):
    def pauses(self, status: int, retry_after: float | None) -> bool:
        return status != 429 or bool(retry_after)


class NeverHasOtherKey(Pool):
    def has_other_key(self, ready: list[str]) -> bool:
        return False


class AlwaysHasOtherKey(Pool):
    def has_other_key(self, ready: list[str]) -> bool:
        return True


class RemembersLastJob(Pool):
    """Stores only the key of the last job."""

    def auth(self) -> Any:
        class Last(Ring):
            def accepted(self, key: str, request_id: str) -> None:
                self.last_key = key
                time.sleep(0.0001)

            def key_of(self, request_id: str) -> str | None:
                return self.last_key

        return Last(self)


class PollsWithAnyKey(Pool):
    def auth(self) -> Any:
        class Forgets(Ring):
            def key_of(self, request_id: str) -> str | None:
                return None

            def refused(self, key: str, status: int, retry_after: float | None) -> bool:
                return True

        return Forgets(self)


POOL_MUTANTS: list[tuple[type[Pool], str]] = [
    (ReturnsNoPool, "test_auth_is_a_key_pool"),
    (ForgetsJobs, "test_job_keeps_its_key"),
    (KeyForUnknownJob, "test_job_keeps_its_key"),
    (ListsFirstKey, "test_keys_lists_all_keys"),
    (OffersInvalidKey, "test_refused_key_pauses"),
    (OffersLimitedKey, "test_refused_key_pauses"),
    (NeverHasOtherKey, "test_refused_key_pauses"),
    (AlwaysHasOtherKey, "test_last_refusal_reports_no_other_key"),
    (RemembersLastJob, "test_threads_share_the_pool"),
    (PollsWithAnyKey, "test_client_continues_with_another_key"),
]

SUITES: list[tuple[type[Any], type[Vault]]] = [
    (VaultConformance, Vault),
    (VaultConformance, Renews),
    (PoolConformance, Pool),
]
RUNS = [
    (suite, plugin, check) for suite, plugin in SUITES for check in sorted(dir(suite)) if "test_" in check
]
DEFECTS: list[tuple[type[Any], type[Vault], str]] = [(VaultConformance, *mutant) for mutant in MUTANTS]
DEFECTS += [(PoolConformance, *mutant) for mutant in POOL_MUTANTS]


def run(suite: type[Any], plugin: Vault, check: str) -> None:
    cast("Callable[[], None]", getattr(suite(plugin), check))()


@pytest.mark.parametrize(("suite", "plugin", "check"), RUNS)
def test_correct_plugin_passes(suite: type[Any], plugin: type[Vault], check: str) -> None:
    run(suite, plugin(), check)


@pytest.mark.parametrize(("suite", "mutant", "check"), DEFECTS)
def test_each_check_catches_its_defect(suite: type[Any], mutant: type[Vault], check: str) -> None:
    with pytest.raises(AssertionError, match=r"\w+ .*\w") as caught:
        run(suite, mutant(), check)
    assert "SG_1111" not in str(caught.value).replace("SG_1111111111111111'", "")


def test_every_check_has_a_mutant() -> None:
    assert {check for _, _, check in DEFECTS} == {check for _, _, check in RUNS}
