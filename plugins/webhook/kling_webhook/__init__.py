"""Signed webhooks for what happens to a job, and what a receiver of them needs."""

from kling_webhook.plugin import Webhook
from kling_webhook.signing import WebhookEvent, WebhookRefused, receive

__all__ = ["Webhook", "WebhookEvent", "WebhookRefused", "receive"]
