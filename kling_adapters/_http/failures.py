"""Failures of an exchange. They decide whether a submit may be repeated."""

from __future__ import annotations

from kling_adapters._http.custom import NotAResponse
from kling_adapters._http.deadline import NotConnected, OutOfTime
from kling_adapters._http.library import find_libraries
from kling_adapters._http.masking import mask_keys
from kling_adapters.protocol.download import TooSlow
from kling_adapters.protocol.messages import Fault

# Names of classes of httpx and httpx2. Raised before a byte of the request is sent. InvalidURL is not one: the
# Location of an answer raises it, too.
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
_TEXTS = {
    "ConnectError": "no connection could be made",
    "ConnectTimeout": "no connection was made in time",
    "ReadError": "the connection broke before the answer was complete",
    "ReadTimeout": "the answer did not come in time",
    "WriteError": "the connection broke before the request was sent completely",
}
_FAILURES = ("HTTPError", "InvalidURL")


def find_failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that become a Fault, of each library that this process has imported."""
    return (
        *_find_classes(_FAILURES),
        NotConnected,
        OutOfTime,
        TooSlow,
        NotAResponse,
        ValueError,  # a header, or the host of a redirect, that cannot be decoded
        OverflowError,  # a port
        ExceptionGroup,  # anyio wraps the errors above
    )


def make_fault(error: Exception, keys: set[str]) -> Fault:
    """Return the failure of an exchange, with masked keys: a parser quotes the line that it cannot read."""
    kind = _TEXTS.get(type(error).__name__, type(error).__name__)
    reason = f"{kind}: {error}" if str(error) else kind
    is_unsent = isinstance(error, (*_find_classes(_NOT_SENT), NotConnected))
    return Fault(mask_keys(keys, reason), sent=not is_unsent)


def _find_classes(names: tuple[str, ...]) -> list[type[Exception]]:
    return [getattr(library, name) for library in find_libraries() for name in names]
