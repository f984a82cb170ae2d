"""What holds for all tests: none touches the journal of the user who runs them, and none is timed.

`make test` draws the same inputs every time, so that it fails for what was changed. `make fuzz` draws others, with
`--hypothesis-profile=fuzz`, and keeps what it finds in out/hypothesis; what it found belongs into a test, as an example.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.support.clients import OpenClient, open_clients

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


@pytest.fixture(autouse=True, scope="session")
def _journal_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes that a test starts inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("journal") / "journal.sqlite3"
        patch.setitem(os.environ, "KLING_JOURNAL", str(path))
        patch.delenv("KLING_BASE_URL", raising=False)
        yield


@pytest.fixture(params=["sync", "async"])
def open_client(request: pytest.FixtureRequest) -> Iterator[OpenClient]:
    """Open clients of one kind, blocking or not, by their base URL and options."""
    with open_clients(request.param) as function:
        yield function
