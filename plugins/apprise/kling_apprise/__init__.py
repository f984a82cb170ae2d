"""Job notifications through Slack, Discord, mail and the other services of Apprise."""

from kling_apprise.plugin import Apprise

__all__ = ["Apprise"]
