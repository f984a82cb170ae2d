"""What `kling sandbox` does."""

import signal
import threading

import click

from kling_sandbox.sandbox import Sandbox


def serve(host: str, port: int, timing: str) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Raises OSError if it cannot listen there, ValueError for a bad timing.
    """
    stop = threading.Event()
    # SIGTERM too, so that the folder of rendered files is removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: stop.set())
    with Sandbox(timing=timing, host=host, port=port) as sandbox:
        click.echo(f"base URL  {sandbox.base_url}")
        click.echo(f"key       {sandbox.api_key}")
        click.echo(f"\n  export SEGMIND_API_KEY={sandbox.api_key}\n")
        click.echo("Interrupt to stop.")
        stop.wait()
