"""The API key from the environment variable that the gateway's documentation names, or from a file that one names."""

from __future__ import annotations

import os
from pathlib import Path

from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import Auth, hookimpl
from kling_adapters.models._gateway import KEY_ENVIRONMENT

# As container platforms hand over secrets.
KEY_FILE = f"{KEY_ENVIRONMENT}_FILE"


class EnvironmentKey:
    """Reads the key anew each time, so that a changed environment or file counts."""

    def api_key(self) -> str:
        """Return the key. Raises ConfigError if neither variable leads to one."""
        key = os.environ.get(KEY_ENVIRONMENT, "").strip() or _from_file(os.environ.get(KEY_FILE, ""))
        if not key:
            raise ConfigError(
                f"no API key: set {KEY_ENVIRONMENT} or {KEY_FILE}, or give Kling(api_key=...). Nothing was sent. "
                "To try without an account, use `kling run --sandbox` or start `kling sandbox`."
            )
        return key


def _from_file(path: str) -> str:
    if not path:
        return ""
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # Not with the text of what cannot be decoded: it may be most of a key.
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the API key cannot be read from {path}, as {KEY_FILE} says: {reason}") from None
    if not key:
        raise ConfigError(f"the file {path} that {KEY_FILE} names is empty. Nothing was sent")
    return key


# Asked last, so that any plugin can take precedence.
@hookimpl(trylast=True)
def kling_auth() -> Auth:
    """Answer for every gateway."""
    return EnvironmentKey()
