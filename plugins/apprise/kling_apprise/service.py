"""Delivery to an Apprise URL. The URL is secret; log records of Apprise and its HTTP library are captured."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote

import apprise

from kling_adapters import ConfigError
from kling_apprise.text import Text

log = logging.getLogger("kling_apprise")

# Log messages captured for a service that sends in this context. Apprise logs URLs, headers and bodies; its
# HTTP library logs request paths. All of these may contain secrets.
_captured: ContextVar[list[str] | None] = ContextVar("kling_apprise_captured", default=None)


def _capture_record(record: logging.LogRecord) -> bool:
    """Capture warnings of our own calls, and drop their other records; pass records of other callers."""
    messages = _captured.get()
    if messages is None:
        return True
    if record.levelno >= logging.WARNING:
        messages.append(record.getMessage())
    return False


@contextmanager
def _capture_logs() -> Generator[list[str]]:
    for name in ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_capture_record)  # idempotent
    messages: list[str] = []
    token = _captured.set(messages)
    try:
        yield messages
    finally:
        _captured.reset(token)


class Service:
    """A notification service.

    Args:
        url: The Apprise URL, which is secret.
        number: The position of the URL in the list, from 1; identifies it in messages.

    Raises:
        ConfigError: Apprise does not support the URL. The message does not contain it.

    """

    def __init__(self, url: str, number: int) -> None:
        scheme = re.match(r"[A-Za-z][\w+.-]{0,31}(?=://)", url)
        self._name = f"URL {number} ({scheme.group() + '://…' if scheme else 'without a scheme'})"
        asset = apprise.AppriseAsset(async_mode=False, service_timeout=0)  # send in this thread, even at exit
        with _capture_logs(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # raised by modules that Apprise loads
            service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            raise ConfigError(
                f"notification {self._name} is not supported by Apprise. Check its scheme and parts"
            )
        # Even a masked path may contain a secret, and it does not help to identify the URL.
        masked = str(service.url(privacy=True))  # type: ignore[no-untyped-call]
        # The user part is often a token, and always account data.
        masked = re.sub(r"(?<=://)[^/?#]*@", "****@", masked)
        self._name = f"URL {number} ({re.sub(r'(?<![:/])[/?].*', '/…', masked)})"
        # A separate Apprise object adapts the text to the limits of the service.
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)
        self._secrets = _split_url(url) - _split_url(self._name)

    def send(self, text: Text) -> None:
        """Send a message; log a failure and never raise.

        Args:
            text: The message.

        """
        with _capture_logs() as messages:
            try:
                kind = apprise.NotifyType(text.kind)
                is_sent = bool(
                    self._apprise.notify(text.body, text.title, kind, body_format=apprise.NotifyFormat.TEXT)
                )
            except Exception as error:  # noqa: BLE001  the message may contain the URL
                is_sent = False
                messages.append(type(error).__name__)
        if is_sent:
            log.info("sent to %s: %s", self._name, text.title)
            return
        details = "; ".join(message for message in messages if not self._contains_secret(message))
        log.warning("could not send to %s: %r: %s", self._name, text.title, details or "unknown reason")

    def _contains_secret(self, message: str) -> bool:
        """Return whether a message contains a part of the URL that its masked form hides."""
        return any(word in message.casefold() for word in self._secrets)


def _split_url(url: str) -> set[str]:
    """Return the parts of a URL of three characters or more, raw and decoded, without query names."""
    parts = re.split(r"[/:@?&=#,;()\s]+", re.sub(r"[?&;][^=&;]*=", "&", url.casefold()))
    return {form for part in parts for form in (part, unquote(part)) if len(part) > 2}
