"""Environment variables of the plugin. The README documents them."""

from __future__ import annotations

URL = "KLING_WEBHOOK_URL"
SECRET = "KLING_WEBHOOK_SECRET"  # noqa: S105  name of a variable
DEAD_LETTERS = "KLING_WEBHOOK_DEAD_LETTERS"
