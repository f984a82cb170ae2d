"""The API key of a request, from a plugin. For a job of a key pool, it is the key that submitted the job."""

from __future__ import annotations

import re
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.errors import ConfigError, KlingError
from kling_adapters.hook_objects import Auth, KeyPool, RenewableAuth
from kling_adapters.protocol.messages import Key
from kling_adapters.protocol.records import call_quietly
from kling_adapters.protocol.session import Session


def read_key(auth: Auth) -> Key:
    """Return the key of a plugin. Raises ConfigError if the plugin fails or returns an invalid key."""
    try:
        key = _wrap_key(auth.api_key())
    except KlingError:
        raise
    except Exception as error:  # noqa: BLE001  the message omits its text, which may contain the key
        raise ConfigError(
            f"the plugin that provides the API key failed with {type(error).__name__}. Nothing was sent"
        ) from None
    if key is None or not re.fullmatch("[!-~]+", key):
        raise ConfigError("Invalid API key: expected printable ASCII without spaces. Nothing was sent")
    return key


def _wrap_key(value: Any) -> Key | None:
    return Key(value) if isinstance(value, str) else None


def find_key(session: Session, request_id: str | None) -> Key:
    """Return the key for a request that starts no job; for a job of a pool, the key that submitted it."""
    auth = session.find_auth()
    if request_id is None or not isinstance(auth, KeyPool):
        return read_key(auth)
    return _wrap_key(_find_pool_key(session, auth, request_id)) or read_key(auth)


def _find_pool_key(session: Session, auth: KeyPool, request_id: str) -> str | None:
    key = auth.key_of(request_id)
    if key is None and (entry := session.journal.find(session.gateway.base_url, request_id)) is not None:
        pool = auth.keys()
        key = next((key for key in pool if fingerprint_key(key) == entry.key), None)
        if key is not None:
            call_quietly(auth.accepted, key, request_id)
    return key


def check_key(session: Session) -> None:
    """Raise ConfigError if there is no key. A pool is not called, because it would count the key as in use."""
    auth = session.find_auth()
    if not isinstance(auth, KeyPool):
        read_key(auth)


def has_another_key(session: Session, key: Key) -> bool:
    """Report an invalid key to its plugin and return whether it has another. Pools are notified of submits only."""
    auth = session.find_auth()
    if isinstance(auth, KeyPool) or not isinstance(auth, RenewableAuth):
        return False
    return bool(call_quietly(auth.refused, key, 401, None))
