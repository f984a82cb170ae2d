"""`kling temporal`: workers, and the state of a batch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from temporalio.client import Client

# Every command of `kling` imports this module, and would wait for what the functions import.
_CONNECTION: Final = (
    click.option(
        "--address", metavar="HOST:PORT", help="Temporal; by default TEMPORAL_ADDRESS, or localhost:7233."
    ),
    click.option("--namespace", metavar="NAME", help="By default TEMPORAL_NAMESPACE, or default."),
    click.option(
        "--codec",
        metavar="MODULE:FUNCTION",
        help="Encodes payloads; by default KLING_TEMPORAL_CODEC.",
    ),
)


def _add_connection(command: Any) -> Any:
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


def _run(connection: Mapping[str, Any], work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    import asyncio

    from kling_temporal.connection import connect

    async def connect_and_work() -> None:
        await work(await connect(**connection))

    asyncio.run(connect_and_work())


@click.group()
def temporal() -> None:
    """Run jobs on Temporal, on any number of machines."""


@temporal.command()
@_add_connection
@click.option(
    "--task-queue",
    metavar="NAME",
    envvar="KLING_TEMPORAL_TASK_QUEUE",
    default="kling",
    show_default=True,
    help="The task queue of the workers; by default KLING_TEMPORAL_TASK_QUEUE.",
)
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
@click.option("--tracing", is_flag=True, help="Record spans with Temporal's interceptor for OpenTelemetry.")
def worker(address: str, namespace: str, codec: str, tracing: bool, **options: Any) -> None:
    """Run steps of jobs until SIGTERM or Ctrl-C, which let the steps in progress end.

    The key, the storages and the notifications are those of the plugins of this machine.
    """
    from kling_adapters.engine import check_key

    check_key(options["base_url"])
    connection = {"address": address, "namespace": namespace, "codec": codec, "tracing": tracing}
    _run(connection, lambda client: _serve(client, options))


async def _serve(client: Client, options: Mapping[str, Any]) -> None:
    import asyncio
    import signal

    from kling_temporal.connection import prepare_namespace
    from kling_temporal.worker import make_worker

    await prepare_namespace(client)
    running, kling = make_worker(client, **options)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with kling, running:
        place = f"{options['task_queue']} of {client.namespace}"
        click.echo(f"working on the task queue {place} for {kling.base_url}", err=True)
        await stop.wait()


@temporal.command()
@_add_connection
@click.argument("batch")
def status(batch: str, **connection: Any) -> None:
    """Print how many jobs of a batch are in each state, and those that need attention."""
    _run(connection, lambda client: _print_status(client, batch))


async def _print_status(client: Client, batch: str) -> None:
    from kling_adapters import ConfigError
    from kling_temporal.listing import list_batches, list_jobs

    jobs = await list_jobs(client, batch)
    if not jobs.is_known:
        names = ", ".join(map(repr, await list_batches(client))) or "none yet"
        raise ConfigError(f"the namespace {client.namespace} has no batch {batch!r}; the latest are: {names}")
    for state, number in sorted(jobs.states.items()):
        click.echo(f"{number:8}  {state.lower()}")
    if jobs.waiting:
        click.echo(f"{jobs.waiting:8}  waiting")
    for problem in jobs.problems:
        click.echo(problem)
