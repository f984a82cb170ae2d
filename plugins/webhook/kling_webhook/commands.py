"""`kling webhooks`: what could not be delivered, and sending it again."""

from __future__ import annotations

import os
import sys

import click

from kling_adapters import ConfigError


@click.group()
def webhooks() -> None:
    """See and send again the webhooks that could not be delivered."""


@webhooks.command()
def pending() -> None:
    """List the webhooks in the dead-letter file."""
    from kling_webhook.deadletters import DeadLetters

    dead_letters = DeadLetters()
    found = dead_letters.read()
    for message, reason in found:
        when = message.payload["timestamp"] if message else "?"
        click.echo(f"{when} {message or '?'}: {reason}")
    click.echo(f"{len(found)} in {dead_letters.path}")


@webhooks.command()
def redeliver() -> None:
    """Send what is in the dead-letter file to the receiver again, in order and under the same ids.

    What fails stays, and so does what comes after it of the same job. Exit code 3 if anything stays.
    """
    from kling_webhook.deadletters import DeadLetters
    from kling_webhook.endpoint import Endpoint, read_secrets
    from kling_webhook.plugin import URL

    url = os.environ.get(URL, "").strip()
    if not url:
        raise ConfigError(f"there is no receiver to send to: set {URL}. Nothing was sent")
    endpoint, dead_letters = Endpoint(url, read_secrets()), DeadLetters()
    found = dead_letters.read()
    delivered: set[str] = set()
    held: set[str] = set()
    given_up = ""
    try:
        for message, reason in found:
            if message is None:
                click.echo(f"kept: {reason}", err=True)
            elif given_up or message.job in held:
                click.echo(
                    f"kept {message}: {given_up or 'one before it of the same job was not delivered'}",
                    err=True,
                )
            elif message.id not in delivered:
                outcome = endpoint.post(message)
                if outcome.kind == "delivered":
                    delivered.add(message.id)
                    click.echo(f"delivered {message}")
                    continue
                held.add(message.job)
                click.echo(f"kept {message}: {outcome.reason}", err=True)
                if outcome.kind in {"unreachable", "gone"}:
                    given_up = "the receiver takes nothing at the moment"
    finally:
        endpoint.close()
        if delivered:
            dead_letters.remove(delivered)
    click.echo(f"{len(delivered)} of {len(found)} delivered")
    if len(delivered) < len(found):
        click.echo(f"the others are still in {dead_letters.path}", err=True)
        sys.exit(3)
