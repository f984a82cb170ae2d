"""Compilation of a folder of specs to all files of the package, with a cache of unchanged specs."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from kling_codegen import ir, names, render
from kling_codegen.cache import Cache, make_key
from kling_codegen.catalogue import Catalogue
from kling_codegen.entry import Entry
from kling_codegen.gateway import Gateway
from kling_codegen.language import Spec
from kling_codegen.load.folder import (
    CATALOGUE,
    File,
    Slug,
    SpecsInvalid,
    find_clashes,
    list_specs,
    read_bytes,
    read_file,
)
from kling_codegen.load.reader import Place
from kling_codegen.patterns import SLUG
from kling_codegen.placeholders import find_placeholders
from kling_codegen.report import Problem

T = TypeVar("T")

# Fewer specs compile faster than processes start.
PARALLEL = 100


@dataclass(frozen=True)
class Compiled:
    """A compiled spec: its files and its documentation by path, and its entry in shared files.

    `unfinished` is about its placeholders, if it has any.
    """

    entry: Entry
    place: Place
    unfinished: Problem | None
    files: dict[str, str]
    document: dict[str, str]

    def is_of(self, slug: str) -> bool:
        """Return whether all names belong to `slug`: they become paths."""
        module = names.module_name(slug)
        return (
            re.fullmatch(SLUG, slug) is not None
            and (self.entry.slug, self.entry.module) == (slug, module)
            and self.files.keys() == {f"{module}.py", f"schemas/{slug}.json"}
            and self.document.keys() == {f"{slug}.md"}
        )

    def unfinished_in(self, folder: Path) -> Problem | None:
        """Return the problem about its placeholders; a cached spec may have been in another folder."""
        file = str(folder / f"{self.entry.slug}.yaml")
        return None if self.unfinished is None else replace(self.unfinished, file=file)

    def with_texts(self, texts: Mapping[str, str]) -> Compiled:
        """Return a copy with the files that are in `texts` replaced."""
        return replace(
            self,
            files={file: texts.get(file, text) for file, text in self.files.items()},
            document={file: texts.get(file, text) for file, text in self.document.items()},
        )


@dataclass(frozen=True)
class Package:
    """The files of a package of models and of its documentation, an entry for each model, and the unfinished specs."""

    files: dict[str, str]
    documents: dict[str, str]
    entries: list[Entry]
    unfinished: list[Problem]


_COMPILED = TypeAdapter(Compiled)
_FILES = TypeAdapter(dict[str, str])


def build_package(folder: Path, name: str, cache: Cache) -> Package:
    """Compile a folder of specs to the package that is imported by `name`. Raises SpecsInvalid."""
    problems: list[Problem] = []
    gateway = read_file(folder / "gateway.yaml", Gateway, problems).value if name == ir.CORE else None
    catalogue = _read_catalogue(folder / CATALOGUE, problems) if name == ir.CORE else None
    cached, changed = _look_up(list_specs(folder, problems), name, cache)
    results = dict(zip(changed, _compile_all(changed, name), strict=True))
    slugs = {path: Slug(path, model.entry.slug, model.place) for path, model in cached.items()}
    slugs |= {path: result.slug for path, result in results.items() if result.slug is not None}
    problems += (problem for result in results.values() for problem in result.problems)
    problems += find_clashes(slugs[path] for path in sorted(slugs))

    fresh = {result.key: result.compiled for result in results.values() if result.compiled is not None}
    models = sorted([*cached.values(), *fresh.values()], key=lambda model: model.entry.slug)
    entries = [model.entry for model in models]
    shared = {} if problems else render.render_shared(name, entries, gateway, catalogue)
    shared_key = make_key(name.encode(), _FILES.dump_json(shared))
    shared_formatted = _parse(_FILES, cache.get(shared_key))
    is_shared_cached = shared_formatted is not None and shared_formatted.keys() == shared.keys()
    texts = _format(fresh.values(), {} if is_shared_cached else shared, name)
    # Valid specs are cached even if others are broken.
    for key, model in fresh.items():
        cache.put(key, _COMPILED.dump_json(model.with_texts(texts)))
    if problems:
        raise SpecsInvalid(problems)
    if not is_shared_cached or shared_formatted is None:
        shared_formatted = {file: texts[file] for file in shared}
        cache.put(shared_key, _FILES.dump_json(shared_formatted))
    cache.tidy()
    models = [model.with_texts(texts) for model in models]
    files = shared_formatted | {file: text for model in models for file, text in model.files.items()}
    documents = {file: text for model in models for file, text in model.document.items()}
    unfinished = [problem for model in models if (problem := model.unfinished_in(folder)) is not None]
    return Package(dict(sorted(files.items())), dict(sorted(documents.items())), entries, unfinished)


def _read_catalogue(path: Path, problems: list[Problem]) -> Catalogue | None:
    return read_file(path, Catalogue, problems).value if path.exists() else None


def _look_up(paths: list[Path], name: str, cache: Cache) -> tuple[dict[Path, Compiled], list[Path]]:
    """Return the specs that the cache has, and the paths of all others."""
    cached = {path: compiled for path in paths if (compiled := _get_cached(cache, path, name)) is not None}
    return cached, [path for path in paths if path not in cached]


def _get_cached(cache: Cache, path: Path, name: str) -> Compiled | None:
    try:
        content = read_bytes(path)
    except OSError:
        return None
    compiled = _parse(_COMPILED, cache.get(make_key(name.encode(), content)))
    return compiled if compiled is not None and compiled.is_of(path.stem) else None


def _parse(kind: TypeAdapter[T], value: bytes | None) -> T | None:
    try:
        return None if value is None else kind.validate_json(value)
    except ValidationError:
        return None


def _format(models: Iterable[Compiled], shared: dict[str, str], name: str) -> dict[str, str]:
    """Format all files in one run of ruff, whose start takes longer than formatting a file."""
    texts = dict(shared)
    for model in models:
        texts |= model.files | model.document
    return render.format_files(texts, name)


@dataclass(frozen=True)
class _Result:
    """A compiled spec before formatting, with its cache key; without files if the spec is invalid."""

    key: str
    slug: Slug | None
    problems: list[Problem]
    compiled: Compiled | None


def _compile_all(paths: list[Path], name: str) -> Iterator[_Result]:
    """Compile specs in the order of the paths, in several processes if there are many."""
    compile_one = partial(_compile, name)
    processes = os.cpu_count() or 1
    if len(paths) < PARALLEL or processes == 1:
        yield from map(compile_one, paths)
        return
    # Not fork, which is unsafe with threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(compile_one, paths, chunksize=10)


def _compile(name: str, path: Path) -> _Result:
    problems: list[Problem] = []
    file = read_file(path, Spec, problems)
    compiled = None
    if file.value is not None and file.slug is not None:
        module = ir.build_module(file.value, name)
        files, document = render.render_model(module), render.render_document(module)
        compiled = Compiled(module.entry, file.slug.place, _find_unfinished(file), files, document)
    return _Result(make_key(name.encode(), file.content), file.slug, problems, compiled)


def _find_unfinished(file: File[Spec]) -> Problem | None:
    """Return one problem about all placeholders of a spec."""
    spec = file.value
    if spec is None or any(entry.silence == "placeholder" for entry in spec.lint):
        return None
    placeholders = list(find_placeholders(spec))
    if not placeholders:
        return None
    at, message = placeholders[0]
    count = (
        f"; {len(placeholders)} in this spec, which `kling-codegen lint` lists" if placeholders[1:] else ""
    )
    problem = file.document.locate(file.path, at, replace(message, text=f"{message.text}{count}"))
    return replace(problem, level="warning", rule="placeholder")
