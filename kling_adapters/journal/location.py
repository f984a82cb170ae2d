"""The path of the journal: from the environment, or in the state folder of the user."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

from kling_adapters.errors import ConfigError

JOURNAL: Final = "KLING_JOURNAL"
"""Environment variable: the path of the journal, or "none"; by default it is in the state folder of the user."""


def default_path() -> Path | None:
    """Return the path of the journal by the environment; None for no journal.

    Raises:
        ConfigError: The user has no home folder, and the environment names no other place.

    """
    path = os.environ.get(JOURNAL, "").strip()
    if path.lower() == "none":
        return None
    if path:
        return absolute_path(path)
    state: Path | None = None
    with suppress(RuntimeError):
        state = user_state_path("kling-adapters", appauthor=False)
    if state is None or not state.is_absolute():
        raise ConfigError(
            "There is no folder for the journal: the user has no home folder, and neither HOME nor XDG_STATE_HOME "
            f"names one. Set {JOURNAL} to the path of a file, or to none to work without a journal. Nothing was sent"
        )
    return state / "journal.sqlite3"


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a journal, which does not depend on the working folder.

    Raises:
        ConfigError: The path holds a NUL character, names an unknown user, or the current folder is gone.

    """
    try:
        place = Path(path).expanduser().absolute()
        # A missing file is not an error, but an impossible name is.
        with suppress(OSError):
            place.stat()
    except (ValueError, RuntimeError, OSError) as error:
        raise ConfigError(
            f"{os.fspath(path)!r} cannot be the path of the journal: {str(error).rstrip('.')}. "
            f"Set {JOURNAL}, or journal=..., to the path of a file. Nothing was sent"
        ) from error
    return place
