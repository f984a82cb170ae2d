"""`kling webhooks`: sending again what could not be delivered."""

from __future__ import annotations

import os

import click

from kling_adapters import ConfigError


@click.group()
def webhooks() -> None:
    """Send again the webhooks that could not be delivered."""


@webhooks.command()
def redeliver() -> None:
    """Send what is in the dead-letter file to the receiver again, in order and under the same ids.

    What fails stays, and so does what comes after it of the same job. Exit code 3 if anything stays.
    """
    from kling_webhook.deadletters import DeadLetters
    from kling_webhook.endpoint import Endpoint
    from kling_webhook.plugin import URL

    url = os.environ.get(URL, "").strip()
    if not url:
        raise ConfigError(f"there is no receiver to send to: set {URL}. Nothing was sent")
    endpoint, dead_letters = Endpoint(url), DeadLetters()
    letters = dead_letters.read()
    delivered: set[bytes] = set()
    held: set[str] = set()
    try:
        for line, message in letters.items():
            if message is None:
                click.echo("kept a line that cannot be read", err=True)
            elif message.job in held:
                click.echo(f"kept {message}: one before it of the same job was not delivered", err=True)
            elif failure := endpoint.post(message):
                held.add(message.job)
                click.echo(f"kept {message}: {failure.reason}", err=True)
            else:
                delivered.add(line)
                click.echo(f"delivered {message}")
    finally:
        if delivered:
            dead_letters.remove(delivered)
    click.echo(f"{len(delivered)} of {len(letters)} delivered from {dead_letters.path}")
    if len(delivered) < len(letters):
        raise SystemExit(3)
