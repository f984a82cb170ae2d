"""Signed webhooks for job events, and verification for their receivers."""

from kling_webhook.plugin import Webhook
from kling_webhook.signing import WebhookEvent, WebhookRefused, receive

__all__ = ["Webhook", "WebhookEvent", "WebhookRefused", "receive"]
