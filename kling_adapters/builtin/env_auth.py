"""The API key from the environment variable the gateway's documentation names."""

from __future__ import annotations

import os

from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import Auth, hookimpl
from kling_adapters.models._gateway import KEY_ENVIRONMENT


class EnvironmentKey:
    """Reads the key anew each time, so that a changed environment counts."""

    def api_key(self) -> str:
        """Return the key. Raises ConfigError if the variable is not set."""
        key = os.environ.get(KEY_ENVIRONMENT, "").strip()
        if not key:
            raise ConfigError(
                f"no API key: set {KEY_ENVIRONMENT}, or give Kling(api_key=...). Nothing was sent. "
                "To try without an account, use `kling run --sandbox` or start `kling sandbox`."
            )
        return key


# Asked last, so that any plugin can take precedence.
@hookimpl(trylast=True)
def kling_auth() -> Auth:
    """Answer for every gateway."""
    return EnvironmentKey()
