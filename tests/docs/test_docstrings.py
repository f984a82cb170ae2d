"""Docstrings of the public API: Google style, complete, and without warnings from griffe's parser."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import griffe
import pytest

MODULES = ("kling_adapters", "kling_adapters.engine", "kling_adapters.hookspecs", "kling_adapters.testing")
ROOT = Path(__file__).parents[2]
SOURCES = ("kling_adapters", "plugins", "codegen", "benchmarks")
# Clients make these; an application never calls the constructor.
MADE_BY_CLIENTS = {"Job", "AsyncJob"}
FOREIGN_OPENING = re.compile(r"(What|Whether|How|Who(ever)?)\b")
REFERENCE = re.compile(r"(See|As for) `?[\w.]+`?( and `\w+`)?[.;]")
Object: TypeAlias = Any
"""A griffe.Object, or a griffe.Alias of one."""


@pytest.fixture(scope="module")
def package() -> Object:
    return griffe.load("kling_adapters", docstring_parser="google", resolve_aliases=True)


@pytest.mark.parametrize("module", MODULES)
def test_public_docstrings_are_complete(package: Object, module: str) -> None:
    members = package[module.removeprefix("kling_adapters.")] if "." in module else package
    assert list(find_problems(members)) == []


def test_docstrings_open_with_a_noun_or_an_imperative() -> None:
    paths = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = {path: _find_texts(path) for path in paths if ".venv" not in path.parts}
    assert len(texts) > 200
    assert [f"{path}: {text}" for path in texts for text in texts[path] if FOREIGN_OPENING.match(text)] == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("def f() -> None: ...", "m.f: docstring is missing"),
        ('def f() -> None:\n    """What it does."""', 'm.f: docstring opens with "What"'),
        ('def f(a: int) -> None:\n    """Do."""', "m.f: Args lacks a"),
        ('def f() -> int:\n    """Do."""', "m.f: Returns is missing"),
        ('class C:\n    """A."""\n    def __init__(self, a: int) -> None: ...', "m.C: Args lacks a"),
        (
            'def f() -> None:\n    """Do.\n\n    Args:\n        b: B.\n    """',
            "m.f: No type or annotation for parameter 'b'",
        ),
    ],
)
def test_incomplete_docstrings_are_problems(code: str, problem: str) -> None:
    with griffe.temporary_visited_module(code, module_name="m") as module:
        assert next(find_problems(module)) == problem


def find_problems(module: Object) -> Iterator[str]:
    """Yield the problems with the docstrings of the public members of a module."""
    names = [str(name).strip("'\"") for name in module.exports or ()] or [
        name for name, member in module.members.items() if not name.startswith("_") and not member.is_alias
    ]
    for name in names:
        if not name.startswith("__"):
            yield from _check(module[name])


def _find_texts(path: Path) -> list[str]:
    """Return the docstrings of a file, also those of attributes."""
    return [
        node.value.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def _check(member: Object) -> Iterator[str]:
    if member.is_module:
        yield from find_problems(member)
    elif member.is_function:
        yield from _check_function(member)
    elif member.is_class:
        yield from _check_docstring(member)
        yield from _check_constructor(member)
        for name, inner in member.all_members.items():
            if not name.startswith("_") and inner.canonical_path.startswith(("kling_adapters.", "m.")):
                yield from _check(inner)
    elif "property" in member.labels or not (member.parent and member.parent.is_class):
        # The section Attributes of a class documents its other attributes.
        yield from _check_docstring(member)


def _check_docstring(member: Object) -> Iterator[str]:
    text = member.docstring.value if member.docstring else ""
    if not text.strip():
        yield f"{member.path}: docstring is missing"
    elif opening := FOREIGN_OPENING.match(text):
        yield f'{member.path}: docstring opens with "{opening[0]}"'
    elif member.docstring is not None:
        yield from (f"{member.path}: {warning}" for warning in _parse(member.docstring)[1])


def _check_function(function: Object) -> Iterator[str]:
    problems = list(_check_docstring(function))
    yield from problems
    if problems or function.docstring is None or REFERENCE.search(function.docstring.value):
        return
    sections = {section.kind: section.value for section in _parse(function.docstring)[0]}
    yield from _check_parameters(function, function, _names(sections, griffe.DocstringSectionKind.parameters))
    kinds = {griffe.DocstringSectionKind.returns, griffe.DocstringSectionKind.yields}
    if str(function.returns) not in ("None", "NoReturn") and not kinds & sections.keys():
        yield f"{function.path}: Returns is missing"


def _check_constructor(cls: Object) -> Iterator[str]:
    constructor = cls.all_members.get("__init__")
    if constructor is None or cls.name in MADE_BY_CLIENTS:
        return
    names: set[str] = set()
    for docstring in (constructor.docstring, cls.docstring, *(base.docstring for base in _class(cls).mro())):
        sections = {section.kind: section.value for section in _parse(docstring)[0]} if docstring else {}
        names |= _names(sections, griffe.DocstringSectionKind.parameters)
        names |= _names(sections, griffe.DocstringSectionKind.attributes)
    yield from _check_parameters(cls, constructor, names)


def _class(cls: Object) -> Object:
    return cls.final_target if isinstance(cls, griffe.Alias) else cls


def _names(sections: Mapping[Any, Any], kind: griffe.DocstringSectionKind) -> set[str]:
    return {item.name.lstrip("*") for item in sections.get(kind, ())}


def _check_parameters(member: Object, function: Object, documented: set[str]) -> Iterator[str]:
    missing = [
        parameter.name
        for parameter in function.parameters
        if parameter.name not in ("self", "cls", *documented) and not parameter.name.startswith("_")
    ]
    if missing:
        yield f"{member.path}: Args lacks {', '.join(missing)}"


def _parse(docstring: griffe.Docstring) -> tuple[list[Any], list[str]]:
    """Return the sections of a docstring, and the warnings of the parser without their place."""
    handler = _Messages()
    logger = logging.getLogger("griffe")
    logger.addHandler(handler)
    try:
        return docstring.parse("google"), handler.texts
    finally:
        logger.removeHandler(handler)


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage().partition(": ")[2])
