"""Access to a keychain that is secure enough for API keys."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from kling_adapters import ConfigError

SERVICE: Final = "kling-adapters"
"""Service name of stored keys; the user name is the base URL of the gateway."""
ADVICE: Final = (
    "Unlock or install a keychain of the operating system (on Linux a Secret Service such as GNOME Keyring "
    "or KWallet), or name another backend in PYTHON_KEYRING_BACKEND; or provide the key as SEGMIND_API_KEY."
)


@dataclass(frozen=True)
class Keychain:
    """A secure backend of `keyring`. Every method raises ConfigError if the backend fails.

    Attributes:
        backend: The backend that stores the keys.

    """

    backend: KeyringBackend

    @classmethod
    def find(cls) -> Self:
        """Select the backend that `keyring` uses on this machine; of a chain, its first secure backend.

        Returns:
            The keychain.

        Raises:
            ConfigError: No backend is secure. The message names each backend and the reason.

        """
        with _translate_errors("keyring"):
            default = keyring.get_keyring()
            candidates = default.backends if isinstance(default, chainer.ChainerBackend) else [default]
            reasons = {_backend_name(backend): _insecurity_reason(backend) for backend in candidates}
        for backend in candidates:
            if not reasons[_backend_name(backend)]:
                return cls(backend)
        details = (
            "; ".join(f"{name} {reason}" for name, reason in reasons.items())
            or f"{_backend_name(default)} is empty"
        )
        raise ConfigError(f"no secure keychain for an API key: {details}. {ADVICE}")

    @property
    def name(self) -> str:
        """The full name of the backend, as PYTHON_KEYRING_BACKEND takes it."""
        return _backend_name(self.backend)

    def get(self, gateway: str) -> str | None:
        """Return the key stored for the gateway (a base URL), or None if no key is stored."""
        with _translate_errors(self.name):
            return self.backend.get_password(SERVICE, _user(gateway)) or None

    def set(self, gateway: str, key: str) -> None:
        """Store the key for the gateway, replacing a stored one."""
        with _translate_errors(self.name, secret=key):
            self.backend.set_password(SERVICE, _user(gateway), key)
        if self.get(gateway) != key:
            raise ConfigError(f"the keychain {self.name} did not keep the key. {ADVICE}")

    def delete(self, gateway: str) -> None:
        """Delete the key stored for the gateway."""
        with _translate_errors(self.name):
            self.backend.delete_password(SERVICE, _user(gateway))


class KeychainKey:
    """An Auth that reads the key once, because a keychain may prompt its owner on every read.

    Args:
        keychain: The keychain to read.
        gateway: The base URL of the gateway.

    """

    def __init__(self, keychain: Keychain, gateway: str) -> None:
        self._keychain = keychain
        self._gateway = gateway
        self._key: str | None = None

    def api_key(self) -> str:
        """Return the key stored for the gateway.

        Raises:
            ConfigError: No key is stored for the gateway, or the keychain cannot be read.

        """
        self._key = self._key or self._keychain.get(self._gateway)
        if self._key is None:
            raise ConfigError(
                f"no API key is stored for {self._gateway} in {self._keychain.name}. Nothing was sent. "
                f"Store one: kling auth set --base-url {self._gateway}"
            )
        return self._key


def _user(gateway: str) -> str:
    """Return the user name of a gateway's key: its base URL without the API version that clients accept."""
    return gateway.rstrip("/").removesuffix("/v1").removesuffix("/v2")


def _backend_name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _insecurity_reason(backend: KeyringBackend) -> str:
    """Return the reason for which a backend is insecure, as the end of a sentence; empty if it is secure."""
    if isinstance(backend, fail.Keyring | null.Keyring):
        return "keeps nothing"
    if any("plaintext" in base.__name__.lower() for base in type(backend).__mro__):
        return "keeps keys in plain text"
    # Backends need not declare how they store keys; keyring itself recommends none with a priority below 1.
    return "" if backend.priority >= 1 else "is a backend that keyring does not recommend"


@contextmanager
def _translate_errors(name: str, secret: str | None = None) -> Generator[None]:
    """Convert any failure of a backend to a ConfigError whose message does not contain the secret."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  backends raise the exceptions of their libraries
        detail = f"{type(error).__name__}: {error}".strip(": .")
        if secret is not None:
            detail = detail.replace(secret, "[key]")
        raise ConfigError(f"the keychain ({name}) cannot be used: {detail}. {ADVICE}") from None
