"""Settings of the application, and the secrets that it keeps between starts."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from kling_serve.tokens import Token

KEY_VARIABLES = ("SEGMIND_API_KEY", "SEGMIND_API_KEYS", "SEGMIND_API_KEY_FILE", "KLING_AUTH")
"""Environment variables that name an API key, or the plugin that has it."""


@dataclass(frozen=True)
class Settings:
    """Settings of one application.

    Attributes:
        folder: Folder of the studio: its secrets, uploads, stored files, and the journal of the sandbox.
        journal: Journal of the account; "" for that of the user, see `Kling`.
        base_url: Gateway of the account; None for that of KLING_BASE_URL, or the gateway of Segmind.
        api_key: API key of the account; None for that of the authentication plugins.
        uses_account: Whether jobs can be paid for; True if a key is configured.
        uses_sandbox: Whether a sandbox is started, if kling-sandbox is installed.
        sandbox_timing: End of the jobs of the sandbox, see `kling sandbox --timing`.
        specs: Folder of specs that are compiled while the application runs; None for no folder.
        allowed_hosts: Names of this machine that browsers may use, beside localhost and loopback addresses.
        confirm_above: Price in credits above which a run has to be confirmed.
        max_upload_bytes: Largest upload, in bytes.
        max_uploads_bytes: Most bytes of all uploads together; the oldest are deleted first.
        upload_lifetime: Seconds after which an upload is deleted.
        tokens: Tokens of programs, beside that of the application.
        media_folders: Folders whose files agents may use as media.

    """

    folder: Path
    journal: str | PathLike[str] = ""
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    uses_account: bool = False
    uses_sandbox: bool = True
    sandbox_timing: str = "latency:0.05"
    specs: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    confirm_above: float = 1.0
    max_upload_bytes: int = 256 * 1024**2
    max_uploads_bytes: int = 2 * 1024**3
    upload_lifetime: float = 7 * 86400.0
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    media_folders: tuple[Path, ...] = ()

    @property
    def outputs(self) -> Path:
        """Folder of the stored files of jobs."""
        return self.folder / "outputs"

    @property
    def uploads(self) -> Path:
        """Folder of the files that browsers have sent."""
        return self.folder / "uploads"

    @property
    def sandbox_journal(self) -> Path:
        """Journal of the jobs of the sandbox, which do not belong in that of the user."""
        return self.folder / "sandbox.sqlite3"


def has_key() -> bool:
    """Return whether the environment names an API key, or a plugin that has one."""
    return any(os.environ.get(name, "").strip() for name in KEY_VARIABLES)


def read_secret(folder: Path, name: str) -> str:
    """Return a secret of the application, which is created once, so that browsers stay signed in after a restart."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        text = path.read_text("ascii").strip()
        if len(text) >= 32:
            return text
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    secret = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
    return secret
