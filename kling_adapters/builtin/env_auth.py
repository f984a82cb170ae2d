"""The API key from the environment variable that the gateway's documentation names, or from a file that one names."""

from __future__ import annotations

import codecs
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
        key = _clean(os.environ.get(KEY_ENVIRONMENT, "")) or _from_file(os.environ.get(KEY_FILE, "").strip())
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
        key = _clean(_read_text(Path(path).expanduser()))
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        # Not with the text of what cannot be decoded: it may be most of a key.
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        if isinstance(error, OSError):
            reason = error.strerror or reason
        raise ConfigError(f"the API key cannot be read from {path}, as {KEY_FILE} says: {reason}") from None
    if not key:
        raise ConfigError(f"the file {path} that {KEY_FILE} names is empty. Nothing was sent")
    return key


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    # Windows PowerShell writes UTF-16 unless told otherwise; its byte order mark says so.
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def _clean(text: str) -> str:
    """Return a key without what surrounds it where people store it: white space, a byte order mark, quotes."""
    key = text.strip().removeprefix("\ufeff").strip()
    if len(key) >= 2 and key[0] == key[-1] and key[0] in "\"'":
        key = key[1:-1].strip()
    return key


# Asked last, so that any plugin can take precedence.
@hookimpl(trylast=True)
def kling_auth() -> Auth:
    """Answer for every gateway."""
    return EnvironmentKey()
