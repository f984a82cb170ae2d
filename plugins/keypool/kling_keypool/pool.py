"""The plugin: choice of a key for each submit, and the key of each job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kling_adapters import ConfigError, fingerprint_key
from kling_adapters.hookspecs import Auth, hookimpl
from kling_keypool.environment import KEYS, KEYS_FILE, read_configured_keys
from kling_keypool.key import HOUR, PoolKey

if TYPE_CHECKING:
    from kling_adapters import events


class Keypool:
    """A thread-safe pool of API keys, which clients may share: `Kling(plugins=[Keypool(["SG_..."])])`.

    Args:
        keys: The API keys. None reads SEGMIND_API_KEYS and SEGMIND_API_KEYS_FILE, as the installed plugin
            does.
        clock: Returns the current time in seconds; for tests.

    Raises:
        ConfigError: `keys` contains no key.

    """

    def __init__(
        self, keys: Iterable[str] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._use_count = 0
        self._keys: dict[str, PoolKey] = {}
        # Key and time of the submit by request id, oldest first.
        self._submitted_by: dict[str, tuple[PoolKey, float]] = {}
        if keys is not None:
            self._fill(keys)
            if not self._keys:
                raise ConfigError("Keypool has no API key: pass at least one. Nothing was sent.")

    def __repr__(self) -> str:
        return f"Keypool({', '.join(map(fingerprint_key, self._keys))})"

    @hookimpl
    def kling_auth(self, chosen: bool) -> Auth | None:
        """Provide this pool for every gateway, if it has keys.

        Args:
            chosen: Whether the plugin was selected by name.

        Returns:
            This pool, or None if it has no keys.

        Raises:
            ConfigError: The plugin was selected and has no keys, or the file of keys cannot be used.

        """
        with self._lock:
            if not self._keys:
                self._fill(read_configured_keys())
        if self._keys:
            return self
        if chosen:
            raise ConfigError(
                f"the plugin keypool has no API keys: set {KEYS} (separated by commas) or {KEYS_FILE} (a "
                "file with one key per line), or pass Kling(plugins=[Keypool([...])]). Nothing was sent."
            )
        return None

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        """Remove a finished job from the load of its key."""
        from kling_adapters import events  # plugin discovery imports this module

        if isinstance(event, events.Completed | events.Failed | events.Expired):
            with self._lock:
                if entry := self._submitted_by.get(event.request_id):
                    entry[0].finish_job(event.request_id)

    def api_key(self) -> str:
        """Select the key with the lowest load; among equal loads, the least recently used key.

        Returns:
            The key. If all keys are paused, the key whose rate limit ends first.

        Raises:
            ConfigError: The gateway has refused all keys, for other reasons than a rate limit.

        """
        with self._lock:
            now = self._clock()
            ready = [key for key in self._keys.values() if key.paused_until <= now]
            if ready:
                key = min(ready, key=lambda key: (key.load(now), key.last_use))
            elif limited := [key for key in self._keys.values() if key.is_rate_limited]:
                key = min(limited, key=lambda key: key.paused_until)
            else:
                raise self._make_refusal_error(now)
            self._use_count += 1
            key.last_use = self._use_count
            key.start_submit(now)
            return key.secret

    def accepted(self, key: str, request_id: str) -> None:
        """Count a job as load of the key that submitted it."""
        with self._lock:
            if pool_key := self._keys.get(key):
                now = self._clock()
                pool_key.start_job(request_id, now)
                self._drop_old_jobs(now)
                self._submitted_by[request_id] = (pool_key, now)

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Pause a refused key.

        Args:
            key: The refused key.
            status: The HTTP status of the refusal.
            retry_after: Seconds until the rate limit ends; None if unknown.

        Returns:
            Whether another key is ready.

        """
        with self._lock:
            now = self._clock()
            refused_key = self._keys.get(key)
            if refused_key:
                refused_key.pause(status, retry_after, now)
            return any(
                pool_key.paused_until <= now
                for pool_key in self._keys.values()
                if pool_key is not refused_key
            )

    def keys(self) -> list[str]:
        """Return all keys."""
        return list(self._keys)

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted the job, or None if this pool has no entry for it."""
        with self._lock:
            entry = self._submitted_by.get(request_id)
            return entry[0].secret if entry else None

    def _fill(self, keys: Iterable[str]) -> None:
        self._keys = {key: PoolKey(key) for key in map(str.strip, keys) if key}

    def _drop_old_jobs(self, now: float) -> None:
        """Drop jobs after two hours: an hour to run, and an hour for which the gateway keeps their record."""
        while self._submitted_by:
            request_id, (_, submitted) = next(iter(self._submitted_by.items()))
            if submitted > now - 2 * HOUR:
                return
            del self._submitted_by[request_id]

    def _make_refusal_error(self, now: float) -> ConfigError:
        refusals = "\n  ".join(key.describe_refusal(now) for key in self._keys.values())
        return ConfigError(
            "the gateway has refused every API key of the pool. Nothing was sent. Keys by fingerprint (start "
            f"of their SHA-256):\n  {refusals}\nReplace invalid keys, buy credits or request access for the "
            "others, then start again."
        )
