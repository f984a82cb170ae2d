"""File names of outputs: the default name, and the file name or template at the end of `save_to`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.media.types import TYPES, fits_kind
from kling_adapters.schema.facts import OutputKind

FIELDS = ("model", "request_id", "index", "date", "tag", "ext")
"""Fields of a template."""
_LONGEST_STEM = 150
_TEXT_TYPES = {row.name for row in TYPES if row.kind == "text"}
_CONTENT_TYPES = {extension: row.name for row in TYPES for extension in row.extensions}


@dataclass(frozen=True)
class FileName:
    """File name or template, such as `film.mp4` or `{model}-{request_id}{ext}`.

    Attributes:
        template: The template, which ends with `{ext}` or with an extension.
        extension: The extension that it ends with; "" for `{ext}`.

    """

    template: str
    extension: str = ""

    @property
    def is_unique_per_job(self) -> bool:
        """True if two jobs never share a name."""
        return "request_id" in _iter_fields(self.template)

    def check_kind(self, returns: OutputKind | None) -> None:
        """Raise ConfigError if the extension does not fit the kind of output of the model."""
        if not self.extension or returns is None:
            return
        content_type = _CONTENT_TYPES[self.extension.lower()]
        if not fits_kind(content_type, returns) or (returns == "text") != (content_type in _TEXT_TYPES):
            raise ConfigError(
                f"the file name {self.template} does not fit the output of the model, which is {returns}; "
                f"end the name with {{ext}}. Nothing was sent"
            )

    def fill(self, values: Mapping[str, str | None], number: int, count: int, extension: str) -> str:
        """Return the name of one output of a job.

        Args:
            values: The values of the fields, except `index` and `ext`; None for one without a value.
            number: The position of the output among those of the job, from 1.
            count: The number of outputs of the job.
            extension: The extension of the content, without a dot.

        Raises:
            StorageError: The extension of the name does not fit the content.

        """
        self._check_extension(extension)
        suffix = f".{self.extension or extension}"
        template = self.template.removesuffix(f".{self.extension}") if self.extension else self.template
        has_index = "index" in _iter_fields(template)
        fields = {
            name: safe_stem(values.get(name) or f"no-{name}")
            for name in ("model", "request_id", "date", "tag")
        }
        fields |= {"index": str(number), "ext": ""}
        stem = "".join(
            literal + (fields[name] if name else "") for literal, name, _, _ in Formatter().parse(template)
        )
        if len(stem) > _LONGEST_STEM:
            stem = safe_stem(stem)
        if count > 1 and not has_index:
            stem += f"-{number}"
        return stem + suffix

    def _check_extension(self, extension: str) -> None:
        is_media = extension in _CONTENT_TYPES
        expected = _CONTENT_TYPES.get(self.extension.lower())
        if expected is not None and is_media and _CONTENT_TYPES[extension] != expected:
            raise StorageError(
                f"the output is {_CONTENT_TYPES[extension]}, which the file name {self.template} does not fit; save it with "
                f"a name that ends with .{extension} or {{ext}}"
            )


def split_destination(save_to: str) -> tuple[str, FileName | None]:
    """Split a destination into a folder, or the URL of one, and the file name or template at its end.

    A destination without a file name is a folder: it ends with a slash or without the extension of a media type, or the
    folder exists.

    Raises:
        ConfigError: The template cannot be used.

    """
    folder, last = _split_last(save_to)
    if re.search(rf"\{{({'|'.join(FIELDS)})\}}", folder):
        raise ConfigError(
            f"{save_to!r} has a field in a folder; only the file name may have fields. Nothing was sent"
        )
    if "{" in last or "}" in last:
        return folder, _parse_template(last)
    extension = last.rpartition(".")[2] if "." in last else ""
    if extension.lower() not in _CONTENT_TYPES or _is_folder(save_to):
        return save_to, None
    _check_literal(last)
    return folder, FileName(last, extension)


def check_unique_per_job(save_to: str) -> None:
    """Raise ConfigError if several jobs would be stored under one name."""
    _, name = split_destination(save_to)
    if name is not None and not name.is_unique_per_job:
        raise ConfigError(
            f"several jobs cannot be stored in {save_to!r}: each would replace the one before. Name a folder, or use "
            "{request_id} in the file name. Nothing was sent"
        )


def _split_last(save_to: str) -> tuple[str, str]:
    """Return the folder and the last part of a destination; "" for a URL without a path."""
    if _is_url(save_to):
        scheme, _, rest = save_to.partition("://")
        head, slash, last = rest.rpartition("/")
        return (f"{scheme}://{head}{slash}", last) if slash else (save_to, "")
    cut = max(save_to.rfind(separator) for separator in ("/", os.sep))
    return save_to[: cut + 1] or ".", save_to[cut + 1 :]


def _is_folder(save_to: str) -> bool:
    try:
        return not _is_url(save_to) and Path(save_to).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # the storage reports it
        return False


def _is_url(save_to: str) -> bool:
    # A scheme of one letter is a drive of Windows.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", save_to) is not None


def _parse_template(template: str) -> FileName:
    """Return a template, with `{ext}` at its end unless it ends with the extension of a media type."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"the file name {template!r} is not a valid template: {error}. Nothing was sent"
        ) from None
    for literal, name, spec, conversion in parts:
        _check_literal(literal, template)
        if name is not None and (name not in FIELDS or spec or conversion):
            raise ConfigError(
                f"the file name {template!r} has the unknown field {{{name}}}; expected {', '.join(FIELDS)}. "
                "Nothing was sent"
            )
    if (
        "ext" in _iter_fields(template)[:-1]
        or template.count("{ext}") > 1
        or ("{ext}" in template and not template.endswith("{ext}"))
    ):
        raise ConfigError(f"the file name {template!r} must end with {{ext}}. Nothing was sent")
    literal_end = parts[-1][0] if parts[-1][1] is None else ""
    extension = literal_end.rpartition(".")[2] if "." in literal_end else ""
    if extension.lower() in _CONTENT_TYPES:
        return FileName(template, extension)
    return FileName(template)


def _iter_fields(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _check_literal(literal: str, template: str | None = None) -> None:
    is_start = template is None or template.startswith(literal)
    if re.fullmatch("[A-Za-z0-9._-]*", literal) is None or (is_start and literal.startswith(".")):
        raise ConfigError(
            f"the file name {template or literal!r} may hold letters, digits, dots, hyphens and underscores, and must not "
            "start with a dot. Nothing was sent"
        )


def safe_stem(*parts: str | None) -> str:
    """Return a file name without an extension, of letters, digits, dots, hyphens and underscores.

    A name that was changed or cut gets a digest of its original, so that two ids never share a name.
    """
    joined = "-".join(part for part in parts if part)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", joined).lstrip("._-")[:120]
    if safe == joined and safe:
        return safe
    return f"{safe or 'output'}-{hashlib.sha256(joined.encode('utf-8', 'replace')).hexdigest()[:12]}"
