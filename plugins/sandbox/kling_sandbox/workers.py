"""Workers: they render the outputs of jobs in threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from kling_sandbox.addresses import Sender
from kling_sandbox.jobs import Job, Rendered
from kling_sandbox.rendering.fetch import fetch
from kling_sandbox.rendering.renderer import Renderer


class Workers:
    """Renders the outputs of jobs; used on the event loop."""

    def __init__(
        self, renderer: Renderer, executor: Executor, read_file: Callable[[str], bytes | None]
    ) -> None:
        """`read_file` returns the file at a URL of this sandbox; it is called in threads."""
        self._renderer = renderer
        self._executor = executor
        self._read_file = read_file

    def start(self, job: Job) -> None:
        """Render the output of a job, unless that has happened or the job will fail."""
        if job.failure is None and (job.rendered is None or job.has_lost_file()):
            loop = asyncio.get_running_loop()
            job.rendered = loop.run_in_executor(self._executor, self._render, job)

    async def output(self, job: Job) -> Rendered:
        """Wait for the output of a started job. A job without a file is refunded."""
        if job.rendered is None:
            output = Rendered(error=job.failure)
        else:
            # The job outlives the request that waits here.
            output = await asyncio.shield(job.rendered)
        if output.path is None and job.cost:
            job.account.charge(-job.cost)
            job.cost = 0.0
        return output

    def _render(self, job: Job) -> Rendered:
        try:
            path = self._renderer.render(job.plan, lambda url: self._fetch_picture(url, job.sender))
            return Rendered(path=path)
        except Exception as error:  # noqa: BLE001  a broken worker ends its job, not the gateway
            return Rendered(error=f"The worker failed: {error!r}")

    def _fetch_picture(self, url: str, sender: Sender) -> bytes | None:
        if sender.means_sandbox(url):
            return self._read_file(url)
        # For a sender on another machine, a loopback address means that machine.
        return fetch(url) if sender.is_on_this_machine else None
