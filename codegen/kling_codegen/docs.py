"""The content of the documentation page of a model, as Markdown for the template."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import MISSING

from kling_codegen import language, names
from kling_codegen.inputs import format_longest_duration, list_media
from kling_codegen.keywords import RANGES
from kling_codegen.messages import escape_unprintable, format_number
from kling_codegen.rules.paths import find_item
from kling_codegen.rules.rule import iter_conditions
from kling_codegen.schema import Schema

# Arguments of `submit` and `run` themselves; a parameter with such a name can only be set in an object.
CALL_ARGUMENTS = frozenset({"extra", "save_to", "tag", "timeout", "unchecked"})

# Characters that are markup in the middle of a sentence; the underscore of image_url is not.
_MARKUP = re.compile(r"[\\`*<\[\]|~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|^[#>+=-]")
_LIST = re.compile(r"^(\d{1,9})([.)])(?= |$)")
_URL_ENDS = frozenset("<>()[]|\"'`\\ ")

_CLIENT = "from kling_adapters import Kling"
_SHELL_WIDTH = 100


@dataclass(frozen=True)
class Example:
    """An input of the spec as a call in Python, with the imports it needs, and as a command."""

    title: str
    imports: tuple[str, ...]
    call: str
    command: str
    fence: str


@dataclass(frozen=True)
class Page:
    """The texts of a page, as Markdown; tuples of tuples are rows of tables."""

    slug: str
    title: str
    summary: str
    retired: str
    returns: str
    usual: str
    price: str
    needs: str
    takes: str
    parameters: tuple[tuple[str, ...], ...]
    rules: tuple[str, ...]
    examples: tuple[Example, ...]
    discrepancies: tuple[tuple[str, ...], ...]
    source: str
    read: str
    unseen: str


def build_page(spec: language.Spec, class_name: str, package: str, *, by_slug: bool) -> Page:
    """Return the page of a model of `package`; `by_slug` if the clients have typed calls for its slug."""
    as_object = _ObjectCall(package, class_name, names.field_names(spec.input.properties))
    return Page(
        slug=spec.slug,
        title=prose(spec.title),
        summary=prose(spec.summary),
        retired="" if spec.retired is MISSING else prose(spec.retired.text()),
        returns=spec.returns,
        usual="not documented" if spec.latency_seconds is None else f"{spec.latency_seconds:.0f} s",
        price=_format_price(spec.pricing) if spec.pricing is not MISSING else "",
        needs=", ".join(map(code, spec.input.required)),
        takes=_describe_inputs(spec.input.properties),
        parameters=tuple(_parameter_rows(spec.input.as_schema(), "")),
        rules=tuple(prose(condition.text()) for _, condition in iter_conditions(spec.rules)),
        # A retired model runs no example.
        examples=tuple(
            _build_example(example, spec.slug, as_object, by_slug=by_slug)
            for example in (spec.examples if spec.retired is MISSING else ())
        ),
        discrepancies=tuple(
            (prose(entry.about), prose(entry.page), prose(entry.decision)) for entry in spec.discrepancies
        ),
        source=address(spec.source.page),
        read=spec.source.read.isoformat(),
        unseen="" if spec.source.unseen is MISSING else prose(spec.source.unseen),
    )


@dataclass(frozen=True)
class _ObjectCall:
    """The class of a model, for a call that passes an object of it."""

    package: str
    class_name: str
    field_names: Mapping[str, str]

    @property
    def imports(self) -> str:
        return f"from {self.package} import {self.class_name}"

    def format(self, parameters: Mapping[str, Any]) -> str:
        return f"{self.class_name}({_format_arguments(parameters, self.field_names)})"


def _build_example(example: language.Example, slug: str, as_object: _ObjectCall, *, by_slug: bool) -> Example:
    command = _format_command(slug, example.input)
    wires = {wire: wire for wire in example.input}
    if by_slug and all(names.can_be_argument(wire) and wire not in CALL_ARGUMENTS for wire in wires):
        imports, call = [_CLIENT], f"{slug!r}, {_format_arguments(example.input, wires)}"
    else:
        imports, call = sorted([_CLIENT, as_object.imports]), as_object.format(example.input)
    title = prose(example.name[:1].upper() + example.name[1:])
    return Example(title, tuple(imports), call, command, make_fence(command, 3))


def _format_arguments(parameters: Mapping[str, Any], field_names: Mapping[str, str]) -> str:
    return "".join(f"{field_names[wire]}={value!r}, " for wire, value in parameters.items())


def prose(text: str) -> str:
    """Return text as Markdown that shows it, on one line."""
    line = _MARKUP.sub(r"\\\g<0>", escape_unprintable(" ".join(text.split())))
    return _LIST.sub(r"\1\\\2", line)


def code(value: Any) -> str:
    """Return a value as Markdown code that may stand in a table: text as it is, anything else as JSON."""
    plain = isinstance(value, str) and value and value == " ".join(value.split())
    text = escape_unprintable(value if plain else json.dumps(value, ensure_ascii=False))
    if "\\|" in text:
        # Markdown readers disagree on which of the two escapes the other.
        return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in text)}</code>"
    ticks = make_fence(text, 1)
    space = " " if "`" in text else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|")


def address(url: str) -> str:
    """Return a URL with escapes for characters that would end it in `<...>`, in `(...)` or in a table."""
    return "".join(quote(c) if c in _URL_ENDS or not c.isprintable() else c for c in url)


def make_fence(text: str, least: int) -> str:
    """Return a fence with more backticks than any run in a text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _parameter_rows(schema: Schema, prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield the row of each parameter, those of an object after it."""
    assert schema.properties is not MISSING
    for name, part in schema.properties.items():
        keywords, path = part.keywords(), prefix + name
        default = code(keywords["default"]) if "default" in keywords else ""
        required = name in (schema.required if schema.required is not MISSING else ())
        yield (
            code(path),
            _describe_type(part),
            _describe_limits(part),
            "required" if required else default,
            _describe_effect(part),
        )
        inner, item_path = find_item(part, path)
        if inner.properties is not MISSING:
            yield from _parameter_rows(inner, f"{item_path}.")


def _describe_effect(schema: Schema) -> str:
    """Return the description of a parameter, its old names, and whether it is deprecated."""
    texts = [] if schema.description is MISSING else [prose(schema.description)]
    if schema.renamed_from is not MISSING:
        texts.append(f"Formerly {', '.join(map(code, schema.renamed_from))}.")
    if schema.deprecated is not MISSING:
        texts.append(prose(schema.deprecated.text()))
    return " ".join(texts)


def _describe_inputs(properties: Mapping[str, Schema]) -> str:
    media = (f"{kind} ({', '.join(map(code, paths))})" for kind, paths in list_media(properties).items())
    longest = format_longest_duration(properties)
    return f"{'; '.join(media) or 'no media'}{f'; longest duration {longest}' if longest else ''}"


def _describe_type(schema: Schema) -> str:
    kind = "URL or file" if schema.format is not MISSING else schema.kind
    kind = kind if schema.media is MISSING else f"{schema.media} ({kind})"
    name = kind if schema.items is MISSING else f"list of {_describe_type(schema.items)}"
    name += "" if schema.other_form is MISSING else f" or {_describe_type(schema.other_form)}"
    return f"{name} or null" if schema.nullable else name


def _describe_limits(schema: Schema) -> str:
    keywords = schema.list_form.keywords()
    limits = [", ".join(map(code, keywords["enum"]))] if "enum" in keywords else []
    for (low, high), unit in zip(RANGES, ("", " characters", " items"), strict=True):
        match [(key, format_number(keywords[key])) for key in (low, high) if key in keywords]:
            case []:
                continue
            case [(key, limit)]:
                words = f"at {'least' if key == low else 'most'} {limit}"
            case ends:
                words = " to ".join(limit for _, limit in ends)
        limits.append(words + unit)
    items = schema.list_form.items
    if items is not MISSING and (item_limits := _describe_limits(items)):
        limits.append(f"each {item_limits.removeprefix('each ')}")
    return "; ".join(limits)


def _format_price(pricing: language.Pricing) -> str:
    low, high = format_number(pricing.low), format_number(pricing.high)
    about = "" if pricing.approximate is MISSING else "about "
    drivers = "" if pricing.depends_on is MISSING else f", by {', '.join(map(code, pricing.depends_on))}"
    return (
        f"{about}{low if low == high else f'{low} to {high}'} {pricing.currency} per {pricing.unit}{drivers}"
    )


def _format_command(slug: str, parameters: Mapping[str, Any]) -> str:
    words = [
        f"kling run --sandbox {slug}",
        *(_format_word(name, value) for name, value in parameters.items()),
    ]
    line = " ".join(words)
    return line if len(line) <= _SHELL_WIDTH and "\n" not in line else " \\\n    ".join(words)


def _format_word(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # To the command, a text that starts with a single @ names a file.
    escaped = f"@{text}" if text.startswith("@") else text
    return f"{_quote_word(name)}={_quote_word(escaped)}"


def _quote_word(text: str) -> str:
    """Return a quoted word for a shell, with unprintable characters as escapes of bash and zsh."""
    if all(character.isprintable() or character in "\n\t" for character in text):
        return shlex.quote(text)
    escaped = text.replace("\\", r"\\").replace("'", r"\'").replace("\n", r"\n")
    return f"$'{escape_unprintable(escaped)}'"
