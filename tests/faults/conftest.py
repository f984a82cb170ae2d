"""Fixtures of the tests of faults: scripted servers, and clients of both kinds for them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TypeAlias

import pytest

from tests.support.clients import OpenClient
from tests.support.stub import KEY, Stub

Connect: TypeAlias = OpenClient


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Read the root certificates once; each client reads them, which takes longer than most tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lru_cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide keys and proxies of this machine from the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "segmind_api_key"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Return a server without a script yet."""
    with Stub() as server:
        yield server


@pytest.fixture
def second_stub() -> Iterator[Stub]:
    """Return a second server, another host."""
    with Stub() as server:
        yield server


@pytest.fixture
def connect(open_client: OpenClient) -> OpenClient:
    """Open a client with the key that the scripted server expects."""
    return partial(open_client, api_key=KEY)
