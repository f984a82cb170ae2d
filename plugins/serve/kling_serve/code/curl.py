"""A call as commands with curl."""

from __future__ import annotations

import json
import mimetypes
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from kling_serve.connections import Connection
from kling_serve.models import Model

DOCUMENTED_GATEWAY: Final = "https://api.segmind.com"
UPLOAD_URL: Final = "https://workflows-api.segmind.com/upload-asset"
"""Address for uploads to the documented gateway (specs/gateway.yaml); any other has it below its base URL."""
_MARK: Final = "\x00{}\x00"
_SUBMIT: Final = """\
{settings}{uploads}id=$(curl -sS "$gateway/v2/{slug}" -H "x-api-key: $SEGMIND_API_KEY" \\
  -H 'Content-Type: application/json' -d {body} |
  sed -n 's/.*"request_id": *"\\([^"]*\\)".*/\\1/p')
echo "$id"

# Repeat until the status is COMPLETED or FAILED.
curl -sS "$gateway/v2/requests/$id" -H "x-api-key: $SEGMIND_API_KEY"
"""
_UPLOAD: Final = """\
file{number}=$(printf '{{"data_urls": ["data:{type};base64,%s"]}}' "$(base64 < {path} | tr -d '\\n')" |
  curl -sS {address} -H "x-api-key: $SEGMIND_API_KEY" -H 'Content-Type: application/json' -d @- |
  sed -n 's/.*"file_urls": *\\["\\([^"]*\\)".*/\\1/p')
"""


def write_curl(model: Model, values: Mapping[str, Any], connection: Connection) -> str:
    """Return commands that upload local media, submit the job, and ask for its result."""
    base_url = connection.client.base_url
    settings = f"gateway={shlex.quote(base_url)}\n"
    if connection.sandbox_key is not None:
        settings += f"SEGMIND_API_KEY={shlex.quote(connection.sandbox_key)}\n"
    paths: list[Path] = []
    body = shlex.quote(json.dumps(_replace_paths(dict(values), paths), indent=2, ensure_ascii=False))
    address = UPLOAD_URL if base_url == DOCUMENTED_GATEWAY else '"$gateway/upload-asset"'
    uploads = ""
    for number, path in enumerate(paths, 1):
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        uploads += _UPLOAD.format(
            number=number, type=content_type, path=shlex.quote(str(path)), address=address
        )
        body = body.replace(json.dumps(_MARK.format(number))[1:-1], f"'\"$file{number}\"'")
    return _SUBMIT.format(settings=settings, uploads=uploads, slug=model.slug, body=body)


def _replace_paths(value: Any, paths: list[Path]) -> Any:
    """Return a value with a mark for each local file, whose path is added to `paths`."""
    if isinstance(value, Path):
        paths.append(value)
        return _MARK.format(len(paths))
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return {name: _replace_paths(item, paths) for name, item in pairs}
    if isinstance(value, list):
        items: list[Any] = value
        return [_replace_paths(item, paths) for item in items]
    return value
