"""A codec that encrypts payloads with AES-GCM, so that the server and its database have no prompt in clear."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from kling_adapters import ConfigError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise ConfigError(
        "encryption is not installed: pip install 'kling-temporal[encryption]'. Nothing was sent"
    ) from error

KEYS: Final = "KLING_TEMPORAL_KEYS"
"""Environment variable: keys of 32 bytes in base64, separated by spaces. The first encrypts, all decrypt."""
_ENCODING: Final = b"binary/encrypted"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class Encryption(PayloadCodec):
    """Encrypts each payload.

    Args:
        keys: Keys of 32 bytes. The first encrypts; the others are earlier ones, whose payloads can still be read.

    Raises:
        ConfigError: There is no key, or a key has another length.

    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise ConfigError(
                "the keys of Temporal payloads are invalid: expected keys of 32 bytes. Nothing was sent"
            )
        self._ciphers = [AESGCM(key) for key in keys]

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt payloads."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt payloads; those that are not encrypted stay as they are."""
        return [
            self._decrypt(payload) if payload.metadata.get("encoding") == _ENCODING else payload
            for payload in payloads
        ]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[0].encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": _ENCODING}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return Payload.FromString(cipher.decrypt(nonce, sealed, None))
            except InvalidTag:
                continue
        raise ValueError(f"no key of {KEYS} decrypts this payload")


def make_codec() -> Encryption:
    """Return the codec with the keys of the environment. Raises ConfigError."""
    try:
        keys = [base64.b64decode(text, validate=True) for text in os.environ.get(KEYS, "").split()]
    except binascii.Error as error:
        raise ConfigError(f"the environment variable {KEYS} is not base64. Nothing was sent") from error
    return Encryption(keys)
