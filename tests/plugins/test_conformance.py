"""Conformance suites of the first-party plugins."""

from __future__ import annotations

import keyring.core
import pytest
from keyring.backend import KeyringBackend
from kling_objectstore import ObjectStore

from kling_adapters.testing import (
    AuthConformance,
    KeyPoolConformance,
    NotifierConformance,
    StorageConformance,
)


class TestApprise(NotifierConformance):
    plugin = "apprise"


class TestOpenTelemetry(NotifierConformance):
    plugin = "opentelemetry"


class TestWebhook(NotifierConformance):
    plugin = "webhook"


class TestKeypool(KeyPoolConformance):
    plugin = "keypool"
    hint = "SEGMIND_API_KEYS"

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.variables = monkeypatch

    def configure(self, gateway: str, *keys: str) -> None:
        self.variables.setenv("SEGMIND_API_KEYS", ",".join(keys))


class Keychain(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.passwords: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[username] = password


class TestKeyring(AuthConformance):
    plugin = "keyring"
    hint = "kling auth set"

    @pytest.fixture(autouse=True)
    def keychain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backend = Keychain()
        monkeypatch.setattr(keyring.core, "_keyring_backend", self.backend)

    def configure(self, gateway: str, *keys: str) -> None:
        self.backend.passwords.clear()
        for key in keys:
            self.backend.set_password("kling-adapters", gateway, key)


class TestObjectStoreInMemory(StorageConformance):
    url = "memory:renders/"
    unusable = "memory:../renders/"

    @pytest.fixture(autouse=True)
    def store(self) -> None:
        self.memory = ObjectStore()
        self.plugin = self.memory

    def names(self) -> list[str]:
        entries = [entry for batch in self.memory._memory().list() for entry in batch]
        return [entry["path"].removeprefix("renders/") for entry in entries]

    def read(self, name: str) -> bytes:
        return self.memory.read(f"memory:renders/{name}")
