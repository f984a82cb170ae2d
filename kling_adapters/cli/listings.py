"""`kling show` and `kling plugins`. No key is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kling_adapters._text import format_number
from kling_adapters.cli.model_facts import describe_entry, describe_listed, read_list
from kling_adapters.cli.models import format_cost, format_time
from kling_adapters.cli.options import as_json
from kling_adapters.cli.output import print_json, print_line, print_table
from kling_adapters.schema.packaged import iter_parameters

if TYPE_CHECKING:
    from kling_adapters.cli.model_facts import ModelFacts
    from kling_adapters.plugins.selection import PluginInfo
    from kling_adapters.schema.catalog import CatalogEntry
    from kling_adapters.schema.facts import Retirement
    from kling_adapters.schema.listed import ListedModel


@click.command()
@click.argument("slug")
@as_json
def show(slug: str, as_json: bool) -> None:
    """Show the parameters and rules of a model, or what is known of one without a spec."""
    from kling_adapters.plugins.manager import load_catalog

    catalog, listed = load_catalog(), read_list().get(slug)
    if slug not in catalog and listed is not None:
        _show_listed(describe_listed(listed), as_json=as_json)
        return
    entry = catalog.find(slug)
    schema = entry.json_schema()
    if as_json:
        print_json(schema)
        return
    _print_head(entry, schema, listed)
    _print_parameters(schema)
    _print_about(schema)
    if schema.get("examples") and not entry.retired:
        values = schema["examples"][0].items()
        arguments = " ".join(_format_argument(name, value) for name, value in values)
        print_line(f"\nTry it without an account:\n  kling run --sandbox {slug} {arguments}")


def _print_head(entry: CatalogEntry, schema: Mapping[str, Any], listed: ListedModel | None) -> None:
    """Print the facts of a model as a whole."""
    about = schema["x-kling"]
    print_line(f"{entry.slug} — {schema['description']}")
    if entry.retired:
        print_line(_describe_retirement(entry.retired))
    facts = [f"returns {entry.returns}", f"usual time {_format_latency(entry.latency)}"]
    facts += [_format_price(about["pricing"])] if "pricing" in about else []
    facts += [f"package {entry.package}", f"from {about['source']['page']}"]
    print_line("; ".join(facts))
    print_line(f"{_describe_use(describe_entry(entry, schema, listed))}\n")
    if unseen := about["source"].get("unseen"):
        print_line(
            f"No stored copy shows all of its documentation. Unseen: {unseen}. A parameter that is not listed here is "
            "accepted with a warning, and sent without a check.\n"
        )


def _print_about(schema: Mapping[str, Any]) -> None:
    """Print the rules and the contradictions of the documentation."""
    about = schema["x-kling"]
    if about["rules"]:
        print_line("\nRules:")
        for rule in about["rules"]:
            print_line(f"  {rule.get('text') or json.dumps(rule)}")
    if about["discrepancies"]:
        print_line("\nContradictions of the documentation:")
        rows = [tuple(map(str, row.values())) for row in about["discrepancies"]]
        print_table(("about", "the page", "decision"), rows, divided=True)


def _describe_retirement(retired: Retirement) -> str:
    advice = f"; use {retired.use}" if retired.use else ""
    return f"Retired since {retired.since}{advice}. No job can be submitted; earlier jobs can still be collected."


def _describe_use(model: ModelFacts) -> str:
    """Return a sentence about the media that a model takes, its longest duration and its average cost."""
    facts = [
        f"takes {kind} ({', '.join(paths)})" if paths else f"takes {kind}"
        for kind, paths in model.takes.items()
    ] or ["takes no media" if model.spec == "whole" else "takes no media that is known"]
    if model.longest_duration is not None:
        facts.append(f"longest duration {format_number(model.longest_duration)} s")
    if model.average_cost is not None:
        facts.append(f"average cost {format_cost(model.average_cost)} on the gateway's list")
    if model.latency is None and model.average_latency is not None and model.spec != "no spec":
        facts.append(f"average time {format_number(round(model.average_latency))} s there")
    return "; ".join(facts)


def _show_listed(model: ModelFacts, *, as_json: bool) -> None:
    """Print what the gateway's list has of a model without a spec, and how to run it."""
    from kling_adapters.models._listed import READ

    if as_json:
        print_json(asdict(model))
        return
    print_line(f"{model.slug} — {model.summary or model.title}")
    print_line(
        f"returns {model.returns or 'unknown'}; usual time {format_time(model)}; {_describe_use(model)}; "
        f"from the gateway's list of {READ}\n"
    )
    print_line(
        "It has no spec here, so its parameters are not known and are not checked. Its page should be\n"
        f"  https://www.segmind.com/models/{model.slug}/api\n\n"
        "Submit a job with the parameters of the page:\n"
        f"  kling submit-raw {model.slug} NAME=VALUE ...\n\n"
        "Add a spec, from a copy of the page as text:\n"
        f"  kling-codegen draft PAGE.txt -o specs/{model.slug}.yaml"
    )


