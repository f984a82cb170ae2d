"""One sandbox for the module, and both clients behind one form."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.plugins import discovery
from kling_adapters.testing import SimulatedClock

Install = Callable[..., None]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="polls:2") as running:
        yield running


@pytest.fixture(autouse=True)
def _warn_in_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which warnings were logged; users read each once in a process."""
    monkeypatch.setattr(discovery, "_warnings_logged", set())


class Play:
    """Runs a scenario, written with `await`, on one of the clients; sleeping takes no time."""

    def __init__(self, kind: type[Kling | AsyncKling], sandbox: Sandbox) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self.clock = SimulatedClock()

    def __call__(self, scenario: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        options = {"base_url": self.sandbox.base_url, "api_key": self.sandbox.api_key, **options}

        async def main() -> Any:
            client = self.kind(clock=self.clock, **options)
            if isinstance(client, Kling):
                with client:
                    return await scenario(_Awaitable(client))
            async with client:
                return await scenario(client)

        return anyio.run(main)


class _Awaitable:
    """The blocking client, and what it returns, with methods that can be awaited: so one scenario fits both."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.ismethod(attribute):
            return attribute
        if name in ("events", "map", "resume"):
            return lambda *args, **kwargs: _iterate_async(attribute(*args, **kwargs))
        if name == "job":
            return lambda *args, **kwargs: _Awaitable(attribute(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            outcome = attribute(*args, **kwargs)
            is_handle = isinstance(outcome, ka.Job | ka.Result)
            return _Awaitable(outcome) if is_handle else outcome

        return call


async def _iterate_async(items: Iterator[Any]) -> Any:
    for item in items:
        yield item


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one plugin where Python finds installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def put(name: str, code: str, module: str | None = None) -> None:
        module = module or f"plugin_{name}"
        modules.append(module.partition(":")[0])
        (tmp_path / f"{module.partition(':')[0]}.py").write_text(code)
        metadata = tmp_path / f"acme_{name}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[kling_adapters]\n{name} = {module}\n")

    yield put
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(params=[Kling, AsyncKling], ids=["sync", "async"])
def play(request: pytest.FixtureRequest, sandbox: Sandbox) -> Play:
    return Play(request.param, sandbox)
