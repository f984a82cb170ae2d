"""YAML files -> specs. Every problem of every file is reported at once, with its place."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from kling_codegen import language, messages, names
from kling_codegen.closed import Closed, ClosedT
from kling_codegen.language import Gateway, Spec
from kling_codegen.load.reader import Node, Place, Unreadable, compose
from kling_codegen.messages import Location, Message, closest, dotted, number, shown, wrong_kind
from kling_codegen.report import Problem
from kling_codegen.schema import Schema

Model = TypeVar("Model", bound=Closed)
# The largest spec of a real model has 12,000 bytes.
MOST_BYTES = 1 << 20


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


@dataclass(frozen=True)
class File(Generic[Model]):
    """A file that was read: its text with the place of everything, and what it says if nothing is wrong."""

    path: Path
    content: bytes
    document: Document
    value: Model | None

    @property
    def slug(self) -> Slug | None:
        """The slug and where it is, even if something else is wrong."""
        slug = self.document.keys().get("slug")
        known = isinstance(slug, str) and re.fullmatch(language.SLUG, slug)
        return Slug(self.path, str(slug), self.document.place(("slug",))) if known else None


@dataclass(frozen=True)
class Slug:
    """What a spec calls its model, and where."""

    path: Path
    slug: str
    place: Place


def load(folder: Path, *, needs_gateway: bool = False) -> Specs:
    """Read every *.yaml of a folder, gateway.yaml too if it is there or needed. Raises SpecsInvalid."""
    gateway, models = files(folder, needs_gateway=needs_gateway)
    good = [model.value for model in models if model.value is not None]
    return Specs(gateway.value if gateway else None, tuple(sorted(good, key=lambda spec: spec.slug)))


def files(folder: Path, *, needs_gateway: bool = False) -> tuple[File[Gateway] | None, list[File[Spec]]]:
    """Read the same as `load`, with the place of everything; every `value` is there. Raises SpecsInvalid."""
    problems: list[Problem] = []
    path = folder / "gateway.yaml"
    gateway = read(path, Gateway, problems) if needs_gateway or path.exists() else None
    models = [read(path, Spec, problems) for path in paths(folder, problems)]
    problems += clashes(model.slug for model in models)
    if problems:
        raise SpecsInvalid(problems)
    return gateway, models


def paths(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return the specs of a folder, and add to `problems` what looks like one or is missing."""
    problems += [
        Problem(str(path), 1, 1, "the name of a spec ends in .yaml", meant=f"{path.stem}.yaml")
        for path in folder.glob("*.yml")
    ]
    found = sorted(path for path in folder.glob("*.yaml") if path.name != "gateway.yaml")
    if not found:
        problems.append(Problem(str(folder), 1, 1, "there is no spec in this folder"))
    return found


def read(path: Path, model: type[Model], problems: list[Problem]) -> File[Model]:
    """Read one file, and add what is wrong with it to `problems`."""
    data, text, unreadable = b"", "", ""
    try:
        data = content(path)
        text = TextIOWrapper(BytesIO(data), encoding="utf-8").read()
    except UnicodeDecodeError:
        unreadable = "is not UTF-8 text"
    except OSError as error:
        unreadable = f"cannot be read: {error.strerror}"
    if unreadable:
        problems.append(Problem(str(path), 1, 1, unreadable))
        return File(path, data, Document("{}"), None)
    document = Document(text)
    value = document.validated(model)
    problems += (document.problem(path, at, what) for at, what in document.problems)
    return File(path, data, document, None if document.problems else value)


def content(path: Path) -> bytes:
    """Return the bytes of a plain file of a reasonable size. Raises OSError."""
    # A pipe would be waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "it is not a plain file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes")
    return data


def clashes(slugs: Iterable[Slug | None]) -> Iterator[Problem]:
    """Yield which specs cannot stand beside each other or cannot have the names their slugs give them."""
    owners: dict[tuple[str, str], Path] = {}
    for each in slugs:
        if each is None:
            continue
        slug = each.slug
        called = {"slug": slug, "class": names.class_name(slug), "module": names.module_name(slug)}
        found: list[Message] = []
        if slug != each.path.stem:
            found.append(Message(f"the slug {slug} belongs into a file {slug}.yaml", "", each.path.stem))
        for what, name in called.items():
            owner = owners.setdefault((what, name), each.path)
            if owner != each.path:
                found.append(Message(f"the {what} {name} is already that of {owner}"))
            if what == "slug" and owner != each.path:
                break
            if what != "slug" and names.is_taken(name):
                taken = f"the slug {slug} makes a {what} {name}, which Python or the generated code calls something else"
                found.append(Message(taken))
        for message in found:
            yield Problem(str(each.path), *each.place, message.what, "slug", message.allowed, message.meant)


