"""API key from an environment variable, or from a file that a variable names."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from kling_adapters.errors import ConfigError
from kling_adapters.hook_objects import InstantAuth
from kling_adapters.hookspecs import Auth, hookimpl
from kling_adapters.models._gateway import KEY_ENVIRONMENT

# The usual form of secrets in containers.
KEY_FILE = f"{KEY_ENVIRONMENT}_FILE"


class EnvironmentKey(InstantAuth):
    """An Auth that reads the environment and the file for every request, so that changes take effect."""

    def api_key(self) -> str:
        """Return the key of the variable, or of the file.

        Raises:
            ConfigError: Neither has a key, or the file cannot be read.

        """
        key = self.instant_key() or _read_file(os.environ.get(KEY_FILE, "").strip())
        if not key:
            raise ConfigError(
                f"no API key: set {KEY_ENVIRONMENT} or {KEY_FILE}, or pass Kling(api_key=...). Nothing was "
                "sent. To try without an account, use `kling run --sandbox` or start `kling sandbox`."
            )
        return key

    def instant_key(self) -> str | None:
        """Return the key of the variable, if there is one."""
        return _clean(os.environ.get(KEY_ENVIRONMENT, "")) or None


def _read_file(path: str) -> str:
    if not path:
        return ""
    try:
        key = _clean(_read_text(Path(path).expanduser()))
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, UnicodeDecodeError):
            # Its message would contain a part of the file, which may be most of a key.
            reason = "it is not UTF-8 text"
        raise ConfigError(
            f"the API key cannot be read from {path}, the file of {KEY_FILE}: {reason}. Nothing was sent"
        ) from None
    if not key:
        raise ConfigError(f"{path}, the file of {KEY_FILE}, is empty. Nothing was sent")
    return key


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    # Windows PowerShell writes UTF-16 with a byte order mark by default.
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def _clean(text: str) -> str:
    """Return a key without surrounding white space, byte order mark and quotes."""
    key = text.strip().removeprefix("\ufeff").strip()
    if len(key) >= 2 and key[0] == key[-1] and key[0] in "\"'":
        key = key[1:-1].strip()
    return key


# Called last, so that every other plugin has precedence.
@hookimpl(trylast=True)
def kling_auth() -> Auth:
    """Provide the key of the environment for every gateway."""
    return EnvironmentKey()
