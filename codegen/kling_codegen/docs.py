"""What the documentation page of a model says: a spec in words, as Markdown that the template only lays out."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import MISSING

from kling_codegen import language, names, rules
from kling_codegen.messages import number, printable
from kling_codegen.schema import RANGES, Schema

# Arguments of `submit` and `run` themselves; a parameter called so can only be given in an object.
CALL_ARGUMENTS = frozenset({"extra", "save_to", "timeout"})

# What would be markup in the middle of a sentence; a name such as image_url is none.
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
    """All but the names is Markdown; the rows are those of tables."""

    slug: str
    title: str
    summary: str
    returns: str
    usual: str
    price: str
    needs: str
    parameters: tuple[tuple[str, ...], ...]
    rules: tuple[str, ...]
    examples: tuple[Example, ...]
    discrepancies: tuple[tuple[str, ...], ...]
    source: str
    read: str


def page(spec: language.Spec, class_name: str, package: str, *, by_slug: bool) -> Page:
    """Say everything about a model of `package`; `by_slug` if the clients have typed calls for its slug."""
    called = names.field_names(spec.input.properties)

    def example(given: language.Example) -> Example:
        typed = by_slug and all(
            names.can_be_argument(wire) and wire not in CALL_ARGUMENTS for wire in given.input
        )
        arguments = "".join(
            f"{wire if typed else called[wire]}={value!r}, " for wire, value in given.input.items()
        )
        command = _command(spec.slug, given.input)
        return Example(
            title=prose(given.name[:1].upper() + given.name[1:]),
            imports=tuple(sorted([_CLIENT] if typed else [_CLIENT, f"from {package} import {class_name}"])),
            call=f"{spec.slug!r}, {arguments}" if typed else f"{class_name}({arguments})",
            command=command,
            fence=_fence(command, 3),
        )

    return Page(
        slug=spec.slug,
        title=prose(spec.title),
        summary=prose(spec.summary),
        returns=spec.returns,
        usual="not documented" if spec.latency_seconds is None else f"{spec.latency_seconds:.0f} s",
        price=_price(spec.pricing) if spec.pricing is not MISSING else "",
        needs=", ".join(map(code, spec.input.required)),
        parameters=tuple(_parameters(spec.input.as_schema(), "")),
        rules=tuple(_rule(rule) for rule in spec.rules),
        examples=tuple(map(example, spec.examples)),
        discrepancies=tuple(
            (prose(found.about), prose(found.page), prose(found.decision)) for found in spec.discrepancies
        ),
        source=address(spec.source.page),
        read=spec.source.read.isoformat(),
    )


def prose(text: str) -> str:
    """Return text as Markdown that shows it, on one line."""
    line = _MARKUP.sub(r"\\\g<0>", printable(" ".join(text.split())))
    return _LIST.sub(r"\1\\\2", line)


def code(value: Any) -> str:
    """Return a value as Markdown code that may stand in a table: text as it is, anything else as JSON."""
    plain = isinstance(value, str) and value and value == " ".join(value.split())
    text = printable(value if plain else json.dumps(value, ensure_ascii=False))
    if "\\|" in text:
        # Readers of tables do not agree on which of the two escapes the other.
        return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in text)}</code>"
    fence = _fence(text, 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def address(url: str) -> str:
    """Return a URL that ends where it ends, in `<...>`, in `(...)` and in a table."""
    return "".join(quote(c) if c in _URL_ENDS or not c.isprintable() else c for c in url)


def _fence(text: str, least: int) -> str:
    """Return more backticks than stand together in a text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _parameters(schema: Schema, prefix: str) -> Iterator[tuple[str, ...]]:
    """Yield the row of each parameter, those of an object after it."""
    assert schema.properties is not MISSING
    for name, part in schema.properties.items():
        given, path = part.given(), prefix + name
        default = code(given["default"]) if "default" in given else ""
        required = name in (schema.required if schema.required is not MISSING else ())
        yield (
            code(path),
            _type(part),
            _allowed(part),
            "required" if required else default,
            prose(given.get("description", "")),
        )
        inner = part
        while inner.items is not MISSING:
            inner, path = inner.items, f"{path}[]"
        if inner.properties is not MISSING:
            yield from _parameters(inner, f"{path}.")


def _type(schema: Schema) -> str:
    kind = "URL or file" if schema.format is not MISSING else schema.kind
    name = kind if schema.items is MISSING else f"list of {_type(schema.items)}"
    return f"{name} or null" if schema.nullable else name


def _allowed(schema: Schema) -> str:
    given = schema.given()
    found = [", ".join(map(code, given["enum"]))] if "enum" in given else []
    for (low, high), unit in zip(RANGES, ("", " characters", " items"), strict=True):
        match [(key, number(given[key])) for key in (low, high) if key in given]:
            case []:
                continue
            case [(key, limit)]:
                words = f"at {'least' if key == low else 'most'} {limit}"
            case ends:
                words = " to ".join(limit for _, limit in ends)
        found.append(words + unit)
    if schema.items is not MISSING and (each := _allowed(schema.items)):
        found.append(f"each {each.removeprefix('each ')}")
    return "; ".join(found)


def _rule(rule: rules.Rule) -> str:
    condition = rule.condition()
    assert condition is not None
    match condition[1]:
        case rules.AtLeastOneOf(root=group):
            return f"At least one of {_listed(group)} is given."
        case rules.MutuallyExclusive(root=group):
            return f"At most one of {_listed(group)} is given."
        case rules.Requires(field=field, present=present, equals=equals):
            wanted = [f"{code(name)} to be given" for name in present]
            wanted += [f"{code(name)} to be {code(value)}" for name, value in equals.items()]
            return f"{code(field)} needs {' and '.join(wanted)}."
        case rules.References(field=field, token=token, list=items):
            first, second = (code(token.replace("{n}", number)) for number in "12")
            return f"{first} in {code(field)} names the first item of {code(items)}, {second} the second, and so on."
        case rules.MaxBytes(field=field, bytes=size):
            whole = f" ({size >> 20} MiB)" if size % (1 << 20) == 0 else ""
            return f"A local file given for {code(field)} has at most {size} bytes{whole}."


def _price(pricing: language.Pricing) -> str:
    low, high = number(pricing.low), number(pricing.high)
    return f"{low if low == high else f'{low} to {high}'} {pricing.currency} per {pricing.unit}"


def _listed(names: list[str]) -> str:
    return ", ".join(map(code, names))


def _command(slug: str, given: Mapping[str, Any]) -> str:
    words = [f"kling run --sandbox {slug}", *(_word(name, value) for name, value in given.items())]
    line = " ".join(words)
    return line if len(line) <= _SHELL_WIDTH and "\n" not in line else " \\\n    ".join(words)


def _word(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # To the command, a text that starts with one @ names a file.
    escaped = f"@{text}" if text.startswith("@") else text
    return f"{_quoted(name)}={_quoted(escaped)}"


def _quoted(text: str) -> str:
    """Return a word of a shell; one that has more than line ends and printable text with escapes of bash and zsh."""
    if all(character.isprintable() or character in "\n\t" for character in text):
        return shlex.quote(text)
    escaped = text.replace("\\", r"\\").replace("'", r"\'").replace("\n", r"\n")
    return f"$'{printable(escaped)}'"
