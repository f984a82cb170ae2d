"""Several API keys: each submit takes the one with the fewest jobs, and a key that is refused rests while others serve."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kling_adapters import Completed, ConfigError, Event, Expired, Failed
from kling_adapters.hookspecs import Auth, hookimpl

__all__ = ["KEYS", "KEYS_FILE", "Keypool", "fingerprint"]

KEYS: Final = "SEGMIND_API_KEYS"
"""Environment variable: keys, separated by commas or white space."""
KEYS_FILE: Final = "SEGMIND_API_KEYS_FILE"
"""Environment variable: the path of a file with one key a line; what begins with # is a comment."""

# In seconds.
_HOUR: Final = 3600.0
_SUBMIT: Final = 60.0
"""For how long a key that was handed out counts as busy, unless the submit is known to have ended before."""
_FIRST_LIMIT, _LONGEST_LIMIT = 1.0, 60.0
"""How long a key rests after a 429 in any case; it doubles with each until a submit is accepted."""
# By status, what it says of a key and how long that rests. A refused submit costs nothing, so the key is tried again
# some day: an account can be topped up or permitted.
_REFUSALS: Final = {
    401: ("is not valid (401)", _HOUR),
    403: ("is not permitted to do this (403)", 600.0),
    406: ("has no credits (406)", 600.0),
}


class _Key:
    """One key and what is known of it; its repr does not show it."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.turn = 0  # when it was last handed out, as a count
        self.handed_out: deque[float] = deque()  # for submits whose end is not known yet
        self.jobs: dict[str, float] = {}  # running ones, with the time of their submit, the oldest first
        self.status = 0  # of the last refusal
        self.limits = 0  # 429 since the last job that was accepted
        self.rests_until = float("-inf")

    def load(self, now: float) -> int:
        """How many jobs and submits are under way; the gateway keeps the record of a job for an hour."""
        while self.handed_out and self.handed_out[0] <= now - _SUBMIT:
            self.handed_out.popleft()
        while self.jobs and (oldest := next(iter(self.jobs.items())))[1] <= now - _HOUR:
            del self.jobs[oldest[0]]
        return len(self.handed_out) + len(self.jobs)

    def returned(self) -> None:
        """Note that a submit has ended."""
        if self.handed_out:
            self.handed_out.popleft()


class Keypool:
    """A KeyPool of the given `keys`, or, as an installed plugin, of those in SEGMIND_API_KEYS or SEGMIND_API_KEYS_FILE.

    Kling(plugins=[Keypool(["SG_...", "SG_..."])])

    `clock`: the time in seconds, for tests. Clients may share a pool. Raises ConfigError if `keys` is empty.
    """

    def __init__(
        self, keys: Iterable[str] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = 0
        self._keys: dict[str, _Key] = {}
        # By request id, with the time of the submit, the oldest first.
        self._submitted_by: dict[str, tuple[_Key, float]] = {}
        if keys is not None:
            self._fill(keys)
            if not self._keys:
                raise ConfigError("Keypool was given no API key. Nothing was sent")

    def __repr__(self) -> str:
        return f"Keypool({', '.join(map(fingerprint, self._keys))})"

    @hookimpl
    def kling_auth(self, chosen: bool) -> Auth | None:
        """Answer for every gateway if there are keys. Raises ConfigError if it was chosen and there are none."""
        with self._lock:
            if not self._keys:
                self._fill(_configured())
        if self._keys:
            return self
        if chosen:
            raise ConfigError(
                f"the plugin keypool has no API keys: set {KEYS} (separated by commas) or {KEYS_FILE} (a file with one "
                "a line), or give Kling(plugins=[Keypool([...])]). Nothing was sent."
            )
        return None

    def _fill(self, keys: Iterable[str]) -> None:
        self._keys = {key: _Key(key) for key in map(str.strip, keys) if key}

    def api_key(self) -> str:
        """Return the key with the fewest jobs under way, of equal ones the one whose turn it is.

        If all rest, the one whose rate limit ends first. Raises ConfigError if the gateway has refused them all.
        """
        with self._lock:
            now = self._clock()
            ready = [key for key in self._keys.values() if key.rests_until <= now]
            if ready:
                key = min(ready, key=lambda key: (key.load(now), key.turn))
            elif limited := [key for key in self._keys.values() if key.status == 429]:
                key = min(limited, key=lambda key: key.rests_until)
            else:
                raise self._all_refused(now)
            self._turns += 1
            key.turn = self._turns
            key.handed_out.append(now)
            return key.secret

    def accepted(self, key: str, request_id: str) -> None:
        """Count a job for its key."""
        with self._lock:
            if member := self._keys.get(key):
                now = self._clock()
                member.returned()
                member.limits = 0
                member.jobs[request_id] = now
                self._forget(now)
                self._submitted_by[request_id] = (member, now)

    def _forget(self, now: float) -> None:
        """Forget jobs too old to be asked for: an hour to run in, and the hour for which their record is kept."""
        while self._submitted_by:
            request_id, (_, submitted) = next(iter(self._submitted_by.items()))
            if submitted > now - 2 * _HOUR:
                return
            del self._submitted_by[request_id]

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Let a key rest: until a limit ends, or for long. Return whether another one is ready."""
        with self._lock:
            now = self._clock()
            if member := self._keys.get(key):
                member.returned()
                _rest(member, status, retry_after, now)
            return any(other.rests_until <= now for other in self._keys.values() if other is not member)

    def keys(self) -> list[str]:
        """Return every key."""
        return list(self._keys)

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted the job, if this pool has seen that."""
        with self._lock:
            found = self._submitted_by.get(request_id)
            return found[0].secret if found else None

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Count a job no longer once it has ended."""
        if isinstance(event, Completed | Failed | Expired):
            with self._lock:
                if found := self._submitted_by.get(event.request_id):
                    found[0].jobs.pop(event.request_id, None)

    def _all_refused(self, now: float) -> ConfigError:
        lines = [
            f"{fingerprint(key.secret)} {_REFUSALS[key.status][0]}, tried again in {key.rests_until - now:.0f} s"
            for key in self._keys.values()
        ]
        return ConfigError(
            "the gateway has refused every API key of the pool. Nothing was sent. Keys by the first digits of their "
            "SHA-256:\n  "
            + "\n  ".join(lines)
            + "\nReplace those that are not valid, buy credits for the others, "
            "or ask for access, then start again."
        )


