"""The plugin. Imported whenever plugins are looked for, so it imports what delivers only if there is a receiver."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kling_adapters import Clock, Event
from kling_adapters.hookspecs import hookimpl
from kling_webhook.payload import as_message

if TYPE_CHECKING:
    import click

    from kling_webhook.delivery import Delivery

URL = "KLING_WEBHOOK_URL"


class Webhook:
    """Posts every event of every job to one receiver, signed.

    `url`: https, or http on this machine. `secret`: as receivers are given it, `whsec_...`; several while one replaces
    another, and each message is signed with all of them. `dead_letters`: the file for what could not be delivered.
    What is not given is taken from the environment (see the README); without a URL the plugin does nothing.
    `clock`: time, for tests. Raises ConfigError for a URL or a secret that cannot be used, and never shows it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        secret: str | Sequence[str] | None = None,
        dead_letters: str | Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._delivery: Delivery | None = None
        url = url if url is not None else os.environ.get(URL, "").strip()
        if url:
            from kling_webhook.deadletters import DeadLetters
            from kling_webhook.delivery import Delivery
            from kling_webhook.endpoint import Endpoint, read_secrets

            endpoint = Endpoint(url, read_secrets(secret))
            self._delivery = Delivery(endpoint, DeadLetters(dead_letters), clock)

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Queue the event; it is delivered in the background."""
        if self._delivery is not None and (message := as_message(event)) is not None:
            self._delivery.add(message)

    @hookimpl
    def kling_close(self) -> None:
        """Deliver what is queued; what cannot be delivered in time goes to the dead-letter file."""
        if self._delivery is not None:
            self._delivery.close()

    @hookimpl
    def kling_cli(self, app: click.Group) -> None:
        """Add `kling webhooks`."""
        from kling_webhook.commands import webhooks

        app.add_command(webhooks)
