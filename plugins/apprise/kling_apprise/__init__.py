"""Notifications by Slack, Discord, mail and the rest of what Apprise knows."""

from kling_apprise.plugin import Apprise

__all__ = ["Apprise"]
