"""Data of finished jobs. A value that the gateway did not report is None, never 0."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

ArtifactKind: TypeAlias = Literal["video", "image", "audio", "text", "file"]
"""Kind of an output file; `file` is any other or an unknown one."""


@dataclass(frozen=True)
class Metrics:
    """Cost and times of a job, as the gateway reports them.

    Attributes:
        cost: The price in credits.
        remaining_credits: Credits of the account after the job.
        inference_time: Seconds on a worker.
        queue_time: Seconds in the queue.
        total_time: Seconds from submit to end.
        retry_count: Number of retries inside the gateway.

    """

    cost: float | None = None
    remaining_credits: float | None = None
    inference_time: float | None = None
    queue_time: float | None = None
    total_time: float | None = None
    retry_count: int | None = None


@dataclass(frozen=True)
class Artifact:
    """One output file, as the gateway describes it. `Result.save` stores it.

    Attributes:
        url: The URL of the file, which works for seven days (specs/gateway.yaml); "" if the answer had the
            content.
        kind: The kind of file.
        content_type: The media type.
        size: The size in bytes.
        content: The content, if the answer had it, as after `run_sync`.

    """

    url: str
    kind: ArtifactKind
    content_type: str | None = None
    size: int | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredFile:
    """One stored output file.

    Attributes:
        url: The URL of the stored file.
        size: The size in bytes.
        sha256: The hex digest of the content.
        content_type: The media type of the content.
        link: A temporary URL that opens the file without credentials; None if the storage cannot create one.

    """

    url: str
    size: int
    sha256: str
    content_type: str
    link: str | None = field(default=None, repr=False)  # it opens the file without credentials

    @property
    def path(self) -> Path:
        """The path of the file. Raises ValueError if it is not on this machine."""
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
    """Balance of the account.

    Attributes:
        credits: Remaining credits.
        free: Free credits among them.

    """

    credits: float | None
    free: float | None


@dataclass(frozen=True)
class JobStatus:
    """State of a job.

    Attributes:
        state: QUEUED, PROCESSING, COMPLETED, FAILED, or a state that the gateway has introduced since.
        metrics: Cost and times so far.
        error: The gateway's message for a job that FAILED.

    """

    state: str
    metrics: Metrics = field(default_factory=Metrics)
    error: str | None = None


@dataclass(frozen=True)
class ResultData:
    """A COMPLETED job.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        output: The field `output` of the answer, usually the URL of the first file.
        artifacts: The output files.
        metrics: Cost and times of the job.
        body: The complete answer, for fields that this version does not read.

    """

    request_id: str
    model: str | None
    output: Any
    artifacts: tuple[Artifact, ...]
    metrics: Metrics
    body: Mapping[str, Any] = field(repr=False)

    @property
    def video(self) -> Artifact | None:
        """The first video; None if there is none."""
        return next((artifact for artifact in self.artifacts if artifact.kind == "video"), None)

    @property
    def images(self) -> tuple[Artifact, ...]:
        """All images."""
        return tuple(artifact for artifact in self.artifacts if artifact.kind == "image")