def fingerprint(key: str) -> str:
    """Return a short digest of a key: enough to recognise it, not enough to use it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _rest(key: _Key, status: int, retry_after: float | None, now: float) -> None:
    """Note when a key that was refused may be tried again."""
    if status == 429:
        # Submits that were under way together are refused together: that is one limit, not many.
        if key.rests_until <= now:
            key.limits += 1
        patience = min(_LONGEST_LIMIT, _FIRST_LIMIT * 2.0 ** min(key.limits - 1, 10))
        seconds = max(patience, retry_after or 0.0)
    else:
        seconds = _REFUSALS[status][1]
    if now + seconds >= key.rests_until:
        key.status, key.rests_until = status, now + seconds


def _configured() -> list[str]:
    """Return the keys in the environment. Raises ConfigError if they are said to be in a file and are not."""
    keys = os.environ.get(KEYS, "").replace(",", " ").split()
    path = os.environ.get(KEYS_FILE, "")
    if path:
        try:
            lines = Path(path).expanduser().read_text("utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"{KEYS_FILE}: {path} cannot be read: {error.strerror}. Nothing was sent"
            ) from error
        except UnicodeDecodeError:
            # Its context would show what is in the file.
            raise ConfigError(f"{KEYS_FILE}: {path} is not a text file. Nothing was sent") from None
        in_file = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not in_file:
            raise ConfigError(f"{KEYS_FILE}: there is no key in {path}. Nothing was sent")
        keys += in_file
    return keys
