"""Requirements for plugins that run batches in other processes."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager, nullcontext

import anyio

from kling_adapters.client.result import AsyncResult
from kling_adapters.hookspecs import Engine
from kling_adapters.models import Kling2
from kling_adapters.protocol.tasks import Outcome
from kling_adapters.testing.gateway import FakeGateway
from kling_adapters.testing.plugin import PluginConformance


class EngineConformance(PluginConformance):
    """Requirements for plugins with `kling_engine`: inherit it and define `plugin`, `name` and `workers`.

    Attributes:
        name: The name of the engine.
        address: Its address; None for its default.

    """

    name: str
    address: str | None = None

    def workers(self, gateway: FakeGateway) -> AbstractContextManager[object]:
        """Run the processes that the engine needs.

        Args:
            gateway: The gateway of their jobs, with its address and key.

        Returns:
            A context in which they run.

        """
        return nullcontext()

    def test_only_its_name_is_answered(self) -> None:
        """An Engine for the name of the engine, and None for any other, which is that of another plugin."""
        engine = self.call("kling_engine", name=self.name, address=self.address)
        assert isinstance(engine, Engine), (
            f"kling_engine returned a {type(engine).__name__}; expected an Engine"
        )
        another = self.call("kling_engine", name=f"not-{self.name}", address=self.address)
        assert another is None, "kling_engine answered to the name of another engine; expected None"

    def test_each_request_is_submitted_once(self) -> None:
        """An outcome for each request, also for equal ones; a second run with the same name submits nothing."""
        prompts = ["a kite", "a lighthouse", "a kite"]
        with FakeGateway() as gateway, self.workers(gateway):
            batch = f"conformance-{uuid.uuid4()}"
            first = anyio.run(self._run, gateway, batch, prompts)
            assert [outcome.index for outcome in first] == [0, 1, 2], (
                "map did not yield one outcome a request"
            )
            for outcome in first:
                assert outcome.error is None, f"request {outcome.index} failed: {outcome.error!r}"
                assert outcome.result is not None, f"request {outcome.index} has no result"
            request_ids = [outcome.request_id for outcome in first]
            assert len(set(request_ids)) == len(prompts), (
                "equal requests had one job; expected a job for each"
            )
            second = anyio.run(self._run, gateway, batch, prompts)
            submits = [request.params["prompt"] for request in gateway.requests if request.method == "POST"]
        assert sorted(submits) == sorted(prompts), (
            f"{len(submits)} submits for {len(prompts)} requests in two runs"
        )
        assert [outcome.request_id for outcome in second] == request_ids, "the second run has other jobs"

    async def _run(self, gateway: FakeGateway, batch: str, prompts: list[str]) -> list[Outcome[AsyncResult]]:
        """Run a batch, and return the outcomes in the order of the requests."""
        engine: Engine = self.call("kling_engine", name=self.name, address=self.address)
        requests = [Kling2(prompt=prompt) for prompt in prompts]
        running = engine.map(requests, base_url=gateway.base_url, name=batch, save_to=None, concurrency=2)
        outcomes: list[Outcome[AsyncResult]] = [outcome async for outcome in running]
        return sorted(outcomes, key=lambda outcome: outcome.index)
