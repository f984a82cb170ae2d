"""Replaces keys in what comes from the gateway."""

from __future__ import annotations

import re
from functools import lru_cache

_MAX_JSON = 16 * 1024**2


def mask_keys(keys: set[str], text: str) -> str:
    """Return a text with `[key]` for every key in it."""
    for key in tuple(keys):
        # No key is so short, but a word of the answer may be.
        if len(key) >= 12:
            text = text.replace(key, "[key]")
            # What is longer is not JSON.
            if "\\" in text and len(text) <= _MAX_JSON:
                text = _in_json(key).sub("[key]", text)
    return text


@lru_cache
def _in_json(key: str) -> re.Pattern[str]:
    """Find the key as JSON may spell it: each of its letters can be escaped."""
    spelt = (rf"(?:\\?{re.escape(each)}|\\u00(?i:{ord(each):02x}))" for each in key)
    return re.compile("".join(spelt))
