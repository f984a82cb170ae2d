"""`kling webhooks`: resend undelivered webhooks."""

from __future__ import annotations

import os

import click

from kling_adapters import ConfigError
from kling_webhook.settings import URL


@click.group()
def webhooks() -> None:
    """Manage undelivered webhooks."""


@webhooks.command()
def redeliver() -> None:
    """Resend the webhooks of the dead-letter file, in order and with the same ids.

    A webhook that fails stays in the file, with the later ones of the same job. Exit code 3: webhooks remain.
    """
    from kling_webhook.deadletters import DeadLetters
    from kling_webhook.endpoint import Endpoint

    url = os.environ.get(URL, "").strip()
    if not url:
        raise ConfigError(f"no webhook receiver is configured: set {URL}. Nothing was sent")
    endpoint, dead_letters = Endpoint(url), DeadLetters()
    letters = dead_letters.read()
    delivered: set[bytes] = set()
    blocked_jobs: set[str] = set()
    try:
        for line, message in letters.items():
            if message is None:
                click.echo("kept an unreadable line", err=True)
            elif message.job in blocked_jobs:
                click.echo(f"kept {message}: an earlier webhook of the same job was not delivered", err=True)
            elif failure := endpoint.post(message):
                blocked_jobs.add(message.job)
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
