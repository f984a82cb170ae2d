"""One URL of Apprise. It is never shown, and what Apprise and what it uses would log of it is caught."""

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

# What is logged on behalf of a service, if one is at work in this context. Apprise logs URLs, headers and bodies, and
# the library below it the paths of requests, which are often secrets.
_heard: ContextVar[list[str] | None] = ContextVar("kling_apprise_heard", default=None)


def _pass(record: logging.LogRecord) -> bool:
    """Pass on what others have Apprise log; keep what is logged for us, if it is a warning."""
    heard = _heard.get()
    if heard is None:
        return True
    if record.levelno >= logging.WARNING:
        heard.append(record.getMessage())
    return False


@contextmanager
def _listening() -> Generator[list[str]]:
    for name in ("apprise", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_pass)  # the same function is added once
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


class Service:
    """A place to send messages to, `number` in the list of URLs.

    Raises ConfigError, without the URL, if Apprise does not understand it.
    """

    def __init__(self, url: str, number: int) -> None:
        scheme = re.match(r"[A-Za-z][\w+.-]{0,31}(?=://)", url)
        self._name = f"URL {number} ({scheme.group() + '://…' if scheme else 'without a scheme'})"
        asset = apprise.AppriseAsset(async_mode=False, service_timeout=0)  # in this thread, even at exit
        with _listening(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of modules that Apprise loads
            service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            raise ConfigError(f"{self._name} of the notifications is not one that Apprise understands")
        # Of a path even the masked form may tell a secret, and it would not help to find the URL in a list.
        masked = str(service.url(privacy=True))  # type: ignore[no-untyped-call]
        # The part before the host is often a token, and always of the account.
        masked = re.sub(r"(?<=://)[^/?#]*@", "****@", masked)
        self._name = f"URL {number} ({re.sub(r'(?<![:/])[/?].*', '/…', masked)})"
        # An Apprise of its own: it fits the text to what the service takes.
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)
        self._secrets = _words(url) - _words(self._name)

    def send(self, text: Text) -> None:
        """Send a message. That it failed is logged; nothing is raised."""
        with _listening() as heard:
            try:
                kind = apprise.NotifyType(text.kind)
                is_sent = bool(
                    self._apprise.notify(text.body, text.title, kind, body_format=apprise.NotifyFormat.TEXT)
                )
            except Exception as error:  # noqa: BLE001  its message might have the URL
                is_sent = False
                heard.append(type(error).__name__)
        if is_sent:
            log.info("%s was told: %s", self._name, text.title)
            return
        why = "; ".join(reason for reason in heard if not self._is_telling(reason))
        log.warning("%s could not be told %r: %s", self._name, text.title, why or "no reason was given")

    def _is_telling(self, reason: str) -> bool:
        """Whether a reason has a part of the URL that its masked form has not."""
        return any(word in reason.casefold() for word in self._secrets)


def _words(url: str) -> set[str]:
    """The parts of a URL without the names in its query, as they stand and decoded; two letters are no secret."""
    words = re.split(r"[/:@?&=#,;()\s]+", re.sub(r"[?&;][^=&;]*=", "&", url.casefold()))
    return {form for word in words for form in (word, unquote(word)) if len(word) > 2}
