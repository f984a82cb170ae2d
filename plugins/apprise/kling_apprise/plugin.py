"""The plugin: which events to tell, to whom, and a thread that does it."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kling_adapters import ConfigError, Event
from kling_adapters.hookspecs import hookimpl
from kling_apprise.text import NAMES, Text, as_text

if TYPE_CHECKING:
    from kling_apprise.service import Service

URLS = "KLING_APPRISE_URLS"
EVENTS = "KLING_APPRISE_EVENTS"
DEFAULT_EVENTS = ("submit_failed", "completed", "failed", "expired")
CLOSE_SECONDS = 25.0
"""How long closing waits at most: what calls it waits 30 seconds."""
EXIT_SECONDS = 5.0
"""The same at the end of a process whose client was never closed."""


class Apprise:
    """Tells people how jobs end, by every one of `urls`.

    `events`: names of those to tell, such as `completed`. What is not given is taken from the environment (see the
    README); without a URL the plugin does nothing. Raises ConfigError for a URL that Apprise does not understand, by
    its position and scheme, and for an event that there is not.
    """

    def __init__(self, urls: Sequence[str] | None = None, *, events: Sequence[str] | None = None) -> None:
        urls = _from_environment() if urls is None else urls
        self._events = frozenset(
            os.environ.get(EVENTS, "").replace(",", " ").split() if events is None else events
        )
        self._events = self._events or frozenset(DEFAULT_EVENTS)
        if unknown := sorted(self._events - set(NAMES.values())):
            raise ConfigError(
                f"there is no event {', '.join(unknown)}; there is: {', '.join(NAMES.values())}"
            )
        self._services: list[Service] = []
        if urls:
            from kling_apprise.service import Service  # Apprise takes a tenth of a second to import

            self._services = [Service(url, number) for number, url in enumerate(urls, 1)]
        self._changed = threading.Condition()  # guards all that follows
        self._queue: deque[Text] = deque()
        self._is_working = False

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Queue the event, if it is one to tell."""
        if not self._services or NAMES.get(type(event)) not in self._events:
            return
        with self._changed:
            self._queue.append(as_text(event))
            if not self._is_working:
                self._is_working = True
                atexit.unregister(self._finish_at_exit)
                atexit.register(self._finish_at_exit)
                threading.Thread(target=self._work, name="kling-apprise", daemon=True).start()

    @hookimpl
    def kling_close(self) -> None:
        """Wait until everything queued was told, for 25 seconds at most."""
        self._finish(CLOSE_SECONDS)
        atexit.unregister(self._finish_at_exit)

    def _finish_at_exit(self) -> None:
        self._finish(EXIT_SECONDS)

    def _finish(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_working, seconds):
                from kling_apprise.service import log

                log.error("%d notifications were not sent: the client was closed", len(self._queue) + 1)
                self._queue.clear()

    def _work(self) -> None:
        """Send what is queued, and end."""
        while True:
            with self._changed:
                if not self._queue:
                    self._is_working = False
                    self._changed.notify_all()
                    return
                text = self._queue.popleft()
            for service in self._services:
                service.send(text)


def _from_environment() -> list[str]:
    urls = os.environ.get(URLS, "").split()
    file = os.environ.get(f"{URLS}_FILE", "").strip()
    if urls or not file:
        return urls
    try:
        return Path(file).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{URLS}_FILE cannot be read: {type(error).__name__}") from None
