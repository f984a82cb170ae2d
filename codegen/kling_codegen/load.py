"""YAML files -> specs. Every problem of every file is reported at once, as `file:line:column: what`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kling_codegen import names
from kling_codegen.language import Closed, Gateway, Location, Spec

Model = TypeVar("Model", bound=Closed)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a file; line and column count from 1."""

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}"


class SpecsInvalid(Exception):
    """The specs cannot be used; `problems` says everything that is wrong with them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Specs:
    """A folder of specs: what all models share, if it is told there, and the models by slug."""

    gateway: Gateway | None
    models: tuple[Spec, ...]


def load(folder: Path, *, needs_gateway: bool = False) -> Specs:
    """Read every *.yaml of a folder, gateway.yaml too if it is there or needed. Raises SpecsInvalid."""
    problems: list[Problem] = []
    path = folder / "gateway.yaml"
    gateway = _read(path, Gateway, problems) if needs_gateway or path.exists() else None
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != "gateway.yaml")
    models = [_read(path, Spec, problems) for path in paths]
    good = [model for model in models if model is not None]
    problems += _clashes(good)
    if not paths:
        problems.append(Problem(str(folder), 1, 1, "there is no spec in this folder"))
    if problems:
        raise SpecsInvalid(problems)
    specs = sorted((model.value for model in good), key=lambda spec: spec.slug)
    return Specs(gateway.value if gateway else None, tuple(specs))


@dataclass(frozen=True)
class _Good(Generic[Model]):
    """A file without problems in itself."""

    path: Path
    document: _Document
    value: Model


def _read(path: Path, model: type[Model], problems: list[Problem]) -> _Good[Model] | None:
    """Read one file; add what is wrong with it to `problems` and return None in that case."""
    try:
        document = _Document(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        problems.append(Problem(str(path), 1, 1, f"cannot be read: {why}"))
        return None
    found = [(document.place(at), what) for at, what in document.problems]
    if not found:
        try:
            return _Good(path, document, model.model_validate(document.value))
        except ValidationError as error:
            found = [_explain(details, document) for details in error.errors(include_url=False)]
    problems.extend(Problem(str(path), line, column, what) for (line, column), what in found)
    return None


def _clashes(models: list[_Good[Spec]]) -> Iterator[Problem]:
    """Yield which specs cannot stand beside each other or cannot have the names their slugs give them."""
    owners: dict[tuple[str, str], Path] = {}
    for model in models:
        slug = model.value.slug
        called = {"slug": slug, "class": names.class_name(slug), "module": names.module_name(slug)}
        found = [f"the slug {slug} belongs into a file {slug}.yaml"] if slug != model.path.stem else []
        for what, name in called.items():
            owner = owners.setdefault((what, name), model.path)
            if owner != model.path:
                found.append(f"the {what} {name} is already that of {owner}")
            if what != "slug" and names.is_taken(name):
                found.append(f"the slug {slug} makes a {what} {name}, which has another meaning")
        line, column = model.document.place(("slug",))
        yield from (Problem(str(model.path), line, column, what) for what in found)


def _explain(details: Any, document: _Document) -> tuple[tuple[int, int], str]:
    """Return the place and the text of one pydantic error."""
    at: Location = details["loc"]
    name = at[-1] if at else "the file"
    match details["type"]:
        case "spec":
            what = details["msg"]
        case "value_error":
            what = str(details["ctx"]["error"])
        case "extra_forbidden":
            keys = {key for model in Closed.__subclasses__() for key in model.model_fields}
            close = difflib.get_close_matches(str(name), sorted(keys), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return document.place(at, key=True), f"unknown key {name}{hint}"
        case "missing":
            return document.place(at[:-1], key=True), f"{name} is missing"
        case "string_pattern_mismatch":
            what = f"{name}: {details['input']!r} does not match {details['ctx']['pattern']}"
        case "model_type" | "dict_type":
            what = f"{name} must be keys and values"
        case _:
            what = f"{name}: {details['msg'].replace('Input should', 'it should')}"
    return document.place(at), what


class _Document:
    """A YAML file as plain values, with the place of each: `place(loc)` for a location in pydantic's form."""

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[Location, str]] = []
        self.value: Any = None
        self._keys: dict[Location, tuple[int, int]] = {}
        self._values: dict[Location, tuple[int, int]] = {(): (1, 1)}
        self._seen: set[int] = set()
        # A parser for each file: a %YAML directive in one would change how the next is read.
        self._yaml: Any = YAML(typ="safe", pure=True)
        try:
            root = self._yaml.compose(text)
            if root is None:
                self.problems.append(((), "the file is empty"))
            else:
                self.value = self._plain(root, ())
        except YAMLError as error:
            self._note_yaml_error(error, ())

    def place(self, at: Location, *, key: bool = False) -> tuple[int, int]:
        """Return line and column of a value, or of its key; of what holds it if there is no such thing."""
        if key and at in self._keys:
            return self._keys[at]
        while at not in self._values:
            at = at[:-1]
        return self._values[at]

    def _plain(self, node: Any, at: Location) -> Any:
        self._values[at] = _place(node.start_mark)
        if id(node) in self._seen:
            self.problems.append((at, "anchors and aliases are not used in specs; write the value out"))
            return None
        self._seen.add(id(node))
        if node.id == "mapping":
            return dict(self._items(node, at))
        if node.id == "sequence":
            return [self._plain(item, (*at, index)) for index, item in enumerate(node.value)]
        try:
            return self._yaml.constructor.construct_object(node)
        except YAMLError as error:
            self._note_yaml_error(error, at)
            return None

    def _items(self, node: Any, at: Location) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            name = str(key.value)
            here = (*at, name)
            if not key.tag.endswith(":str"):
                self._values[here] = _place(key.start_mark)
                self.problems.append((here, f"the key {name} is not text; put it in quotes"))
            elif here in self._keys:
                # The place of the second, under a name no file can have.
                again = (*at, f"{name}\n{len(self._keys)}")
                self._values[again] = _place(key.start_mark)
                self.problems.append((again, f"{name} is there twice"))
            else:
                self._keys[here] = _place(key.start_mark)
                yield name, self._plain(value, here)

    def _note_yaml_error(self, error: Any, at: Location) -> None:
        if getattr(error, "problem_mark", None):
            self._values[at] = _place(error.problem_mark)
        self.problems.append((at, str(getattr(error, "problem", None) or error)))


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1
