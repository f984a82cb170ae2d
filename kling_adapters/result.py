"""What a finished job gives back. Whatever the gateway did not say is None, never 0."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes, urlsplit

ArtifactKind = Literal["video", "image", "audio", "text", "file"]


@dataclass(frozen=True)
class Metrics:
    """The gateway's account of a job: `cost` and `remaining_credits` in credits, the times in seconds."""

    cost: float | None = None
    remaining_credits: float | None = None
    inference_time: float | None = None
    queue_time: float | None = None
    total_time: float | None = None
    retry_count: int | None = None


@dataclass(frozen=True)
class Artifact:
    """One output file as the gateway describes it; `size` in bytes. The file lives seven days at `url`.

    `content`: all of it, if it came with the answer; then there is no `url`.
    """

    url: str
    kind: ArtifactKind
    content_type: str | None = None
    size: int | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredFile:
    """One output where it was stored: `url`, `size` in bytes, hex `sha256`, and the `content_type` of what is in it.

    `link` opens it for a while without credentials, if the storage can make such links.
    """

    url: str
    size: int
    sha256: str
    content_type: str
    link: str | None = field(default=None, repr=False)  # whoever sees it can open the file

    @property
    def path(self) -> Path:
        """The file on this machine. Raises ValueError when it was stored elsewhere."""
        parts = urlsplit(self.url)
        if parts.scheme != "file":
            raise ValueError(f"{self.url} is not a file on this machine")
        if sys.platform == "win32":
            from urllib.request import url2pathname

            return Path(url2pathname(parts.path))
        # Not every path is UTF-8.
        return Path(os.fsdecode(unquote_to_bytes(parts.path)))


@dataclass(frozen=True)
class Credits:
    """What is left on the account, in credits; `free` are those that were given."""

    credits: float | None
    free: float | None


@dataclass(frozen=True)
class JobStatus:
    """The state of a job: QUEUED, PROCESSING, COMPLETED, FAILED, or one the gateway has added since."""

    state: str
    metrics: Metrics = field(default_factory=Metrics)
    error: str | None = None


@dataclass(frozen=True)
class ResultData:
    """A COMPLETED job.

    `output` is what the gateway calls so, usually the URL of the first file; `artifacts` are its files;
    `body` is the whole answer, for what this version does not know.
    """

    request_id: str
    model: str | None
    output: Any
    artifacts: tuple[Artifact, ...]
    metrics: Metrics
    body: Mapping[str, Any] = field(repr=False)

    @property
    def video(self) -> Artifact | None:
        """The first video, if there is one."""
        return next((artifact for artifact in self.artifacts if artifact.kind == "video"), None)

    @property
    def images(self) -> tuple[Artifact, ...]:
        """All images."""
        return tuple(artifact for artifact in self.artifacts if artifact.kind == "image")
