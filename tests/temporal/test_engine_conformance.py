"""The engine `temporal` passes the suite for engines."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from kling_adapters.testing import EngineConformance, FakeGateway
from tests.temporal.servers import TemporalServer, Workers


class TestTemporal(EngineConformance):
    plugin = "temporal"
    name = "temporal"

    @pytest.fixture(autouse=True)
    def place(self, server: TemporalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.address = server.address
        monkeypatch.setenv("KLING_TEMPORAL_TASK_QUEUE", "conformance")

    def workers(self, gateway: FakeGateway) -> AbstractContextManager[object]:
        environment = {"KLING_BASE_URL": gateway.base_url, "SEGMIND_API_KEY": gateway.api_key}
        workers = Workers(self.server, "conformance", environment, "60")
        workers.start()
        return workers