def _print_parameters(schema: Mapping[str, Any]) -> None:
    rows = [
        (
            name,
            _format_type(declared),
            _format_limits(declared),
            _format_default(declared, required=required),
            _format_description(declared),
        )
        for name, declared, required in iter_parameters(schema)
    ]
    print_table(("parameter", "type", "allowed", "default", "description"), rows, divided=True)


@click.command()
@as_json
def plugins(as_json: bool) -> None:
    """List the installed plugins."""
    from kling_adapters.plugins.manager import Plugins

    infos = Plugins().infos
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
    print_table(("plugin", "from", "state", "hooks or problem"), rows)


def _format_latency(latency: float | None) -> str:
    return "not documented" if latency is None else f"{latency:.0f} s"


def _format_price(pricing: Mapping[str, Any]) -> str:
    figures = dict.fromkeys(format_number(pricing[end]) for end in ("from", "to"))
    about = "about " if pricing.get("approximate") else ""
    drivers = f", by {', '.join(pricing['depends_on'])}" if "depends_on" in pricing else ""
    return f"price {about}{' to '.join(figures)} {pricing['currency']} per {pricing['unit']}{drivers}"


def _format_type(declared: Mapping[str, Any]) -> str:
    types = [declared["type"]] if isinstance(declared["type"], str) else list(map(str, declared["type"]))
    if "items" in declared:
        types[types.index("array")] = f"list of {_format_type(declared['items'])}"
    elif declared.get("format") == "uri":
        media = declared.get("x-kling", {}).get("media")
        types[0] = f"{media} (URL or file)" if media else "URL or file"
    return " or ".join(sorted(types, key="null".__eq__))


def _format_limits(declared: Mapping[str, Any]) -> str:
    limits = [", ".join(map(_format_value, declared["enum"]))] if "enum" in declared else []
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in declared and high in declared:
            limits.append(f"{declared[low]} to {declared[high]}{unit}")
        elif low in declared:
            limits.append(f"at least {declared[low]}{unit}")
        elif high in declared:
            limits.append(f"at most {declared[high]}{unit}")
    if "items" in declared and (item_limits := _format_limits(declared["items"])):
        limits.append(f"each {item_limits.removeprefix('each ')}")
    return "; ".join(limits)


def _format_default(declared: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    return json.dumps(declared["default"], ensure_ascii=False) if "default" in declared else ""


def _format_description(declared: Mapping[str, Any]) -> str:
    texts = [declared["description"]] if "description" in declared else []
    if old_names := declared.get("x-kling", {}).get("renamed_from"):
        texts.append(f"Formerly {', '.join(old_names)}.")
    if deprecation := declared.get("x-kling", {}).get("deprecated"):
        advice = f"; use {deprecation['use']}" if "use" in deprecation else ""
        texts.append(f"Deprecated since {deprecation['since']}{advice}.")
    return " ".join(texts)


def _format_argument(name: str, value: Any) -> str:
    import shlex

    text = _format_value(value)
    # Text that starts with one @ would name a file.
    return shlex.quote(f"{name}={'@' if text.startswith('@') else ''}{text}")


def _format_value(value: Any) -> str:
    """Return a value in the form of `name=value`."""
    return value if isinstance(value, str) else json.dumps(value)
