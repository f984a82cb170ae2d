"""Loading of a folder of spec files."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Generic

from kling_codegen import names
from kling_codegen.closed import ClosedT
from kling_codegen.gateway import Gateway
from kling_codegen.language import Spec
from kling_codegen.load.document import Document
from kling_codegen.load.reader import Place
from kling_codegen.messages import Message
from kling_codegen.patterns import SLUG
from kling_codegen.report import Problem

# The largest spec of a real model has 12,000 bytes.
MAX_BYTES = 1 << 20


CATALOGUE = "catalogue.yaml"
"""The file of the gateway's list of models."""
_NOT_SPECS = ("gateway.yaml", CATALOGUE)


class SpecsInvalid(Exception):
    """The specs are invalid; `problems` has every problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Specs:
    """A folder of specs: its gateway.yaml, if there is one, and its models by slug."""

    gateway: Gateway | None
    models: tuple[Spec, ...]


@dataclass(frozen=True)
class File(Generic[ClosedT]):
    """A spec file: its content, the place of each value, and its model if it is valid."""

    path: Path
    content: bytes
    document: Document
    value: ClosedT | None

    @property
    def slug(self) -> Slug | None:
        """The slug and its place, even in an invalid spec."""
        slug = self.document.keys().get("slug")
        is_slug = isinstance(slug, str) and re.fullmatch(SLUG, slug)
        return Slug(self.path, str(slug), self.document.place(("slug",))) if is_slug else None


@dataclass(frozen=True)
class Slug:
    """The slug of a spec, and its place."""

    path: Path
    slug: str
    place: Place


def load_specs(folder: Path) -> Specs:
    """Read every *.yaml of a folder, and gateway.yaml if it is there. Raises SpecsInvalid."""
    gateway, models = read_files(folder)
    specs = [model.value for model in models if model.value is not None]
    return Specs(gateway.value if gateway else None, tuple(sorted(specs, key=lambda spec: spec.slug)))


def read_files(folder: Path) -> tuple[File[Gateway] | None, list[File[Spec]]]:
    """Read the same files as `load_specs`, with the places of all values. Raises SpecsInvalid."""
    problems: list[Problem] = []
    path = folder / "gateway.yaml"
    gateway = read_file(path, Gateway, problems) if path.exists() else None
    models = [read_file(path, Spec, problems) for path in list_specs(folder, problems)]
    problems += find_clashes(model.slug for model in models)
    if problems:
        raise SpecsInvalid(problems)
    return gateway, models


def list_specs(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return the spec files of a folder; add misnamed files, and an empty folder, to `problems`."""
    problems += [
        Problem(str(path), 1, 1, "the name of a spec ends in .yaml", suggestion=f"{path.stem}.yaml")
        for path in folder.glob("*.yml")
    ]
    paths = sorted(path for path in folder.glob("*.yaml") if path.name not in _NOT_SPECS)
    if not paths:
        problems.append(Problem(str(folder), 1, 1, "this folder has no spec"))
    return paths


def read_file(path: Path, model: type[ClosedT], problems: list[Problem]) -> File[ClosedT]:
    """Read one file, and add its problems to `problems`."""
    data, text, reason = b"", "", ""
    try:
        data = read_bytes(path)
        text = TextIOWrapper(BytesIO(data), encoding="utf-8").read()
    except UnicodeDecodeError:
        reason = "is not UTF-8 text"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    if reason:
        problems.append(Problem(str(path), 1, 1, reason))
        return File(path, data, Document("{}"), None)
    document = Document(text)
    value = document.validate(model)
    problems += (document.locate(path, at, message) for at, message in document.problems)
    return File(path, data, document, None if document.problems else value)


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a plain file of a reasonable size. Raises OSError."""
    # Reading a pipe could block forever.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "it is not a plain file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return data


def find_clashes(slugs: Iterable[Slug | None]) -> Iterator[Problem]:
    """Yield slugs that differ from their file name, are used twice, or would become a reserved name."""
    owners: dict[tuple[str, str], Path] = {}
    for slug in slugs:
        if slug is not None:
            for message in _slug_problems(slug, owners):
                yield Problem(
                    str(slug.path), *slug.place, message.text, "slug", message.allowed, message.suggestion
                )


def _slug_problems(slug: Slug, owners: dict[tuple[str, str], Path]) -> Iterator[Message]:
    """Yield the problems of one slug; add its names to `owners`, which has those of earlier slugs."""
    if slug.slug != slug.path.stem:
        text = f"the slug {slug.slug} belongs into a file {slug.slug}.yaml"
        yield Message(text, "", slug.path.stem)
    python_names = {"class": names.class_name(slug.slug), "module": names.module_name(slug.slug)}
    for sort, name in {"slug": slug.slug, **python_names}.items():
        owner = owners.setdefault((sort, name), slug.path)
        if owner != slug.path:
            yield Message(f"the {sort} {name} is already that of {owner}")
        if sort == "slug" and owner != slug.path:
            return
        if sort != "slug" and names.is_reserved(name):
            text = f"the slug {slug.slug} makes a {sort} {name}, a name that Python or the generated code reserves"
            yield Message(text)
