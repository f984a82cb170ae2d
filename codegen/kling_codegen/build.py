"""A folder of specs -> every file of the package. What has not changed comes from the cache."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from kling_codegen import ir, language, load, names, render
from kling_codegen.cache import Cache, key
from kling_codegen.language import Gateway, Spec
from kling_codegen.load.reader import Place
from kling_codegen.report import Problem

T = TypeVar("T")

# Fewer specs are compiled before processes for them have started.
PARALLEL = 100


@dataclass(frozen=True)
class Compiled:
    """What a spec without problems gives: its files, by path, and what must be known of it beside them."""

    entry: ir.Entry
    place: Place
    files: dict[str, str]
    document: dict[str, str]

    def is_of(self, slug: str) -> bool:
        """Tell whether all names are those that `slug` gives, and no others: they become paths."""
        module = names.module_name(slug)
        return (
            re.fullmatch(language.SLUG, slug) is not None
            and (self.entry.slug, self.entry.module) == (slug, module)
            and self.files.keys() == {f"{module}.py", f"schemas/{slug}.json"}
            and self.document.keys() == {f"{slug}.md"}
        )


@dataclass(frozen=True)
class Package:
    """The files of a package of models, those of its documentation, and what can be said of each model."""

    files: dict[str, str]
    documents: dict[str, str]
    entries: list[ir.Entry]


_COMPILED = TypeAdapter(Compiled)
_FILES = TypeAdapter(dict[str, str])


def package(folder: Path, name: str, cache: Cache) -> Package:
    """Compile a folder of specs to the package that is imported by `name`. Raises SpecsInvalid."""
    problems: list[Problem] = []
    gateway = load.read(folder / "gateway.yaml", Gateway, problems).value if name == ir.CORE else None
    models: dict[Path, Compiled] = {}
    slugs: dict[Path, load.Slug | None] = {}
    changed: list[Path] = []
    for path in load.paths(folder, problems):
        slugs[path] = None
        if (known := _known(cache, path, name)) is None:
            changed.append(path)
        else:
            models[path], slugs[path] = known, load.Slug(path, known.entry.slug, known.place)
    fresh: dict[Path, str] = {}
    for path, result in zip(changed, _results(changed, name), strict=True):
        slugs[path] = result.slug
        problems += result.problems
        if result.compiled is not None:
            models[path], fresh[path] = result.compiled, result.key
    problems += load.clashes(slugs.values())

    entries = sorted((model.entry for model in models.values()), key=lambda entry: entry.slug)
    shared = {} if problems else render.shared(name, entries, gateway)
    shared_key = key(name.encode(), _FILES.dump_json(shared))
    known_shared = _parsed(_FILES, cache.get(shared_key))
    if known_shared is not None and known_shared.keys() != shared.keys():
        known_shared = None
    # One run of ruff for all: starting it takes longer than formatting a file.
    texts = dict(shared) if known_shared is None else {}
    for path in fresh:
        texts |= models[path].files | models[path].document
    texts = render.formatted(texts, name)
    # What is good is kept although other specs are broken.
    for path, its_key in fresh.items():
        model = models[path]
        models[path] = replace(model, files=_of(model.files, texts), document=_of(model.document, texts))
        cache.put(its_key, _COMPILED.dump_json(models[path]))
    if problems:
        raise load.SpecsInvalid(problems)
    if known_shared is None:
        known_shared = _of(shared, texts)
        cache.put(shared_key, _FILES.dump_json(known_shared))
    cache.tidy()
    files = known_shared | {file: text for model in models.values() for file, text in model.files.items()}
    documents = {file: text for model in models.values() for file, text in model.document.items()}
    return Package(dict(sorted(files.items())), dict(sorted(documents.items())), entries)


def _of(files: dict[str, str], texts: dict[str, str]) -> dict[str, str]:
    return {file: texts[file] for file in files}


def _known(cache: Cache, path: Path, name: str) -> Compiled | None:
    try:
        content = load.content(path)
    except OSError:
        return None
    known = _parsed(_COMPILED, cache.get(key(name.encode(), content)))
    return known if known is not None and known.is_of(path.stem) else None


def _parsed(kind: TypeAdapter[T], value: bytes | None) -> T | None:
    try:
        return None if value is None else kind.validate_json(value)
    except ValidationError:
        return None


@dataclass(frozen=True)
class _Result:
    """What became of a spec: `key` is that of the content that was read, `compiled` is not yet formatted."""

    key: str
    slug: load.Slug | None
    problems: list[Problem]
    compiled: Compiled | None


def _results(paths: list[Path], name: str) -> Iterator[_Result]:
    """Compile specs, in processes if there are many; the order is that of the paths."""
    compile_one = partial(_compile, name)
    processes = os.cpu_count() or 1
    if len(paths) < PARALLEL or processes == 1:
        yield from map(compile_one, paths)
        return
    # Not fork: it is not safe where there are threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(compile_one, paths, chunksize=10)


def _compile(name: str, path: Path) -> _Result:
    problems: list[Problem] = []
    file = load.read(path, Spec, problems)
    compiled = None
    if file.value is not None and file.slug is not None:
        module = ir.build(file.value, name)
        compiled = Compiled(module.entry, file.slug.place, render.model(module), render.document(module))
    return _Result(key(name.encode(), file.content), file.slug, problems, compiled)
