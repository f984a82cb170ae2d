"""The list of models from a file or a URL."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import MISSING

from kling_codegen.drift.model_list import MAX_BYTES, UnreadableList
from kling_codegen.gateway import Gateway
from kling_codegen.load.folder import read_bytes

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 30.0
DEADLINE: Final = 120.0
NO_KEY: Final[Mapping[str, str]] = {}
# A refusal without a key.
_KEY_STATUSES: Final = frozenset({401, 403})


def read_source(source: str, gateway: Gateway | None) -> bytes:
    """Return the bytes of a file, or the answer of a URL.

    The key is sent to one address only, `models_url` of gateway.yaml, where the official client sends it, too; and only
    after a request without it was refused.

    Args:
        source: A path, or an http or https URL.
        gateway: The facts of the gateway, if the specs have them.

    Raises:
        UnreadableList: It cannot be read; the message has the reason.

    """
    if is_url(source):
        if "@" in _split(source)[1]:
            raise UnreadableList("the URL has a user name; expected none")
        key = _read_key(gateway) if gateway is not None and source == gateway.models_url else NO_KEY
        try:
            return _request(source, key)
        # A proxy of the environment can be unusable in each of these ways.
        except (ImportError, ValueError) as error:
            raise UnreadableList(f"no connection can be made: {error}") from None
    try:
        return read_bytes(Path(source), MAX_BYTES)
    except OSError as error:
        raise UnreadableList(f"it cannot be read: {error.strerror}") from None


def is_url(source: str) -> bool:
    """Return whether a source is a URL rather than a path."""
    return source.startswith(("http://", "https://"))


def format_source(source: str) -> str:
    """Return a source for messages: a URL without user name and query, which may be secret."""
    if not is_url(source):
        return source
    scheme, host, path = _split(source)
    return f"{scheme}://{host.rpartition('@')[2]}{path}"


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme, host with user name and port, and path of a URL that may be malformed."""
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split("[?#]", rest)[0].partition("/")
    return scheme, host, f"{slash}{path}"


def find_address(gateway: Gateway | None) -> str:
    """Return the address of the gateway's list; empty if it is not known."""
    return "" if gateway is None or gateway.models_url is MISSING else gateway.models_url


def _read_key(gateway: Gateway) -> Mapping[str, str]:
    key = os.environ.get(gateway.key.environment, "")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise UnreadableList(
            f"the key in {gateway.key.environment} is not printable ASCII without spaces; nothing was sent"
        )
    return {gateway.key.header: key} if key else NO_KEY


def _request(url: str, key: Mapping[str, str]) -> bytes:
    # Its import takes longer than most commands of the compiler.
    import httpx

    plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        # A redirect could lead to another host.
        with httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client:
            for headers in (plain, {**plain, **key}):
                with client.stream("GET", url, headers=headers) as response:
                    if response.status_code in _KEY_STATUSES and key and headers is plain:
                        continue
                    return _read_answer(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableList(f"it cannot be fetched: {str(error) or type(error).__name__}") from None
    raise AssertionError  # the second answer is read


def _read_answer(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise UnreadableList(f"the answer has status {response.status_code}; expected 200")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnreadableList("the answer is compressed, although the request asked for plain text")
    deadline = time.monotonic() + DEADLINE
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > MAX_BYTES:
            raise UnreadableList(f"it has more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise UnreadableList(f"it did not end within {DEADLINE:.0f} s")
    return bytes(data)
