"""Pool of API keys: a submit uses the least busy key, and a refused key pauses while the others serve."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kling_adapters import ConfigError, events
from kling_adapters.hookspecs import Auth, hookimpl

__all__ = ["KEYS", "KEYS_FILE", "Keypool", "fingerprint"]

KEYS: Final = "SEGMIND_API_KEYS"
"""Environment variable: API keys, separated by commas or white space."""
KEYS_FILE: Final = "SEGMIND_API_KEYS_FILE"
"""Environment variable: path of a file with one key per line; lines that start with # are comments."""

_HOUR: Final = 3600.0
"""Seconds."""
_SUBMIT_TIMEOUT: Final = 60.0
"""Seconds after which a submit without an outcome no longer counts as load of its key."""
_INITIAL_PAUSE, _MAX_PAUSE = 1.0, 60.0
"""Seconds that a key pauses after a 429 at least; doubled by each 429 until a submit is accepted."""
# By status: the state of the key, and the seconds that it pauses. A refused submit costs nothing, so the key is retried
# later: its account may have new credits or permissions.
_REFUSALS: Final = {
    401: ("is not valid (401)", _HOUR),
    403: ("is not permitted to do this (403)", 600.0),
    406: ("has no credits (406)", 600.0),
}


class _Key:
    """A key with its load and refusals; the repr does not show the key."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.turn = 0  # number of the last `api_key` call that returned this key
        self.pending_submits: deque[float] = deque()  # start times of submits without an outcome
        self.jobs: dict[str, float] = {}  # running jobs with the time of their submit, oldest first
        self.refusal_status = 0
        self.rate_limits = 0  # 429 responses since the last accepted job
        self.paused_until = float("-inf")

    def load(self, now: float) -> int:
        """Return the number of running jobs and pending submits; the gateway keeps the record of a job for an hour."""
        while self.pending_submits and self.pending_submits[0] <= now - _SUBMIT_TIMEOUT:
            self.pending_submits.popleft()
        while self.jobs and (oldest := next(iter(self.jobs.items())))[1] <= now - _HOUR:
            del self.jobs[oldest[0]]
        return len(self.pending_submits) + len(self.jobs)

    def finish_submit(self) -> None:
        """Remove the oldest pending submit."""
        if self.pending_submits:
            self.pending_submits.popleft()


class Keypool:
    """A thread-safe pool of API keys that clients may share: `Kling(plugins=[Keypool(["SG_...", "SG_..."])])`.

    Args:
        keys: The API keys. None reads SEGMIND_API_KEYS and SEGMIND_API_KEYS_FILE, as the installed plugin does.
        clock: Returns the current time in seconds; for tests.

    Raises:
        ConfigError: `keys` contains no key.

    """

    def __init__(
        self, keys: Iterable[str] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turn_count = 0
        self._keys: dict[str, _Key] = {}
        # Key and time of the submit by request id, oldest first.
        self._submitted_by: dict[str, tuple[_Key, float]] = {}
        if keys is not None:
            self._fill(keys)
            if not self._keys:
                raise ConfigError("Keypool has no API key: pass at least one. Nothing was sent.")

    def __repr__(self) -> str:
        return f"Keypool({', '.join(map(fingerprint, self._keys))})"

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
                self._fill(_read_configured_keys())
        if self._keys:
            return self
        if chosen:
            raise ConfigError(
                f"the plugin keypool has no API keys: set {KEYS} (separated by commas) or {KEYS_FILE} (a file with one "
                "key per line), or pass Kling(plugins=[Keypool([...])]). Nothing was sent."
            )
        return None

    def _fill(self, keys: Iterable[str]) -> None:
        self._keys = {key: _Key(key) for key in map(str.strip, keys) if key}

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
                key = min(ready, key=lambda key: (key.load(now), key.turn))
            elif limited := [key for key in self._keys.values() if key.refusal_status == 429]:
                key = min(limited, key=lambda key: key.paused_until)
            else:
                raise self._make_refusal_error(now)
            self._turn_count += 1
            key.turn = self._turn_count
            key.pending_submits.append(now)
            return key.secret

    def accepted(self, key: str, request_id: str) -> None:
        """Count a job as load of its key.

        Args:
            key: The key that submitted the job.
            request_id: The id of the job.

        """
        with self._lock:
            if member := self._keys.get(key):
                now = self._clock()
                member.finish_submit()
                member.rate_limits = 0
                member.jobs[request_id] = now
                self._drop_old_jobs(now)
                self._submitted_by[request_id] = (member, now)

    def _drop_old_jobs(self, now: float) -> None:
        """Drop jobs after two hours: an hour to run, and an hour for which the gateway keeps their record."""
        while self._submitted_by:
            request_id, (_, submitted) = next(iter(self._submitted_by.items()))
            if submitted > now - 2 * _HOUR:
                return
            del self._submitted_by[request_id]

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
            if member := self._keys.get(key):
                member.finish_submit()
                _pause(member, status, retry_after, now)
            return any(other.paused_until <= now for other in self._keys.values() if other is not member)

    def keys(self) -> list[str]:
        """Return all keys."""
        return list(self._keys)

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted the job, or None if this pool has no entry for it."""
        with self._lock:
            entry = self._submitted_by.get(request_id)
            return entry[0].secret if entry else None

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        """Remove a finished job from the load of its key."""
        if isinstance(event, events.Completed | events.Failed | events.Expired):
            with self._lock:
                if entry := self._submitted_by.get(event.request_id):
                    entry[0].jobs.pop(event.request_id, None)

    def _make_refusal_error(self, now: float) -> ConfigError:
        lines = [
            f"{fingerprint(key.secret)} {_REFUSALS[key.refusal_status][0]}, retried in {key.paused_until - now:.0f} s"
            for key in self._keys.values()
        ]
        return ConfigError(
            "the gateway has refused every API key of the pool. Nothing was sent. Keys by fingerprint (start of "
            "their SHA-256):\n  "
            + "\n  ".join(lines)
            + "\nReplace invalid keys, buy credits or request access for the others, then start again."
        )


def fingerprint(key: str) -> str:
    """Return a short non-reversible fingerprint of a key: 8 hex digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _pause(key: _Key, status: int, retry_after: float | None, now: float) -> None:
    """Set the time until which a refused key pauses, in seconds of the clock."""
    if status == 429:
        # Concurrent submits meet the same rate limit, so only the first refusal lengthens the pause.
        if key.paused_until <= now:
            key.rate_limits += 1
        pause = min(_MAX_PAUSE, _INITIAL_PAUSE * 2.0 ** min(key.rate_limits - 1, 10))
        seconds = max(pause, retry_after or 0.0)
    else:
        seconds = _REFUSALS[status][1]
    if now + seconds >= key.paused_until:
        key.refusal_status, key.paused_until = status, now + seconds


def _read_configured_keys() -> list[str]:
    """Return the keys of the environment. Raises ConfigError if the file of keys is unreadable or empty."""
    keys = os.environ.get(KEYS, "").replace(",", " ").split()
    path = os.environ.get(KEYS_FILE, "")
    if path:
        try:
            lines = Path(path).expanduser().read_text("utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"{KEYS_FILE}: {path} cannot be read: {error.strerror}. Nothing was sent."
            ) from error
        except UnicodeDecodeError:
            # The context of the exception would show the content of the file.
            raise ConfigError(f"{KEYS_FILE}: {path} is not a UTF-8 text file. Nothing was sent.") from None
        file_keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not file_keys:
            raise ConfigError(f"{KEYS_FILE}: {path} contains no key; write one per line. Nothing was sent.")
        keys += file_keys
    return keys
