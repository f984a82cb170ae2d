"""API keys from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kling_adapters import ConfigError

KEYS: Final = "SEGMIND_API_KEYS"
"""Environment variable: API keys, separated by commas or white space."""
KEYS_FILE: Final = "SEGMIND_API_KEYS_FILE"
"""Environment variable: path of a file with one key per line; lines that start with # are comments."""


def read_configured_keys() -> list[str]:
    """Return the keys of the variable and of the file.

    Raises:
        ConfigError: The file cannot be read or has no key.

    """
    keys = os.environ.get(KEYS, "").replace(",", " ").split()
    path = os.environ.get(KEYS_FILE, "")
    return keys + _read_file(path) if path else keys


def _read_file(path: str) -> list[str]:
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{KEYS_FILE}: {path} cannot be read: {error.strerror}. Nothing was sent."
        ) from error
    except UnicodeDecodeError:
        # The context of the exception would show the content of the file.
        raise ConfigError(f"{KEYS_FILE}: {path} is not a UTF-8 text file. Nothing was sent.") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ConfigError(f"{KEYS_FILE}: {path} contains no key; write one per line. Nothing was sent.")
    return keys
