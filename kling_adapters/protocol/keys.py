"""The API key of a request, from a plugin. For a job of a key pool, it is the key that submitted the job."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.errors import ConfigError, KlingError
from kling_adapters.hook_objects import Auth, InstantAuth, KeyPool, RenewableAuth
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.messages import Key
from kling_adapters.protocol.records import call_quietly
from kling_adapters.protocol.session import Session


def find_auth(session: Session) -> Flow[Auth]:
    """Return the source of the key. Only the first search may block."""
    return session.auth or (yield Call(session.find_auth))


def read_key(auth: Auth, consequence: str = "Nothing was sent") -> Flow[Key]:
    """Return the key of a source. Raises ConfigError if it has none, fails, or returns an invalid one."""
    key = _wrap_key(auth.instant_key()) if isinstance(auth, InstantAuth) else None
    if key is None:
        key = yield Call(partial(_call_auth, auth, consequence))
    if key is None or not re.fullmatch("[!-~]+", key):
        raise ConfigError(f"Invalid API key: expected printable ASCII without spaces. {consequence}")
    return key


def _call_auth(auth: Auth, consequence: str) -> Key | None:
    try:
        return _wrap_key(auth.api_key())
    except KlingError:
        raise
    except Exception as error:  # noqa: BLE001  the message omits its text, which may contain the key
        raise ConfigError(
            f"the plugin that provides the API key failed with {type(error).__name__}. {consequence}"
        ) from None


def _wrap_key(value: Any) -> Key | None:
    return Key(value) if isinstance(value, str) else None


def find_key(session: Session, request_id: str | None) -> Flow[Key]:
    """Return the key for a request that starts no job; for a job of a pool, the key that submitted it."""
    auth = yield from find_auth(session)
    # The check of a protocol takes longer than the rest of this function.
    if request_id is not None and not isinstance(auth, InstantAuth) and isinstance(auth, KeyPool):
        key = _wrap_key((yield Call(partial(_find_pool_key, session, auth, request_id))))
        if key:
            return key
    if request_id is None:
        return (yield from read_key(auth))
    return (yield from read_key(auth, f"Job {request_id} is not affected and may be billed"))


def _find_pool_key(session: Session, auth: KeyPool, request_id: str) -> str | None:
    key = auth.key_of(request_id)
    if key is None and (entry := session.journal.find(session.gateway.base_url, request_id)) is not None:
        key = _find_by_fingerprint(auth, entry.key)
        if key is not None:
            call_quietly(auth.accepted, key, request_id)
    return key


def find_account_key(session: Session, fingerprint: str | None) -> Flow[Key | None]:
    """Return the key for the history of an account; of a pool, that with this fingerprint, None if it has none."""
    auth = yield from find_auth(session)
    if fingerprint is None or not isinstance(auth, KeyPool):
        return (yield from read_key(auth))
    return _wrap_key((yield Call(partial(_find_by_fingerprint, auth, fingerprint))))


def _find_by_fingerprint(auth: KeyPool, fingerprint: str | None) -> str | None:
    pool = auth.keys()
    return next((key for key in pool if fingerprint_key(key) == fingerprint), None)


def check_key(session: Session) -> Flow[None]:
    """Raise ConfigError if there is no key. A pool is not called, because it would count the key as in use."""
    auth = yield from find_auth(session)
    if not isinstance(auth, KeyPool):
        yield from read_key(auth)


def has_another_key(session: Session, key: Key) -> bool:
    """Report an invalid key to its plugin and return whether it has another. Pools are notified of submits only."""
    auth = session.find_auth()
    if isinstance(auth, KeyPool) or not isinstance(auth, RenewableAuth):
        return False
    return bool(call_quietly(auth.refused, key, 401, None))
