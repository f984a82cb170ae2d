"""A local gateway that speaks the protocol of the Segmind serverless API and renders real media.

Names are imported on first use, because plugin discovery imports this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kling_sandbox.accounts import API_KEY, KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED
    from kling_sandbox.faults import Fault, Faults
    from kling_sandbox.record import ReceivedRequest
    from kling_sandbox.sandbox import Sandbox
    from kling_sandbox.submits import BLOCKED_TEXT

__all__ = [
    "API_KEY",
    "BLOCKED_TEXT",
    "KEY_FORBIDDEN",
    "KEY_NO_CREDITS",
    "KEY_RATE_LIMITED",
    "Fault",
    "Faults",
    "ReceivedRequest",
    "Sandbox",
]

_MODULES = {
    "BLOCKED_TEXT": "submits",
    "Fault": "faults",
    "Faults": "faults",
    "ReceivedRequest": "record",
    "Sandbox": "sandbox",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'accounts')}"), name)
