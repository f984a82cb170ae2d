"""What `kling sandbox` does."""

import signal
import threading
from collections.abc import Sequence

import click

from kling_sandbox.faults import Fault
from kling_sandbox.sandbox import Sandbox


def serve(host: str, port: int, timing: str, faults: Sequence[str] = (), seed: int = 0) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Raises OSError if it cannot listen there, ValueError for a bad timing or fault.
    """
    struck = [Fault.parse(text) for text in faults]
    stop = threading.Event()
    # SIGTERM too, so that the folder of rendered files is removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: stop.set())
    with Sandbox(timing=timing, faults=struck, seed=seed, host=host, port=port) as sandbox:
        click.echo(f"base URL  {sandbox.base_url}")
        click.echo(f"key       {sandbox.api_key}")
        click.echo(f"\n  export SEGMIND_API_KEY={sandbox.api_key}\n")
        click.echo("Interrupt to stop.")
        stop.wait()
