"""Upload of the local media in a body; equal content is uploaded once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from kling_adapters.errors import ConfigError, TransportError
from kling_adapters.media.inputs import describe_media, digest_media, iter_media, replace_media
from kling_adapters.media.reader import LocalMedia, MediaError
from kling_adapters.media.urls import DataUrl, make_data_url
from kling_adapters.models._gateway import OUTPUT_LIFETIME
from kling_adapters.protocol.effects import Call, Flow, Now, Sleep
from kling_adapters.protocol.exchange import query_once
from kling_adapters.protocol.records import record
from kling_adapters.protocol.responses import read_upload
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")

UPLOAD_BUDGET = 300.0
"""Seconds within which an upload is repeated when it fails."""
UPLOAD_LIFETIME = OUTPUT_LIFETIME - 86400.0
"""Seconds for which an uploaded file is reused: a day less than its lifetime, so that the job can still fetch it."""


def upload_media(session: Session, body: Mapping[str, Any], end: float) -> Flow[Mapping[str, Any]]:
    """Upload the local media in a body and return the body with URLs instead.

    Raises:
        ConfigError: Media cannot be read.
        ApiError: The gateway refused an upload.
        TransportError: An upload failed, or the time `end` has passed.

    """
    urls: list[str] = []
    for media in iter_media(body):
        try:
            urls.append((yield from _upload(session, media, end)))
        except MediaError as error:
            raise ConfigError(
                f"{describe_media(media)} cannot be uploaded: it is {error}. No job was started"
            ) from error
        except TransportError as error:
            raise TransportError(
                f"{describe_media(media)} could not be uploaded, so no job was started: {error}"
            ) from error
    if urls and (yield Now()) >= end:
        raise TransportError("the timeout was spent on uploads. No job was started")
    remaining = iter(urls)
    uploaded: Mapping[str, Any] = replace_media(body, lambda _: next(remaining))
    return uploaded


def _upload(session: Session, media: LocalMedia, end: float) -> Flow[str]:
    """Return the URL of a file, uploaded now unless equal content was uploaded before."""
    gateway, uploads = session.gateway, session.uploads
    sha256: str = yield Call(partial(digest_media, media))
    now: float = yield Now()
    while not uploads.begin(sha256):
        yield Sleep(0.1)
    try:
        if (url := uploads.find(sha256, now - UPLOAD_LIFETIME)) is not None:
            return url
        url = yield from record(session.journal.find_upload, gateway.base_url, sha256, UPLOAD_LIFETIME)
        if url is None:
            log.info("uploading %s", describe_media(media))
            data_url: DataUrl = yield Call(partial(make_data_url, media, sha256))
            request = gateway.upload(data_url)
            url = yield from query_once(session, request, read_upload, None, UPLOAD_BUDGET, end)
            yield from record(session.journal.record_upload, gateway.base_url, sha256, url)
        uploads.keep(sha256, url, now)
        return url
    finally:
        uploads.end(sha256)
