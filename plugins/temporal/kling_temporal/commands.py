"""`kling temporal`: workers, their rate, and the state of a batch."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections import Counter

    from temporalio.client import Client

_CONNECTION = (
    click.option(
        "--address", metavar="HOST:PORT", help="Temporal; by default TEMPORAL_ADDRESS, or localhost:7233."
    ),
    click.option("--namespace", metavar="NAME", help="By default TEMPORAL_NAMESPACE, or default."),
    click.option(
        "--task-queue",
        metavar="NAME",
        default="kling",
        show_default=True,
        help="The task queue of the workers.",
    ),
)


def _add_options(command: Any) -> Any:
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


@click.group()
def temporal() -> None:
    """Run jobs on Temporal, on any number of machines."""


@temporal.command()
@_add_options
@click.option("--base-url", metavar="URL", help="The gateway; by default KLING_BASE_URL.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Steps a minute of all workers of the task queue together.",
)
@click.option(
    "--concurrency", type=click.IntRange(1), default=100, show_default=True, help="Steps at the same time."
)
@click.option(
    "--build-id", metavar="ID", help="Version of this deployment; a job ends on the version that started it."
)
@click.option(
    "--codec", metavar="MODULE:FUNCTION", envvar="KLING_TEMPORAL_CODEC", help="Encodes the payloads."
)
@click.option("--tracing", is_flag=True, help="Record spans with Temporal's interceptor for OpenTelemetry.")
def worker(
    address: str | None,
    namespace: str | None,
    task_queue: str,
    base_url: str | None,
    rate: float | None,
    concurrency: int,
    build_id: str | None,
    codec: str | None,
    tracing: bool,
) -> None:
    """Run steps of jobs until SIGTERM or Ctrl-C, which finish the steps in progress.

    The key, the storages and the notifications are those of the plugins of this machine.
    """

    async def serve() -> None:
        from kling_temporal.connection import connect, prepare_namespace
        from kling_temporal.worker import make_worker

        client = await connect(address, namespace, codec=codec, tracing=tracing)
        await prepare_namespace(client)
        running, kling = make_worker(
            client,
            task_queue=task_queue,
            rate=rate,
            concurrency=concurrency,
            build_id=build_id,
            base_url=base_url,
        )
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with kling, running:
            click.echo(f"working on {task_queue} of {client.namespace} for {kling.base_url}", err=True)
            await stop.wait()

    asyncio.run(serve())


@temporal.command()
@_add_options
@click.argument("rate", type=click.FloatRange(0, min_open=True))
def rate(address: str | None, namespace: str | None, task_queue: str, rate: float) -> None:
    """Set the steps a minute of all workers together, while they run. It replaces --rate of the workers."""

    async def set_rate() -> None:
        from kling_temporal.connection import connect
        from kling_temporal.limits import limit_task_queue

        await limit_task_queue(await connect(address, namespace), task_queue, rate)

    asyncio.run(set_rate())


@temporal.command()
@_add_options
@click.argument("batch")
def status(address: str | None, namespace: str | None, task_queue: str, batch: str) -> None:
    """Print how many jobs of a batch are in each state, and those that need attention."""

    async def show() -> None:
        from kling_temporal.connection import connect

        await _print_status(await connect(address, namespace), batch)

    asyncio.run(show())


async def _print_status(client: Client, batch: str) -> None:
    from kling_temporal.listing import list_jobs

    jobs = await list_jobs(client, batch)
    if not jobs.total:
        raise click.ClickException(f"there is no batch {batch!r} in the namespace {client.namespace}")
    states: Counter[str] = jobs.states
    for state, number in sorted(states.items()):
        click.echo(f"{number:8}  {state.lower()}")
    if jobs.waiting:
        click.echo(f"{jobs.waiting:8}  waiting")
    for line in jobs.problems:
        click.echo(line)
