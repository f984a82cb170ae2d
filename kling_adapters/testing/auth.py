"""Requirements for plugins that provide API keys."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial

from kling_adapters.api_errors import ApiError
from kling_adapters.client.client import Kling
from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import Auth, KeyPool, RenewableAuth
from kling_adapters.testing.gateway import FakeGateway
from kling_adapters.testing.plugin import PluginConformance, run_concurrently

KEYS = ("SG_1111111111111111", "SG_2222222222222222", "SG_3333333333333333")
GATEWAY = "https://api.segmind.com"
_WRONG_KEY = "api_key() returned another key than the configured one"


class AuthConformance(PluginConformance):
    """Requirements for plugins with `kling_auth`: inherit it and define `plugin`, `hint` and `configure`.

    class TestEnvironment(AuthConformance):
        plugin = "env_auth"
        hint = "SEGMIND_API_KEY"

        @pytest.fixture(autouse=True)
        def environment(self, monkeypatch):
            self.environment = monkeypatch

        def configure(self, gateway, *keys):
            self.environment.setenv("SEGMIND_API_KEY", "".join(keys))

    Attributes:
        hint: The part of the error without a key that helps the user: a variable, a command.

    """

    hint: str

    def configure(self, gateway: str, *keys: str) -> None:
        """Provide exactly these keys to the plugin, none of them refused.

        Args:
            gateway: The base URL of the gateway.
            keys: One key, several keys for a pool, or none.

        """
        raise NotImplementedError

    def test_selected_plugin_returns_the_key(self) -> None:
        """The configured key, without white space around it."""
        key = self._auth(KEYS[0]).api_key()
        assert isinstance(key, str), f"api_key() returned a {type(key).__name__}; expected a str"
        assert re.fullmatch("[!-~]+", key), (
            "api_key() returned a key with white space or other characters that keys do not have"
        )
        assert key == KEYS[0], _WRONG_KEY

    def test_unselected_plugin_returns_the_key_or_none(self) -> None:
        """An Auth, if the hook returns one, has the configured key."""
        self.configure(GATEWAY, KEYS[0])
        auth = self.call("kling_auth", gateway=GATEWAY, chosen=False)
        if auth is not None:
            assert isinstance(auth, Auth), f"kling_auth returned {auth!r}; expected an Auth"
            assert auth.api_key() == KEYS[0], _WRONG_KEY

    def test_unconfigured_plugin_returns_none(self) -> None:
        """Without a key the next plugin is called, unless the hook is marked `trylast`."""
        self.configure(GATEWAY)
        try:
            auth = self.call("kling_auth", gateway=GATEWAY, chosen=False)
        except ConfigError as error:
            raise AssertionError(
                f"kling_auth should return None, so that the next plugin is called; {error}"
            ) from error
        assert auth is None or self.implementation("kling_auth").trylast, (
            f"kling_auth returned {auth!r} without a key; expected None, so that the next plugin is called"
        )

    def test_selected_plugin_without_key_names_the_hint(self) -> None:
        """A ConfigError, from the hook or from `api_key`, contains `hint`."""
        self.configure(GATEWAY)
        outcome = "returned None for an Auth"
        try:
            auth = self.call("kling_auth", gateway=GATEWAY, chosen=True)
            if auth is not None:
                outcome = f"returned a {type(auth.api_key()).__name__} for a key"
        except Exception as error:  # noqa: BLE001  reported below
            outcome = f"raised {type(error).__name__}: {error}"
            if isinstance(error, ConfigError) and self.hint in str(error):
                return
        raise AssertionError(
            f"selected without a key, it {outcome}; expected a ConfigError that names {self.hint}"
        )

    def test_no_repr_contains_the_key(self) -> None:
        """Neither that of the Auth nor that of the plugin."""
        auth = self._auth(KEYS[0])
        auth.api_key()
        for text in (repr(auth), str(auth), repr(self.plugin)):
            assert KEYS[0] not in text, f"{text.replace(KEYS[0], '[key]')} contains the key"

    def test_threads_get_the_key(self) -> None:
        """Concurrent calls of `api_key` return the configured key."""
        auth = self._auth(KEYS[0])

        def read_keys() -> set[str]:
            return {auth.api_key() for _ in range(50)}

        keys = set[str]().union(*run_concurrently([read_keys] * 8))
        assert keys == {KEYS[0]}, f"api_key() returned {len(keys)} different keys in 8 threads"

    def test_refused_key_is_not_returned_again(self) -> None:
        """If `refused` returns True, `api_key` returns another key."""
        auth = self._auth(KEYS[0])
        if not isinstance(auth, RenewableAuth):
            return
        has_new_key = auth.refused(auth.api_key(), 401, None)
        assert isinstance(has_new_key, bool), (
            f"refused() returned a {type(has_new_key).__name__}; expected a bool"
        )
        if has_new_key:
            assert auth.api_key() != KEYS[0], (
                "refused() returned True, but api_key() returned the refused key"
            )

    def test_client_sends_the_key(self) -> None:
        """Every request to the gateway has the configured key."""
        with FakeGateway(keys=KEYS) as gateway:
            self.configure(gateway.base_url, KEYS[1])
            with self._client(gateway) as kling, suppress(ApiError):
                kling.run("kling-2", prompt="x")
                kling.credits()
        positions = {request.key for request in gateway.requests}
        assert positions == {1}, f"the client sent the keys {positions} of three, by position; expected {{1}}"

    def _client(self, gateway: FakeGateway) -> Kling:
        return self.client(gateway, auth=self.implementation("kling_auth").plugin_name)

    def _auth(self, *keys: str) -> Auth:
        self.configure(GATEWAY, *keys)
        auth = self.call("kling_auth", gateway=GATEWAY, chosen=True)
        assert isinstance(auth, Auth), (
            f"selected and configured, kling_auth returned {auth!r}; expected an Auth"
        )
        return auth


class KeyPoolConformance(AuthConformance):
    """Requirements for plugins whose `kling_auth` returns a KeyPool, in addition to AuthConformance."""

    def test_auth_is_a_key_pool(self) -> None:
        """It has all methods of a KeyPool."""
        auth = self._auth(*KEYS)
        assert isinstance(auth, KeyPool), f"{auth!r} does not have all of keys, accepted, refused and key_of"

    def test_job_keeps_its_key(self) -> None:
        """`key_of` returns the key of each job, and None for a job of another pool."""
        pool = self._pool(*KEYS)
        key_by_job: dict[str, str] = {}
        for number in range(30):
            key = pool.api_key()
            key_by_job[f"job-{number}"] = key
            pool.accepted(key, f"job-{number}")
        for request_id, key in key_by_job.items():
            assert pool.key_of(request_id) == key, (
                f"key_of({request_id!r}) returned another key than the one of the submit"
            )
        assert pool.key_of("job-of-another-pool") is None, "key_of() returned a key for an unknown job"

    def test_keys_lists_all_keys(self) -> None:
        """The journal finds the key of a job of another process among them."""
        assert sorted(self._pool(*KEYS).keys()) == sorted(KEYS), "keys() does not return all configured keys"

    def test_refused_key_pauses(self) -> None:
        """After each refusal, the pool returns its other keys."""
        for status, retry_after in ((401, None), (403, None), (406, None), (429, 60.0), (429, None)):
            pool = self._pool(*KEYS)
            key = pool.api_key()
            has_other_key = pool.refused(key, status, retry_after)
            assert has_other_key is True, (
                f"refused({status}) returned {has_other_key!r} with two other keys; expected True"
            )
            next_keys = [pool.api_key() for _ in range(10)]
            assert key not in next_keys, f"api_key() returned a key just refused with {status}"

    def test_last_refusal_reports_no_other_key(self) -> None:
        """When all keys are refused, `refused` returns False, and the client raises the refusal."""
        pool = self._pool(*KEYS)
        for remaining in reversed(range(len(KEYS))):
            has_other_key = pool.refused(pool.api_key(), 429, 60.0)
            assert has_other_key is (remaining > 0), (
                f"refused() returned {has_other_key!r} with {remaining} keys left"
            )

    def test_threads_share_the_pool(self) -> None:
        """Concurrent submits and polls use the right keys."""
        pool = self._pool(*KEYS)

        def count_wrong_keys(thread: int) -> int:
            count = 0
            for number in range(50):
                request_id, key = f"job-{thread}-{number}", pool.api_key()
                pool.accepted(key, request_id)
                count += pool.key_of(request_id) != key
            return count

        count = sum(run_concurrently([partial(count_wrong_keys, thread) for thread in range(8)]))
        assert count == 0, f"key_of() returned wrong keys for {count} jobs in 8 threads"

    def test_client_continues_with_another_key(self) -> None:
        """If the gateway accepts one key of three, all jobs are submitted and polled with it."""
        with FakeGateway(keys=KEYS[2:]) as gateway:
            self.configure(gateway.base_url, *KEYS)
            with self._client(gateway) as kling, suppress(ApiError):
                jobs = [kling.submit("kling-2", prompt="x") for _ in range(3)]
                for job in jobs:
                    job.wait()
        polls = {request.key for request in gateway.requests if request.method == "GET"}
        assert polls == {0}, "a job was polled with another key than the one that submitted it"
        refusals = [request for request in gateway.requests if request.key is None]
        assert len(refusals) == len(KEYS) - 1, f"{len(refusals)} requests had a key that was refused before"

    def _pool(self, *keys: str) -> KeyPool:
        pool = self._auth(*keys)
        assert isinstance(pool, KeyPool), f"{pool!r} is not a KeyPool"
        return pool