class Document:
    """A YAML file as plain values, with the place of each: `place(loc)` for a location in pydantic's form.

    It reads YAML 1.2, and takes offence at what YAML 1.1, which many readers still are, takes for something else.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[Location, Message]] = []
        self.value: Any = None
        self._keys: dict[Location, Place] = {}
        self._values: dict[Location, Place] = {(): (1, 1)}
        self._noted: set[tuple[Location, Message]] = set()
        # What is said of a place already, so that what follows from it is not said again.
        self._spoilt: set[Location] = set()
        # What another reader takes for something else, and where a problem says so already.
        self._ambiguous: dict[Location, Message] = {}
        self._merged: set[Location] = set()
        # Where each mapping is, by identity: a validator is handed its value, but not its location.
        self._mappings: dict[int, Location] = {}
        try:
            root = compose(text)
        except Unreadable as error:
            self._values[()] = error.place
            self.problems.append(((), error.message))
        else:
            if root is None:
                self.problems.append(((), Message("the file is empty")))
            else:
                self.value = self._plain(root, ())

    def keys(self) -> Mapping[str, Any]:
        """Return the whole as keys and values; none if it is something else."""
        value: Any = self.value
        return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}

    def place(self, at: Location, *, key: bool = False) -> Place:
        """Return line and column of a value, or of its key."""
        return self._keys[at] if key and at in self._keys else self._values[at]

    def problem(self, path: Path, at: Location, what: Message) -> Problem:
        """Return a message as a problem of this document, which is the file `path`."""
        line, column = self.place(at, key=what.key)
        where = dotted(at).split("\n")[0]
        return Problem(str(path), line, column, what.what, where, what.allowed, what.meant)

    def validated(self, model: type[Model]) -> Model | None:
        """Return the document as a model, or note everything that is wrong and return None."""
        value: Model | None = None
        if self.value is not None:
            try:
                value = model.model_validate(self.value)
            except ValidationError as error:
                if self.keys():
                    with contextlib.suppress(ValidationError):
                        model.model_validate(self.value, context=self)
                else:
                    self.note(self.value, _explained(model, {}, error))
                if not self.problems and not self._ambiguous:  # pragma: no cover
                    raise  # a check of the language raised what it should not: the model must not just vanish
        self.problems += ((at, what) for at, what in self._ambiguous.items() if at not in self._merged)
        return None if self.problems else value

    def note(self, data: Any, problems: Iterable[messages.Problem]) -> None:
        """See closed.Report."""
        start = self._mappings.get(id(data), ())
        for rest, what in problems:
            at = (*start, *rest)
            if (old := self._ambiguous.get(at)) and not what.key:
                what = replace(what, what=f"{what.what} ({old.what})")  # noqa: PLW2901
                self._merged.add(at)
            # Parts are validated again when the whole is wrong.
            if (at, what) not in self._noted and not self._spoilt & {at[:end] for end in range(len(at) + 1)}:
                self._noted.add((at, what))
                self.problems.append((at, what))

    def salvage(self, model: type[ClosedT], data: Any, error: ValidationError) -> ClosedT:
        """See closed.Report."""
        if not isinstance(data, dict):
            raise error
        given = cast("dict[str, Any]", data)
        self.note(data, _explained(model, given, error))
        bad = {details["loc"][:2] for details in error.errors(include_url=False)}
        values: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            key = field.alias or name
            if key not in given:
                continue
            if key == "properties" and isinstance(given[key], dict) and given[key]:
                # One that is wrong must not take the others with it.
                values[name] = {
                    each: Schema.model_construct() if (key, each) in bad else self._again(Schema, part)
                    for each, part in given[key].items()
                }
            elif key == "items" and ("items",) in bad:
                values[name] = Schema.model_construct()
            elif key not in {at[0] for at in bad if at}:
                values[name] = self._again(_annotation(model, name), given[key])
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        if (required if model.essential is None else model.essential) - values.keys():
            raise PydanticCustomError("noted", "noted")
        return model.model_construct(**values)

    def _again(self, annotation: Any, value: Any) -> Any:
        return _adapter(annotation).validate_python(value, strict=True, context=self)

    def _plain(self, node: Node, at: Location) -> Any:
        self._values[at] = node.place
        if node.refusal:
            self._refuse(at, node.refusal)
            if node.kind in ("scalar", "alias"):
                return None
        if node.kind == "scalar":
            return self._scalar(node, at)
        if node.kind == "sequence":
            return [self._plain(item, (*at, index)) for index, item in enumerate(node.children)]
        value = dict(self._items(node, at))
        self._mappings[id(value)] = at
        return value

    def _items(self, node: Node, at: Location) -> Iterator[tuple[str, Any]]:
        for key, value in zip(node.children[::2], node.children[1::2], strict=True):
            name = key.text if key.kind == "scalar" else "that is a list or has keys"
            here = (*at, name)
            again = here in self._keys
            if again:
                # The place of the second, under a name no file can have.
                here = (*at, f"{name}\n{len(self._keys)}")
            self._keys[here] = key.place
            if again:
                line = self._keys[*at, name][0]
                self._refuse(here, f"{name} is there twice; the first is in line {line}", key=True)
            elif key.refusal:
                self._refuse(here, key.refusal, key=True)
            elif key.kind != "scalar" or key.type != "str":
                self._refuse(here, f"the key {name} is not text; put it in quotes", key=True)
            elif what := key.ambiguity:
                self.problems.append((here, replace(what, what=f"the key {what.what}", key=True)))
            read = self._plain(value, here)
            if not again:
                yield name, read

    def _scalar(self, node: Node, at: Location) -> Any:
        if at != ("source", "read") and (what := node.ambiguity):
            self._ambiguous[at] = what
        return node.value

    def _refuse(self, at: Location, what: str, *, key: bool = False) -> None:
        self.problems.append((at, Message(what, key=key)))
        self._spoilt.add(at)


@cache
def _annotation(model: type[Closed], name: str) -> Any:
    return model.model_fields[name].rebuild_annotation()


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _explained(
    model: type[Closed], data: Mapping[str, Any], error: ValidationError
) -> Iterator[messages.Problem]:
    """Say each pydantic error in our own words, but for those that were noted further down."""
    for details in error.errors(include_url=False):
        at, given, context = details["loc"], details["input"], details.get("ctx", {})
        match details["type"]:
            case "noted":
                pass
            case "missing":
                yield at[:-1], Message(f"{at[-1]} is missing", key=True)
            case "extra_forbidden":
                fitting = [key for key in model.keys(data) if key not in data]
                known = _SYNONYMS.get(str(at[-1]), "")
                meant = closest(at[-1], fitting) or (known if known in fitting else "")
                yield at, Message(f"unknown key {at[-1]}", ", ".join(fitting), meant, key=True)
            case "value_error":
                yield at, context["error"].message
            case "literal_error":
                allowed = re.findall("'(.*?)'", context["expected"])
                what = f"{shown(given)} is not allowed"
                yield at, Message(what, ", ".join(allowed), closest(given, allowed))
            case kind if at[-1:] == ("[key]",):
                yield at[:-1], replace(_misshapen(kind, given, context), key=True)
            case kind:
                yield at, _misshapen(kind, given, context)


_SYNONYMS = {
    "allowed": "enum",
    "choices": "enum",
    "const": "enum",
    "desc": "description",
    "max": "maximum",
    "min": "minimum",
    "nullable": "type",
    "oneOf": "enum",
    "options": "enum",
    "values": "enum",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "bool_type": "boolean",
}


def _misshapen(kind: str, given: Any, context: Mapping[str, Any]) -> Message:
    """Say that a value is not of the type, the length or the form that its key asks for."""
    if kind in _KINDS:
        return wrong_kind(_KINDS[kind], given)
    what, allowed, meant = f"{shown(given)} is not allowed", "", ""
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        allowed = f"{words} {number(context[key])}"
    match kind:
        case "model_type" | "dict_type":
            what = f"{shown(given)} is not keys and values"
        case "finite_number":
            allowed = "a finite number"
        case "list_type":
            what = f"{shown(given)} is not a list"
        case "too_short":
            what, allowed = f"{shown(given)} is too short", f"at least {context['min_length']}"
        case "string_too_long":
            what, allowed = f"{shown(given)} has {len(given)} characters", f"at most {context['max_length']}"
        case "string_pattern_mismatch":
            allowed, meant = language.PATTERNS[context["pattern"]], _slug(given, context["pattern"])
        case _:
            pass
    return Message(what, allowed, meant)


def _slug(given: str, pattern: str) -> str:
    """Return what was meant by a slug that is none."""
    slug = re.sub("[^a-z0-9.]+", "-", given.lower()).strip("-.")
    return slug if pattern == language.SLUG and re.fullmatch(pattern, slug) else ""
