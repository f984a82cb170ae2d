"""The reference of the Python API, from docstrings and signatures, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import griffe
from griffe import DocstringSectionKind as Kind

from docs.builder.navigation import ROOT

Object: TypeAlias = Any
"""A griffe.Object, or a griffe.Alias of one."""


@dataclass(frozen=True)
class ApiPage:
    """A page of the reference.

    Attributes:
        name: Its file name.
        title: Its title.
        summary: One sentence for the navigation.
        module: The module whose public names it has.
        sources: Prefixes of the modules in which the names are defined; empty for all.
        excludes: Prefixes of the modules whose names have another page.

    """

    name: str
    title: str
    summary: str
    module: str
    sources: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


_CLIENT = ("kling_adapters.client.",)
_ERRORS = (
    "kling_adapters.api_errors.",
    "kling_adapters.errors.",
    "kling_adapters.problems.",
    "kling_adapters._warnings.",
)
_MADE_BY_CLIENTS = ("Job", "AsyncJob", "Result", "AsyncResult")
API_PAGES = (
    ApiPage(
        "clients.md",
        "Clients, jobs and results",
        "`Kling`, `AsyncKling`, jobs and results, with every argument",
        "kling_adapters",
        _CLIENT,
    ),
    ApiPage(
        "data.md",
        "Data of jobs and models",
        "outcomes, entries, prices, the catalog and all other public names",
        "kling_adapters",
        excludes=(*_CLIENT, *_ERRORS),
    ),
    ApiPage(
        "exceptions.md",
        "Exceptions and warnings",
        "every error and warning, with its attributes",
        "kling_adapters",
        _ERRORS,
    ),
    ApiPage("events.md", "Events", "the events of a job", "kling_adapters.events"),
    ApiPage(
        "hooks.md",
        "Hooks",
        "every hook, and what the objects that hooks return must do",
        "kling_adapters.hookspecs",
    ),
    ApiPage(
        "testing.md",
        "Testing",
        "the gateway, the clock and the suites for tests of others",
        "kling_adapters.testing",
    ),
    ApiPage(
        "engine.md",
        "Engine",
        "the steps of a job, for an engine that keeps its state itself",
        "kling_adapters.engine",
    ),
    ApiPage(
        "compat.md",
        "Names of the official client",
        "the names of the official client, with the promises of this one",
        "kling_adapters.compat.segmind",
    ),
    ApiPage(
        "sandbox.md", "Sandbox in Python", "`Sandbox`, `Fault` and what a sandbox records", "kling_sandbox"
    ),
)


def describe_api() -> dict[str, str]:
    """Return the text of each page by its name."""
    modules = {
        name: griffe.load(name, search_paths=[folder], docstring_parser="google", resolve_aliases=True)
        for name, folder in (("kling_adapters", ROOT), ("kling_sandbox", ROOT / "plugins" / "sandbox"))
    }
    return {page.name: "\n".join(_describe_page(page, modules)) for page in API_PAGES}


def _describe_page(page: ApiPage, modules: dict[str, Object]) -> Iterator[str]:
    package, _, rest = page.module.partition(".")
    module = modules[package][rest] if rest else modules[package]
    yield from (f"# {page.title}", "", f"From the docstrings of `{page.module}`: {page.summary}.", "")
    names = (str(name).strip("'\"") for name in module.exports)
    # The blocking form first, because the other one refers to it.
    for name in sorted(names, key=lambda name: (name.startswith("Async"), name)):
        member = module[name]
        path = f"{member.canonical_path}"
        is_wanted = (
            path.startswith(page.sources) if page.sources else not path.startswith(page.excludes or "-")
        )
        if is_wanted and not name.startswith("__") and not member.is_module:
            yield from _describe(member, 2)


def _describe(member: Object, level: int) -> Iterator[str]:
    owner = f"{member.parent.name}." if member.parent is not None and member.parent.is_class else ""
    yield from (f"{'#' * level} `{owner}{member.name}`", "")
    if member.is_function:
        yield from ("```python", _signature(member), "```", "")
        yield from _describe_docstring(member)
    elif member.is_class:
        yield from _describe_class(member, level)
    else:
        if str(member.annotation) == "TypeAlias":
            yield from ("```python", f"{member.name} = {member.value}", "```", "")
        elif member.annotation is not None:
            yield from (f"Type: `{member.annotation}`", "")
        yield from _describe_docstring(member)


def _describe_class(cls: Object, level: int) -> Iterator[str]:
    bases = ", ".join(str(base) for base in cls.bases if not f"{base}".startswith("_"))
    lines = [f"class {cls.name}({bases})" if bases else f"class {cls.name}"]
    constructor = _find_constructor(cls)
    if constructor is not None and cls.name not in _MADE_BY_CLIENTS:
        lines.append(_signature(constructor).replace("def __init__", cls.name, 1).removesuffix(" -> None"))
    yield from ("```python", *lines, "```", "")
    yield from _describe_docstring(cls)
    if cls.name == "Kling" and constructor is not None:
        yield from _describe_docstring(constructor)
    for name, member in sorted(cls.all_members.items()):
        is_ours = member.canonical_path.startswith("kling_")
        is_attribute = member.is_attribute and "property" not in member.labels
        if is_ours and not is_attribute and not name.startswith("_"):
            # An inherited member is described under the name of the class that a reader knows.
            yield from _describe_member(cls, member, level + 1)


def _find_constructor(cls: Object) -> Object | None:
    """Return the constructor; griffe does not follow the generic bases of the clients."""
    if cls.name in ("Kling", "AsyncKling"):
        return cls.package["client.base.BaseClient.__init__"]
    return cls.all_members.get("__init__")


def _describe_member(cls: Object, member: Object, level: int) -> Iterator[str]:
    lines = list(_describe(member, level))
    yield f"{'#' * level} `{cls.name}.{member.name}`"
    yield from lines[1:]


def _signature(function: Object) -> str:
    words: list[str] = []
    is_keyword_only = False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind.value
        if kind == "keyword-only" and not is_keyword_only:
            is_keyword_only = True
            words.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {parameter.default}" if parameter.default is not None and not stars else ""
        words.append(f"{stars}{parameter.name}{annotation}{default}")
    prefix = "async def" if "async" in function.labels else "def"
    returns = f" -> {function.returns}" if function.returns is not None else ""
    line = f"{prefix} {function.name}({', '.join(words)}){returns}"
    return (
        line
        if len(line) <= 88
        else f"{prefix} {function.name}(\n    {(',' + chr(10) + '    ').join(words)},\n){returns}"
    )


def _describe_docstring(member: Object) -> Iterator[str]:
    if member.docstring is None:
        return
    section: Any
    for section in member.docstring.parse("google"):
        if section.kind is Kind.text:
            yield from (_escape(section.value), "")
        elif section.kind is Kind.examples:
            for kind, text in section.value:
                yield from (_escape(text), "") if kind is Kind.text else ("```python", text, "```", "")
        elif section.kind in (Kind.admonition, Kind.deprecated):
            yield from (_escape(section.value.description), "")
        else:
            yield from (f"**{section.kind.value.title()}**", "", *_list(section.value), "")


def _list(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        name = getattr(item, "name", None) or str(item.annotation)
        text = " ".join(_escape(item.description).split())
        yield f"- `{name}`: {text}"


def _escape(text: str) -> str:
    """Return the text of a docstring as Markdown: angle brackets outside code are text, not HTML."""
    parts = text.split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
