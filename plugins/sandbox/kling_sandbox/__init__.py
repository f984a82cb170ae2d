"""A local gateway that speaks the protocol of the Segmind serverless API and renders real media.

Names are imported when first used: the plugin of this package is loaded whenever plugins are looked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kling_sandbox.accounts import API_KEY, KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED
    from kling_sandbox.faults import Fault, Faults
    from kling_sandbox.gateway import BLOCKED_TEXT
    from kling_sandbox.record import Received
    from kling_sandbox.sandbox import Sandbox

__all__ = [
    "API_KEY",
    "BLOCKED_TEXT",
    "KEY_FORBIDDEN",
    "KEY_NO_CREDITS",
    "KEY_RATE_LIMITED",
    "Fault",
    "Faults",
    "Received",
    "Sandbox",
]

_MODULES = {
    "BLOCKED_TEXT": "gateway",
    "Fault": "faults",
    "Faults": "faults",
    "Received": "record",
    "Sandbox": "sandbox",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'accounts')}"), name)
