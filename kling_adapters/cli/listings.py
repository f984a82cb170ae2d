"""`kling models`, `kling show` and `kling plugins`: what there is. No key is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from kling_adapters._text import format_number
from kling_adapters.cli.options import as_json
from kling_adapters.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from kling_adapters.plugins.selection import PluginInfo


@click.command()
@as_json
def models(as_json: bool) -> None:
    """List the models that can be run."""
    from kling_adapters.plugins.manager import load_catalog

    entries = load_catalog().values()
    if as_json:
        keys = ("slug", "title", "returns", "latency")
        print_json([{key: getattr(entry, key) for key in keys} for entry in entries])
        return
    rows = [(entry.slug, entry.title, entry.returns, _seconds(entry.latency)) for entry in entries]
    print_table(("slug", "title", "returns", "usual time"), rows)


@click.command()
@click.argument("slug")
@as_json
def show(slug: str, as_json: bool) -> None:
    """Show the parameters and rules of a model."""
    from kling_adapters.plugins.manager import load_catalog

    entry = load_catalog().find(slug)
    schema = entry.json_schema()
    if as_json:
        print_json(schema)
        return
    about = schema["x-kling"]
    print_line(f"{entry.slug} — {schema['description']}")
    facts = [f"returns {entry.returns}", f"usual time {_seconds(entry.latency)}"]
    facts += [_price(about["pricing"])] if "pricing" in about else []
    facts += [f"from {about['source']['page']}"]
    print_line("; ".join(facts) + "\n")
    rows = [
        (name, _type(given), _limits(given), _default(given, required=required), given.get("description", ""))
        for name, given, required in _parameters(schema, "")
    ]
    print_table(("parameter", "type", "allowed", "default", "what it is"), rows, divided=True)
    if about["rules"]:
        print_line("\nRules:")
        for rule in about["rules"]:
            print_line(f"  {_rule(rule)}")
    if about["discrepancies"]:
        print_line("\nWhere the documentation contradicts itself:")
        print_table(
            ("about", "the page", "decision"),
            [tuple(map(str, row.values())) for row in about["discrepancies"]],
            divided=True,
        )
    if schema.get("examples"):
        words = " ".join(_word(name, value) for name, value in schema["examples"][0].items())
        print_line(f"\nTry it without an account:\n  kling run --sandbox {slug} {words}")


@click.command()
@as_json
def plugins(as_json: bool) -> None:
    """List the installed plugins."""
    from dataclasses import asdict

    from kling_adapters.plugins.manager import Plugins

    infos = Plugins().found
    if as_json:
        print_json([asdict(info) for info in infos])
    else:
        print_plugins(infos)


def print_plugins(infos: Sequence[PluginInfo]) -> None:
    """Print a table of plugins."""
    rows = [
        (
            info.name,
            info.distribution or "",
            info.state,
            info.reason or ", ".join(hook.removeprefix("kling_") for hook in info.hooks),
        )
        for info in infos
    ]
    print_table(("plugin", "from", "state", "hooks, or why it is not used"), rows)


def _seconds(latency: float | None) -> str:
    return "not documented" if latency is None else f"{latency:.0f} s"


def _parameters(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield every parameter with its path, those within objects and lists after the one they belong to."""
    for name, given in schema["properties"].items():
        yield prefix + name, given, name in schema.get("required", ())
        inner, path = given, prefix + name
        while "items" in inner:
            inner, path = inner["items"], f"{path}[]"
        if "properties" in inner:
            yield from _parameters(inner, f"{path}.")


def _price(pricing: Mapping[str, Any]) -> str:
    figures = dict.fromkeys(format_number(pricing[end]) for end in ("from", "to"))
    return f"price {' to '.join(figures)} {pricing['currency']} per {pricing['unit']}"


def _type(given: Mapping[str, Any]) -> str:
    types = [given["type"]] if isinstance(given["type"], str) else list(map(str, given["type"]))
    if "items" in given:
        types[0] = f"list of {_type(given['items'])}"
    elif given.get("format") == "uri":
        types[0] = "URL or file"
    return " or ".join(types)


def _limits(given: Mapping[str, Any]) -> str:
    found = [", ".join(map(_text, given["enum"]))] if "enum" in given else []
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in given and high in given:
            found.append(f"{given[low]} to {given[high]}{unit}")
        elif low in given:
            found.append(f"at least {given[low]}{unit}")
        elif high in given:
            found.append(f"at most {given[high]}{unit}")
    if "items" in given and (each := _limits(given["items"])):
        found.append(f"each {each.removeprefix('each ')}")
    return "; ".join(found)


def _default(given: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    return json.dumps(given["default"], ensure_ascii=False) if "default" in given else ""


def _rule(rule: Mapping[str, Any]) -> str:
    [(kind, given)] = rule.items()
    match kind:
        case "requires":
            needs = [
                *given.get("present", ()),
                *(f"{name}={_text(value)}" for name, value in given.get("equals", {}).items()),
            ]
            return f"{given['field']} needs {' and '.join(needs)}"
        case "references":
            return f"{given['token'].replace('{n}', 'N')} in {given['field']} names item N of {given['list']}"
        case "at_least_one_of":
            return f"at least one of {', '.join(given)} is needed"
        case "mutually_exclusive":
            return f"only one of {', '.join(given)} can be given"
        case "max_bytes":
            size = given["bytes"]
            shown = f"{size >> 20} MiB" if size % (1 << 20) == 0 else f"{size} bytes"
            return f"{given['field']}: at most {shown}"
        case _:
            return json.dumps(rule)


def _word(name: str, value: Any) -> str:
    import shlex

    text = _text(value)
    # read_values takes a text with one @ for the name of a file.
    return shlex.quote(f"{name}={'@' if text.startswith('@') else ''}{text}")


def _text(value: Any) -> str:
    """Return a value as `name=value` takes it."""
    return value if isinstance(value, str) else json.dumps(value)
