"""Replacement of API keys in answers and in log records of the HTTP library: a gateway may repeat a key."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from contextvars import ContextVar, Token
from functools import lru_cache

# httpcore logs the headers of a response, and httpx its reason phrase; so do httpcore2 and httpx2.
_LOGGERS = ("connection", "http11", "http2", "proxy", "socks")
# Shorter keys, such as those of a sandbox, could be parts of words.
_MIN_KEY_LENGTH = 12
# A longer text is not JSON.
_MAX_JSON = 16 * 1024**2

_logged_keys: ContextVar[Collection[str]] = ContextVar("logged_keys", default=())


def mask_keys(keys: Collection[str], text: str) -> str:
    """Replace every key in a text, with or without escaped characters, with `[key]`."""
    for key in tuple(keys):
        if len(key) >= _MIN_KEY_LENGTH:
            text = text.replace(key, "[key]")
            if "\\" in text and len(text) <= _MAX_JSON:
                text = _escaped_key(key).sub("[key]", text)
    return text


@lru_cache
def _escaped_key(key: str) -> re.Pattern[str]:
    """Return a pattern of a key in JSON or in a Python literal, where any character may be escaped."""
    return re.compile("".join(rf"(?:\\?{re.escape(char)}|\\u00(?i:{ord(char):02x}))" for char in key))


def start_masking_logs(keys: Collection[str]) -> Token[Collection[str]]:
    """Mask keys in the log records of the HTTP library in this thread or task, until `stop_masking_logs`."""
    return _logged_keys.set(keys)


def stop_masking_logs(token: Token[Collection[str]]) -> None:
    """End what `start_masking_logs` began."""
    _logged_keys.reset(token)


def _mask_record(record: logging.LogRecord) -> bool:
    if keys := _logged_keys.get():
        record.msg, record.args = mask_keys(keys, record.getMessage()), None
    return True


for _generation in ("", "2"):
    for _name in (f"httpx{_generation}", *(f"httpcore{_generation}.{name}" for name in _LOGGERS)):
        logging.getLogger(_name).addFilter(_mask_record)
