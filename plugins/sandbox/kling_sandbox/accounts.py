"""Accounts of the gateway: keys, credits, and the rate limit.

Balances are fictional. Only the fingerprints of keys are stored and compared.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

API_KEY: Final = "SG_5a4db0c55a4db0c5"
"""A valid key with credits."""
KEY_FORBIDDEN: Final = "SG_0000000000000403"
"""A key for which every response is 403."""
KEY_NO_CREDITS: Final = "SG_0000000000000406"
"""A key without credits: the response to every submit of valid parameters is 406."""
KEY_RATE_LIMITED: Final = "SG_0000000000000429"
"""A key for which the response to every submit is 429."""

RATE_WINDOW: Final = 60.0


def fingerprint(secret: str) -> str:
    """Return a non-reversible fingerprint of a key."""
    return "sha256:" + hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass
class Account:
    """An account of the gateway."""

    credits: float
    permitted: bool = True
    submits_per_minute: int | None = None
    _submits: deque[float] = field(default_factory=deque[float])

    def seconds_to_wait(self, now: float) -> float:
        """Count a submit at `now`; return 0 if it is allowed, otherwise the seconds to the next allowed submit.

        Only submits are counted: a status poll per second would exceed every documented limit.
        """
        if self.submits_per_minute is None:
            return 0.0
        while self._submits and self._submits[0] <= now - RATE_WINDOW:
            self._submits.popleft()
        if len(self._submits) < self.submits_per_minute:
            self._submits.append(now)
            return 0.0
        oldest = self._submits[0] if self._submits else now
        return oldest + RATE_WINDOW - now

    def charge(self, price: float) -> float:
        """Subtract a price, or refund a negative one, and return the balance."""
        self.credits = round(self.credits - price, 6)
        return self.credits


def make_accounts(
    keys: Iterable[str] = (API_KEY,), *, balance: float, submits_per_minute: int | None
) -> dict[str, Account]:
    """Return the accounts of a sandbox by the fingerprint of their key: one for each key, and the test accounts."""
    working = {fingerprint(key): Account(balance, submits_per_minute=submits_per_minute) for key in keys}
    return working | {
        fingerprint(KEY_FORBIDDEN): Account(balance, permitted=False),
        fingerprint(KEY_NO_CREDITS): Account(0.0),
        fingerprint(KEY_RATE_LIMITED): Account(balance, submits_per_minute=0),
    }
