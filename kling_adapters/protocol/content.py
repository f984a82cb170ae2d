"""Media type and extension of a downloaded file, from its first bytes."""

from __future__ import annotations

import logging
import re

from kling_adapters.errors import StorageError
from kling_adapters.media.types import find_extension, fits_kind, is_error_page, sniff
from kling_adapters.result import Artifact

log = logging.getLogger("kling_adapters")

# Values that are not codings: object stores keep them from the upload that made the file.
_NOT_CODINGS = {"", "identity", "none", "aws-chunked", "utf-8", "binary"}


def read_codings(content_encoding: str) -> str:
    """Return the codings of a response, or "" if it has none."""
    codings = {coding.strip().lower() for coding in content_encoding.split(",")}
    return ", ".join(sorted(codings - _NOT_CODINGS))


def detect_content(artifact: Artifact, head: bytes, announced: str, codings: str) -> tuple[str, str]:
    """Return the media type and the extension of a file.

    An unrecognised file is paid for, and is stored with the type that the server announced.

    Args:
        artifact: The file as the gateway describes it.
        head: The first bytes.
        announced: The content type that the server announced, or "".
        codings: The codings of the response, or "".

    Raises:
        StorageError: The file is not of the kind of the artifact.

    """
    kind, detected = artifact.kind, sniff(head)
    if not detected and codings:
        raise StorageError(
            f"the output is encoded as {codings}, which was not requested and cannot be decoded here"
        )
    is_open = kind in ("text", "file")
    if detected:
        if not is_open and not fits_kind(detected, kind):
            raise _wrong_kind(artifact, detected)
        return detected, find_extension(detected, kind)
    if is_open:
        return "application/octet-stream", "bin"
    if is_error_page(head, announced):
        raise _wrong_kind(artifact, f"text that starts with {head[:12]!r}")
    log.warning(
        "the output is not recognised as %s: it starts with %r and is stored unchanged", kind, head[:12]
    )
    content_type = announced if re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", announced) else ""
    return content_type or "application/octet-stream", find_extension(content_type, kind)


def _wrong_kind(artifact: Artifact, content: str) -> StorageError:
    return StorageError(f"the output should be {artifact.kind}, but is {content}")
