"""Errors of a store as StorageErrors with advice, without credentials."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from obstore.exceptions import BaseError

from kling_adapters import StorageError

T = TypeVar("T")

_ADVICE = {
    "s3": "Check the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role of this machine) and "
    "AWS_REGION; AWS_ENDPOINT_URL for a store outside of AWS",
    "gs": "Check the bucket and GOOGLE_APPLICATION_CREDENTIALS, the path of a key file (or a role of this "
    "machine)",
    "az": "Check the container, AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another "
    "credential",
    "memory": "memory: needs no configuration",
}


def translate_errors(action: Callable[[], T], url: str) -> T:
    """Run `action` and return its result; convert an error of the store of `url` to a StorageError."""
    try:
        return action()
    except (BaseError, OSError, ValueError) as error:
        reason = _summarize_error(error)
    # Raised outside of `except`: the store's error may contain signed URLs and complete responses.
    raise StorageError(f"{url} cannot be written to: {reason}. {_ADVICE[url.partition(':')[0]]}")


def _summarize_error(error: Exception) -> str:
    """Return a short form of a store's error, without URL queries and repeated request data."""
    text = str(error).partition("\n\nDebug source")[0]
    code = re.search("<Code>(.*?)</Code>", text)
    message = re.search("<Message>(.*?)</Message>", text, re.DOTALL)
    if code:
        return f"{code[1]}: {message[1].splitlines()[0].rstrip('.')}" if message and message[1] else code[1]
    return " ".join(re.sub(r"\?\S+", "", text.partition("<")[0]).split())[:300]
