"""The output files that the body of a completed job describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from kling_adapters.media.types import guess_kind
from kling_adapters.protocol.fields import is_url, read_count, read_list, read_object
from kling_adapters.result import Artifact, ArtifactKind
from kling_adapters.schema.facts import OutputKind

MAX_FILES = 100

_KINDS_BY_NAME: dict[str, ArtifactKind] = {
    "video": "video",
    "videos": "video",
    "image": "image",
    "images": "image",
    "audio": "audio",
    "audios": "audio",
}


def read_artifacts(body: Mapping[str, Any], returns: OutputKind | None) -> tuple[Artifact, ...]:
    """Return the files that `video`, `audio` or `images` describe, or else the URLs in `output`."""
    artifacts = [_read_artifact(body.get("video"), "video"), _read_artifact(body.get("audio"), "audio")]
    artifacts += [_read_artifact(image, "image") for image in read_list(body.get("images"))[:MAX_FILES]]
    described = tuple(artifact for artifact in artifacts if artifact is not None)
    if described:
        return described
    return tuple(
        Artifact(url, kind or returns or guess_kind(url))
        for url, kind in islice(_iter_urls(body.get("output"), None), MAX_FILES)
    )


def _read_artifact(value: Any, kind: ArtifactKind) -> Artifact | None:
    members = read_object(value) or {"url": value}
    url, content_type, size = (
        members.get("url"),
        members.get("content_type"),
        read_count(members.get("file_size")),
    )
    if not is_url(url):
        return None
    return Artifact(
        url,
        kind,
        content_type if isinstance(content_type, str) else None,
        size if size is not None and size > 0 else None,
    )


def _iter_urls(
    value: Any, kind: ArtifactKind | None, depth: int = 3
) -> Iterator[tuple[str, ArtifactKind | None]]:
    """Yield the URLs of an output with the kind that their place shows: `url`, `[{url}]`, `{video: url}` ..."""
    if is_url(value):
        yield value, kind
    elif depth:
        for item in read_list(value):
            yield from _iter_urls(item, kind, depth - 1)
        for name, member in read_object(value).items():
            if name == "url" or name in _KINDS_BY_NAME:
                yield from _iter_urls(member, _KINDS_BY_NAME.get(name) or kind, depth - 1)
