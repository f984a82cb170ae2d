"""What every plugin that gives API keys must do."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial

from kling_adapters.api_errors import ApiError
from kling_adapters.client.client import Kling
from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import Auth, KeyPool, RenewableAuth
from kling_adapters.testing.gateway import FakeGateway
from kling_adapters.testing.plugin import PluginConformance, at_once

KEYS = ("SG_1111111111111111", "SG_2222222222222222", "SG_3333333333333333")
GATEWAY = "https://api.segmind.com"


class AuthConformance(PluginConformance):
    """Inherit it, and say how the plugin is told a key.

    class TestEnvironment(AuthConformance):
        plugin = "env_auth"
        hint = "SEGMIND_API_KEY"

        @pytest.fixture(autouse=True)
        def environment(self, monkeypatch):
            self.environment = monkeypatch

        def configure(self, gateway, *keys):
            self.environment.setenv("SEGMIND_API_KEY", "".join(keys))

    `hint`: what the error must name when there is no key: a variable, a command.
    """

    hint: str

    def configure(self, gateway: str, *keys: str) -> None:
        """Let the plugin find these keys for the gateway (its base URL): one, several for a pool, or none.

        Only these: what it found before is forgotten, and no key is refused.
        """
        raise NotImplementedError

    def test_gives_the_key_when_it_is_chosen(self) -> None:
        """The very key: visible characters, and nothing around them."""
        auth = self._auth(KEYS[0])
        key = auth.api_key()
        assert isinstance(key, str), f"api_key() gave a {type(key).__name__}, not text"
        assert re.fullmatch("[!-~]+", key), (
            "api_key() gave a key with white space, or characters that no key has"
        )
        assert key == KEYS[0], "api_key() gave another key than the one that was configured"

    def test_gives_the_key_or_leaves_it_to_others_when_it_is_not_chosen(self) -> None:
        """The same key, if it answers at all."""
        self.configure(GATEWAY, KEYS[0])
        found = self.ask("kling_auth", gateway=GATEWAY, chosen=False)
        if found is not None:
            assert isinstance(found, Auth), f"kling_auth gave {found!r}, not an Auth"
            assert found.api_key() == KEYS[0], "api_key() gave another key than the one that was configured"

    def test_leaves_it_to_others_without_a_key(self) -> None:
        """Installed but not configured, it must not be in the way; one that is asked last may answer."""
        self.configure(GATEWAY)
        try:
            found = self.ask("kling_auth", gateway=GATEWAY, chosen=False)
        except ConfigError as error:
            raise AssertionError(
                f"kling_auth should return None, so that others are asked; {error}"
            ) from error
        assert found is None or self.implementation("kling_auth").trylast, (
            f"kling_auth gave {found!r} without a key, so that no other plugin is asked; None was due"
        )

    def test_says_how_to_provide_a_key_when_it_is_chosen_without_one(self) -> None:
        """A ConfigError, from the hook or from `api_key`, that names `hint`."""
        self.configure(GATEWAY)
        gave = "None for an Auth"
        try:
            found = self.ask("kling_auth", gateway=GATEWAY, chosen=True)
            if found is not None:
                gave = f"a {type(found.api_key()).__name__} for a key"
        except Exception as error:  # noqa: BLE001  told below, whatever it is
            gave = f"{type(error).__name__}: {error}"
            if isinstance(error, ConfigError) and self.hint in str(error):
                return
        raise AssertionError(
            f"chosen without a key it gave {gave}; a ConfigError that names {self.hint} was due"
        )

    def test_no_key_is_shown(self) -> None:
        """In no repr."""
        auth = self._auth(KEYS[0])
        auth.api_key()
        for shown in (repr(auth), str(auth), repr(self.plugin)):
            assert KEYS[0] not in shown, f"{shown.replace(KEYS[0], '[key]')} shows the key"

    def test_may_be_asked_from_several_threads(self) -> None:
        """Each time it gives the key."""
        auth = self._auth(KEYS[0])

        def ask() -> set[str]:
            return {auth.api_key() for _ in range(50)}

        found = set[str]().union(*at_once([ask] * 8))
        assert found == {KEYS[0]}, f"asked from 8 threads at once, api_key() gave {len(found)} different keys"

    def test_a_refused_key_is_not_given_as_another(self) -> None:
        """An Auth that has `refused` says True only if `api_key` gives another key, and False does not lose the key."""
        auth = self._auth(KEYS[0])
        if not isinstance(auth, RenewableAuth):
            return
        another = auth.refused(auth.api_key(), 401, None)
        assert isinstance(another, bool), f"refused() gave a {type(another).__name__}; expected a bool"
        if another:
            assert auth.api_key() != KEYS[0], "refused() gave True, and api_key() gave the refused key again"

    def test_a_client_uses_it(self) -> None:
        """Every request to the gateway has the key."""
        with FakeGateway(keys=KEYS) as gateway:
            self.configure(gateway.base_url, KEYS[1])
            with self._client(gateway) as kling, suppress(ApiError):
                kling.run("kling-2", prompt="x")
                kling.credits()
        used = {request.key for request in gateway.requests}
        assert used == {1}, (
            f"the client used the keys {used} of three, by their place, instead of {{1}} alone"
        )

    def _client(self, gateway: FakeGateway) -> Kling:
        """Return a client that takes its key from the plugin; what the gateway has to say of it is in `requests`."""
        return self.client(gateway, auth=self.implementation("kling_auth").plugin_name)

    def _auth(self, *keys: str) -> Auth:
        self.configure(GATEWAY, *keys)
        found = self.ask("kling_auth", gateway=GATEWAY, chosen=True)
        assert isinstance(found, Auth), f"chosen and configured, kling_auth gave {found!r}, not an Auth"
        return found


class KeyPoolConformance(AuthConformance):
    """AuthConformance for a plugin that gives a KeyPool."""

    def test_is_a_pool(self) -> None:
        """Its Auth has the methods of a KeyPool."""
        auth = self._auth(*KEYS)
        assert isinstance(auth, KeyPool), f"{auth!r} has not all of keys, accepted, refused and key_of"

    def test_a_job_keeps_its_key(self) -> None:
        """Whatever else is submitted meanwhile; of a job that is not its own the pool knows nothing."""
        pool = self._pool(*KEYS)
        submitted_by: dict[str, str] = {}
        for number in range(30):
            key = pool.api_key()
            submitted_by[f"job-{number}"] = key
            pool.accepted(key, f"job-{number}")
        for request_id, key in submitted_by.items():
            assert pool.key_of(request_id) == key, (
                f"key_of({request_id!r}) gave another key than it was submitted with"
            )
        assert pool.key_of("job-of-another") is None, (
            "key_of() gave a key for a job that the pool does not know"
        )

    def test_lists_its_keys(self) -> None:
        """So that the key of a job that another process submitted can be found."""
        assert sorted(self._pool(*KEYS).keys()) == sorted(KEYS), (
            "keys() does not list the keys that there are"
        )

    def test_a_refused_key_rests_while_others_are_ready(self) -> None:
        """For each answer that says something of the key; a limit may be of unknown length."""
        for status, retry_after in ((401, None), (403, None), (406, None), (429, 60.0), (429, None)):
            pool = self._pool(*KEYS)
            refused = pool.api_key()
            another = pool.refused(refused, status, retry_after)
            assert another is True, (
                f"refused({status}) gave {another!r}, though there are other keys; True was due"
            )
            offered = [pool.api_key() for _ in range(10)]
            assert refused not in offered, f"a key that was refused with {status} was offered again at once"

    def test_the_last_key_has_no_other_beside_it(self) -> None:
        """When all are refused, `refused` says so, and the gateway's answer is taken as it is."""
        pool = self._pool(*KEYS)
        for number in range(len(KEYS)):
            another = pool.refused(pool.api_key(), 429, 60.0)
            last = number == len(KEYS) - 1
            assert another is not last, f"refused() gave {another!r} with {len(KEYS) - 1 - number} keys left"

    def test_threads_share_the_pool(self) -> None:
        """Submits, refusals and polls of many jobs at once."""
        pool = self._pool(*KEYS)

        def work(thread: int) -> list[str]:
            wrong: list[str] = []
            for number in range(50):
                request_id, key = f"job-{thread}-{number}", pool.api_key()
                pool.accepted(key, request_id)
                if pool.key_of(request_id) != key:
                    wrong.append(request_id)
            return wrong

        wrong = at_once([partial(work, thread) for thread in range(8)])
        assert not any(wrong), (
            f"used by 8 threads at once, the pool gave other keys for {sum(map(len, wrong))} jobs"
        )

    def test_a_client_goes_on_with_another_key(self) -> None:
        """The gateway knows one key of three: every job is submitted with it in the end, and polled with it alone."""
        with FakeGateway(keys=KEYS[2:]) as gateway:
            self.configure(gateway.base_url, *KEYS)
            with self._client(gateway) as kling, suppress(ApiError):
                jobs = [kling.submit("kling-2", prompt="x") for _ in range(3)]
                for job in jobs:
                    job.wait()
        polls = {request.key for request in gateway.requests if request.method == "GET"}
        assert polls == {0}, "a job was asked for with another key than the one that submitted it"
        refused = [request for request in gateway.requests if request.key is None]
        assert len(refused) == len(KEYS) - 1, (
            f"{len(refused)} requests had a key that had been refused before"
        )

    def _pool(self, *keys: str) -> KeyPool:
        pool = self._auth(*keys)
        assert isinstance(pool, KeyPool), f"{pool!r} is no KeyPool"
        return pool
