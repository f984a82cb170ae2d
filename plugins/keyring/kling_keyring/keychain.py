"""The keychain, as far as it is fit to hold a key."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from kling_adapters import ConfigError

SERVICE: Final = "kling-adapters"
"""What keys are stored under; the user name is the base URL of the gateway."""
INSTEAD: Final = (
    "Unlock or install a keychain of the operating system (on Linux a Secret Service such as GNOME Keyring or "
    "KWallet), or name another backend in PYTHON_KEYRING_BACKEND; or provide the key as SEGMIND_API_KEY."
)


@dataclass(frozen=True)
class Keychain:
    """A backend of `keyring` that can be trusted with keys. Every method raises ConfigError if the backend fails."""

    backend: KeyringBackend

    @classmethod
    def find(cls) -> Self:
        """Return the one that `keyring` uses on this machine, or of a chain the first that is fit.

        Raises ConfigError, naming what was found, if that keeps nothing or keeps it in plain text.
        """
        with _explained("keyring"):
            found = keyring.get_keyring()
            candidates = found.backends if isinstance(found, chainer.ChainerBackend) else [found]
            reasons = {_name(backend): _unfit(backend) for backend in candidates}
        for backend in candidates:
            if not reasons[_name(backend)]:
                return cls(backend)
        about = (
            "; ".join(f"{name} {reason}" for name, reason in reasons.items()) or f"{_name(found)} is empty"
        )
        raise ConfigError(f"no keychain to keep an API key in: {about}. {INSTEAD}")

    @property
    def name(self) -> str:
        """The full name of the backend, as PYTHON_KEYRING_BACKEND takes it."""
        return _name(self.backend)

    def get(self, gateway: str) -> str | None:
        """Return the key stored for the gateway (its base URL), if there is one."""
        with _explained(self.name):
            return self.backend.get_password(SERVICE, _user(gateway)) or None

    def set(self, gateway: str, key: str) -> None:
        """Store the key for the gateway, in place of any other."""
        with _explained(self.name, secret=key):
            self.backend.set_password(SERVICE, _user(gateway), key)
        if self.get(gateway) != key:
            raise ConfigError(f"the keychain {self.name} did not keep the key. {INSTEAD}")

    def delete(self, gateway: str) -> None:
        """Delete the key stored for the gateway."""
        with _explained(self.name):
            self.backend.delete_password(SERVICE, _user(gateway))


class KeychainKey:
    """Reads the key once: a keychain may ask its owner each time."""

    def __init__(self, keychain: Keychain, gateway: str) -> None:
        self._keychain = keychain
        self._gateway = gateway
        self._key: str | None = None

    def api_key(self) -> str:
        """Return the key. Raises ConfigError if none is stored for the gateway, or the keychain cannot be read."""
        self._key = self._key or self._keychain.get(self._gateway)
        if self._key is None:
            raise ConfigError(
                f"no API key is stored for {self._gateway} in {self._keychain.name}. Nothing was sent. "
                f"Store one: kling auth set --base-url {self._gateway}"
            )
        return self._key


def fingerprint(key: str) -> str:
    """Return a short digest of a key: enough to recognise it, not enough to use it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _user(gateway: str) -> str:
    """The name a gateway's key is stored under; its address may be written with a version, as the client takes it."""
    return gateway.rstrip("/").removesuffix("/v1").removesuffix("/v2")


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _unfit(backend: KeyringBackend) -> str:
    """Say why a backend cannot be trusted with a key; empty if it can."""
    if isinstance(backend, fail.Keyring | null.Keyring):
        return "keeps nothing"
    if any("plaintext" in base.__name__.lower() for base in type(backend).__mro__):
        return "keeps keys in plain text"
    # Not every backend says what it does, but below 1 keyring itself recommends none.
    return "" if backend.priority >= 1 else "is one that keyring does not recommend"


@contextmanager
def _explained(name: str, secret: str | None = None) -> Generator[None]:
    """Turn any failure of a backend into a ConfigError, in words without the secret."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  a backend raises whatever its library does
        said = f"{type(error).__name__}: {error}".strip(": .")
        if secret is not None:
            said = said.replace(secret, "[key]")
        raise ConfigError(f"the keychain ({name}) cannot be used: {said}. {INSTEAD}") from None
