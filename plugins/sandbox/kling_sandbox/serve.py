"""A sandbox in the foreground, for `kling sandbox`."""

import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from kling_sandbox.access import is_loopback
from kling_sandbox.faults import Fault
from kling_sandbox.sandbox import Sandbox


def serve(
    host: str,
    port: int,
    timing: str,
    faults: Sequence[str] = (),
    seed: int = 0,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Run a sandbox until SIGINT or SIGTERM.

    Raises OSError if it cannot listen at the address, ValueError for an invalid timing or fault.
    """
    stop = threading.Event()
    # SIGTERM too, so that the folder of rendered files is removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: stop.set())
    sandbox = Sandbox(
        timing=timing,
        faults=[Fault.parse(text) for text in faults],
        seed=seed,
        host=host,
        port=port,
        allowed_hosts=allowed_hosts,
    )
    with tempfile.TemporaryDirectory(prefix="kling-sandbox-journal-") as folder, sandbox:
        click.echo(f"base URL  {sandbox.base_url}")
        click.echo(f"key       {sandbox.api_key}\n")
        click.echo(f"  export KLING_BASE_URL={sandbox.base_url}")
        click.echo(f"  export SEGMIND_API_KEY={sandbox.api_key}")
        # Its jobs end with it, so they do not belong in the journal of the user.
        click.echo(f"  export KLING_JOURNAL={Path(folder, 'journal.sqlite3')}\n")
        if not is_loopback(host):
            _explain_access(sandbox.base_url.rpartition(":")[2])
        click.echo("Press Ctrl-C to stop. Then: unset KLING_BASE_URL SEGMIND_API_KEY KLING_JOURNAL")
        stop.wait()


def _explain_access(port: str) -> None:
    click.echo("Anyone on the network of this machine can use the sandbox. For clients in containers and on")
    click.echo("other machines, replace NAME with the name or address of this machine there:\n")
    click.echo(f"  export KLING_BASE_URL=http://NAME:{port}")
    click.echo("  export KLING_LOCAL_HOSTS=NAME\n")
    click.echo("A NAME with a dot that is not an address also needs: kling sandbox --allow-host NAME\n")
