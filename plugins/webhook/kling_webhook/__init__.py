"""Signed webhooks for job events, and verification for their receivers.

Names are imported on first use, because plugin discovery imports this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kling_webhook.plugin import Webhook
    from kling_webhook.signing import WebhookEvent, WebhookRefused, receive

__all__ = ["Webhook", "WebhookEvent", "WebhookRefused", "receive"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'plugin' if name == 'Webhook' else 'signing'}"), name)
