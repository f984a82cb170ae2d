"""What holds for all tests: none touches the journal of the user who runs them, and none is timed.

`make test` draws the same inputs every time, so that it fails for what was changed. `make fuzz` draws others, with
`--hypothesis-profile=fuzz`, and keeps what it finds in out/hypothesis; what it found belongs into a test, as an example.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase
from kling_sandbox import Sandbox

from tests.support.clients import OpenClient, open_clients
from tests.support.scripted_server import ScriptedServer

# A deadline for an example judges the machine, not the code.
settings.register_profile(
    "any machine", deadline=None, derandomize=True, database=None, stateful_step_count=20
)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=2000,
    derandomize=False,
    database=DirectoryBasedExampleDatabase("out/hypothesis"),
)
settings.load_profile("any machine")

_NUMBERS = count(1)


@pytest.fixture(autouse=True, scope="session")
def _journal_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set the journal of fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("journal") / "journal.sqlite3"
        patch.setitem(os.environ, "KLING_JOURNAL", str(path))
        patch.delenv("KLING_BASE_URL", raising=False)
        yield path


@pytest.fixture(autouse=True)
def _journal_of_the_test(_journal_of_the_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own journal, which processes that it starts inherit.

    A journal keeps the rate limit of a gateway, and a later test may get the port of an earlier one.
    """
    monkeypatch.setenv("KLING_JOURNAL", str(_journal_of_the_session.with_stem(f"journal-{next(_NUMBERS)}")))


@pytest.fixture(autouse=True, scope="session")
def _certificates_read_once() -> Iterator[None]:
    """Read the root certificates once; each client reads them, which takes longer than most tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lru_cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide keys and proxies of this machine from the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "segmind_api_key"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one sandbox for the module."""
    with Sandbox(timing="polls:2") as running:
        yield running


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Return a server without a script yet."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def second_server() -> Iterator[ScriptedServer]:
    """Return a second server, another host."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def open_client(request: pytest.FixtureRequest) -> Iterator[OpenClient]:
    """Run the test on both clients; `open_clients` describes how."""
    with open_clients(request.param) as function:
        yield function
