"""A client that another thread closes while a job is under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kling_sandbox import Fault, Sandbox

from kling_adapters import ConfigError, Kling, StorageError
from kling_adapters.testing import SimulatedClock


class _ClosingClock(SimulatedClock):
    """Closes a client in the first sleep after `is_due`."""

    kling: Kling

    def __init__(self, is_due: Callable[[], bool]) -> None:
        super().__init__()
        self._is_due = is_due

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._is_due():
            self.kling.close()


def _client(sandbox: Sandbox, clock: _ClosingClock) -> Kling:
    clock.kling = Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None, clock=clock)
    return clock.kling


def test_job_of_closed_client_is_named() -> None:
    with Sandbox(timing="polls:2") as sandbox:
        kling = _client(sandbox, _ClosingClock(lambda: bool(sandbox.billed)))
        with pytest.raises(ConfigError, match=r"client is closed") as raised:
            kling.run("kling-2", prompt="x")
        [request_id] = sandbox.billed
        assert f'kling.job("{request_id}")' in str(raised.value)
        assert "Nothing was sent" not in str(raised.value)


def test_closing_during_download_keeps_the_result(tmp_path: Path) -> None:
    with Sandbox(faults=[Fault("truncate", path="/media/*")]) as sandbox:
        clock = _ClosingClock(lambda: any("/media/" in request.path for request in sandbox.requests))
        with pytest.raises(StorageError, match=r"client was closed") as raised:
            _client(sandbox, clock).run("kling-2", prompt="x", save_to=tmp_path)
        assert raised.value.url is not None
        assert raised.value.result is not None
        assert not list(tmp_path.iterdir())
