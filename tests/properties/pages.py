"""A documentation page for a spec, in the shape of the gateway's own; and what such a page can say.

`sayable` takes away from a spec what no page says, each thing with the reason. What is left is on the page that
`page` writes, in table rows or in sentences like those of real pages, and nowhere else.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .specs import Schema, Spec

# Tables, prices and latencies show plain decimals; a number of more digits could be several that are run together.
PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
# A parameter is one word. One that ends like the mark behind it could be another word with another mark.
NAME = re.compile(r"(?!.*(required|optional)$)[A-Za-z_]\w*")
URL = re.compile(r"(?<![a-z])urls?(?![a-z])", re.IGNORECASE)
# What stands as the default of these is a sample, not what the gateway takes for an unset parameter.
SAMPLES = re.compile(r"(^|_)(prompt|text)$")
TEXT = "A boat on the river."
SIZES = {
    "minLength": "At least {} characters.",
    "maxLength": "At most {} characters.",
    "minItems": "At least {} items.",
    "maxItems": "At most {} items.",
}
UNITS = {1024**3: "GB", 1024**2: "MB", 1024: "KB"}


def sayable(spec: Spec) -> Spec:
    """Return what a page can say of a spec. It has no parameters if a page can say none of them."""
    said: Spec = {key: copy.deepcopy(spec[key]) for key in ("slug", "returns", "latency_seconds", "input")}
    # The first line, which must not look like another part of the head.
    said["title"] = spec["title"] if re.fullmatch(r"[A-Z]\w+( \w+)*", spec["title"], re.ASCII) else "Random 7"
    # Other sections of a spec are ours: summary, source, discrepancies, silences, names of examples.
    if not _is_plain(spec["latency_seconds"]):
        said["latency_seconds"] = None
    price = spec.get("pricing")
    # Prices are in dollars.
    if price and price["currency"] == "USD" and _is_plain(price["from"]) and _is_plain(price["to"]):
        said["pricing"] = price
    _reduce(said["input"])
    known = said["input"]["properties"]
    given: Schema = next((example["input"] for example in spec.get("examples", ())), {})
    said["sent"] = _neutral({"properties": known}, given)
    rules = {_subject(rule): rule for each in reversed(spec.get("rules", [])) for rule in _rule(each, said)}
    # It would not be clear which of several lists a token means, and one size is all that is said of a file.
    said["rules"] = list(rules.values())
    return said


def _reduce(holder: Schema, *, inside: bool = False) -> None:
    """Take away what a table does not say of the properties of an object."""
    for name, schema in list(holder["properties"].items()):
        # Where objects in objects end is not marked in any way; the language has lists of lists, a page two levels.
        if not NAME.fullmatch(name) or not _is_flat(schema, inside=inside):
            del holder["properties"][name]
        else:
            holder["properties"][name] = _shown(name, schema, is_required=name in holder.get("required", ()))
    holder["required"] = [name for name in holder.get("required", ()) if name in holder["properties"]]


def _is_flat(schema: Schema, *, inside: bool) -> bool:
    inner, levels = _inner(schema)
    if "object" not in inner["type"]:
        return levels < 3
    parts = {"properties": copy.deepcopy(inner["properties"]), "required": inner.get("required", [])}
    _reduce(parts, inside=True)
    return levels < 3 and not inside and bool(parts["properties"])


def _inner(schema: Schema) -> tuple[Schema, int]:
    levels = 0
    while "items" in schema:
        schema, levels = schema["items"], levels + 1
    return schema, levels


def _shown(name: str, schema: Schema, *, is_required: bool) -> Schema:
    """Return what a table shows of one parameter; the order of keywords is that of no file."""
    inner, levels = _inner(schema)
    kind = inner["type"] if isinstance(inner["type"], str) else inner["type"][0]
    said: Schema = {"type": kind}
    if kind == "object":
        said |= {
            "properties": copy.deepcopy(inner["properties"]),
            "required": list(inner.get("required", ())),
        }
        _reduce(said, inside=True)
    # Of a text, the name tells that it is a URL; a page that says only string contradicts itself.
    if "format" in inner or (kind == "string" and URL.search(name)):
        said["format"] = "uri"
    for _ in range(levels):
        # Limits and choices of what is in a list are said nowhere.
        said = {"type": "array", "items": said}
    size = ("minLength", "maxLength") if "format" not in said and "enum" not in schema else ()
    said |= {key: schema[key] for key in (*size, "minItems", "maxItems") if key in schema}
    low, high = schema.get("minimum"), schema.get("maximum")
    # A range has two ends.
    if _is_plain(low) and _is_plain(high):
        said |= {"minimum": low, "maximum": high}
    choices = [value for value in schema.get("enum", ()) if value is not None]
    # Both of two are what any boolean is.
    if (
        choices
        and "format" not in said
        and (kind != "boolean" or len(choices) == 1)
        and all(map(_is_plain_or_text, choices))
    ):
        said["enum"] = choices
    default = schema.get("default", ...)
    if default is None and not is_required:
        # Null is shown as a default and nowhere else.
        said |= {"type": [said["type"], "null"], "default": None}
        if "enum" in said:
            said["enum"] = [*choices, None]
    # A prompt or a URL that stands as a default is a sample.
    is_sample = (SAMPLES.search(name) and "negative" not in name) or URL.search(name) or "format" in inner
    if default not in (..., None) and not is_sample and kind != "object" and _is_plain_or_text(default):
        said["default"] = default
    return said


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and bool(PLAIN_NUMBER.fullmatch(str(value)))


def _is_plain_or_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain_or_text, value))
    # A browser puts no-break spaces where a page has none, so nobody can tell.
    return "\u00a0" not in value if isinstance(value, str) else isinstance(value, bool) or _is_plain(value)


def _neutral(schema: Schema, value: Any) -> Any:
    """Return an example without texts of its own: in sentences, a page could name things that are no rules."""
    if isinstance(value, dict):
        return {
            name: _neutral(schema["properties"][name], part)
            for name, part in value.items()
            if name in schema["properties"]
        }
    if isinstance(value, list):
        return [_neutral(schema.get("items", {}), part) for part in value]
    if isinstance(value, str) and "enum" not in schema:
        return "https://example.com/image.png" if "format" in schema else TEXT
    return value


def _rule(rule: Schema, said: Spec) -> Iterator[Schema]:
    """Yield as much of a rule as sentences say in a way that can be read only as this."""
    properties = said["input"]["properties"]
    [(kind, says)] = rule.items()
    told = says if isinstance(says, list) else [says["field"]]
    if any("properties" in _inner(properties.get(name, {}))[0] for name in told):
        return  # what the description of objects names is taken for a part of them
    if kind in ("at_least_one_of", "mutually_exclusive"):
        # A group of what has a value anyway means something else than it says.
        plain = all(
            name in properties and properties[name]["type"] not in ("boolean", ["boolean", "null"])
            and properties[name].get("default") in (None, "", []) for name in says
        )  # fmt: skip
        sent = [name for name in says if said["sent"].get(name) not in (None, "", [])]
        if plain and (sent or kind == "mutually_exclusive") and (len(sent) < 2 or kind == "at_least_one_of"):
            yield {kind: list(says)}
    elif kind == "requires" and says["field"] in properties:
        present = sorted({*says.get("present", ())} & properties.keys() - {says["field"]})
        equals = {
            name: value for name, value in says.get("equals", {}).items() if _is_word(name, value, properties)
        }
        equals.pop(says["field"], None)
        present = [name for name in present if name not in equals]
        if present or equals:
            filled = {"present": present} if present else {}
            yield {kind: {"field": says["field"], **filled, **({"equals": equals} if equals else {})}}
    elif kind == "references":
        # Only these forms are told from other text, and what they name must be a text and a list.
        kinds = [properties.get(says[key], {}).get("type") for key in ("field", "list")]
        if re.fullmatch(r"@[A-Za-z_]+\{n\}|<<<[A-Za-z]+_\{n\}>>>", says["token"]) and kinds == [
            "string",
            "array",
        ]:
            yield rule
    elif kind == "max_bytes" and "format" in properties.get(says["field"], {}) and says["bytes"] % 1024 == 0:
        yield rule


def _is_word(name: str, value: Any, properties: Mapping[str, Schema]) -> bool:
    """Whether a sentence can ask for a value of a parameter: it is one of few, and a word unlike the others."""
    choices = [
        str(choice).casefold() for choice in properties.get(name, {}).get("enum", ()) if choice is not None
    ]
    word = str(value).casefold()
    is_word = (
        isinstance(value, str) and re.fullmatch(r"[a-z0-9]+", word, re.ASCII) and value not in properties
    )
    return bool(is_word) and choices.count(word) == 1


def _subject(rule: Schema) -> str:
    [(kind, says)] = rule.items()
    return (
        says["token"]
        if kind == "references"
        else f"{kind} {says['field'] if isinstance(says, dict) else says}"
    )


def facts(spec: Spec) -> dict[str, Any]:
    """Return what is compared: all but words, in an order of its own."""
    found: dict[str, Any] = {
        key: spec.get(key) for key in ("slug", "title", "returns", "latency_seconds", "pricing")
    }
    found |= {f"input.{path}": schema for path, schema in _facts(spec["input"], "")}
    for rule in spec.get("rules", ()):
        [(kind, says)] = rule.items()
        if isinstance(says, dict):
            says = {key: sorted(value) if isinstance(value, list) else value for key, value in says.items()}
        found[
            f"rule {kind} {json.dumps(sorted(says) if isinstance(says, list) else says, sort_keys=True)}"
        ] = True
    return found


def _facts(holder: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, schema in holder["properties"].items():
        at, levels = f"{path}{name}", 0
        inner = schema
        while "items" in inner:
            inner, levels = inner["items"], levels + 1
        own = {
            key: value
            for key, value in schema.items()
            if key not in ("items", "properties", "required", "description")
        }
        if "enum" in own:
            own["enum"] = sorted(map(repr, own["enum"]))
        yield (
            at,
            {
                **own,
                "is_required": name in holder.get("required", ()),
                "levels": levels,
                "of": inner["type"],
                "format": inner.get("format"),
            },
        )
        if "properties" in inner:
            yield from _facts(inner, f"{at}.")


def page(said: Spec, *, run_together: bool = False) -> str:
    """Return the page of what is sayable, in the layout with a line for each thing.

    `run_together`: allowed numbers stand without a space between them, as on most real pages.
    """
    slug, price = said["slug"], said.get("pricing")
    head = [f"{said['title']} Serverless API", "", "It draws what you like.", ""]
    if said["latency_seconds"] is not None:
        head.append(f"~{said['latency_seconds']}s")
    if price:
        ends = [f"${price[end]}" for end in ("from", "to")]
        head.append(f"{' - '.join(ends if price['from'] != price['to'] else ends[:1])} per {price['unit']}")
    head.append(f"POST /v2/{slug} · submit + poll")
    code = ["from segmind import SegmindClient", "", "client = SegmindClient()", "payload = {"]
    code += [f"    {name!r}: {value!r}," for name, value in said["sent"].items()]
    code += ["}", f'job = client.submit_async("{slug}", **payload)']
    rows = [line for row in _rows(said["input"], said, run_together=run_together) for line in row]
    return "\n".join([
        *head, *(f"{number:2}{line}" for number, line in enumerate(code, 1)), "",
        "API Endpoint", "", f"POSThttps://api.segmind.com/v1/{slug}", "", "Parameters", "", *rows,
        "", "Response Type", "", f"Returns: {said['returns'].capitalize()}", "", "Asynchronous requests (v2)", "",
        "Status states", "", "FAILED", "It went wrong", "", "Common Error Codes", "", "404", "",
    ])  # fmt: skip


def _rows(holder: Schema, said: Spec, *, run_together: bool, top: bool = True) -> Iterator[list[str]]:
    """Yield the rows of parameters in the order of a page: the required first, each part from A to Z."""
    required = holder.get("required", ())
    for name, schema in sorted(
        holder["properties"].items(), key=lambda each: (each[0] not in required, each[0])
    ):
        inner, levels = _inner(schema)
        kind = inner["type"] if isinstance(inner["type"], str) else inner["type"][0]
        shown = kind + "[]" * levels + (" (uri)" if "format" in inner and not levels else "")
        text = " ".join(_sentences(name, schema, inner, said if top else {}))
        lines = [f"{name}{'required' if name in required else 'optional'}", shown, "", text, ""]
        if "default" in schema:
            lines.append(f"Default: {json.dumps(schema['default'], ensure_ascii=False)}")
        if "minimum" in schema:
            end = f"Range: {schema['minimum']} - {schema['maximum']}"
            lines[-1] = f"{lines[-1]}{end}"
        choices = [
            json.dumps(value, ensure_ascii=False) for value in schema.get("enum", ()) if value is not None
        ]
        if choices and run_together:
            lines += ["Allowed values :", "".join(choices)]
        elif choices:
            lines += [f"Allowed values ({len(choices)} total):", *choices]
        yield lines
        if "properties" in inner:
            yield ["Array items:"]
            yield from _rows(inner, said, run_together=run_together, top=False)


def _sentences(name: str, schema: Schema, inner: Schema, said: Spec) -> Iterator[str]:
    """Yield what is said of a parameter in prose."""
    if "properties" in inner:
        yield f"Each has {', '.join(inner['properties'])}."
    elif "format" in inner and "items" in schema:
        yield "URLs of what it shows."
    else:
        yield "What it shows."
    yield from (words.format(schema[key]) for key, words in SIZES.items() if key in schema)
    for rule in said.get("rules", ()):
        [(kind, says)] = rule.items()
        match kind:
            case "at_least_one_of" if says[0] == name:
                yield f"At least one of {', '.join(says[:-1])} and {says[-1]} is required."
            case "mutually_exclusive" if says[0] == name:
                yield f"{', '.join(says[:-1])} and {says[-1]} are mutually exclusive."
            case "references" if name in (says["field"], says["list"]):
                yield f"Call them {says['token'].replace('{n}', '1')}."
            case "max_bytes" if says["field"] == name:
                unit = next(unit for unit in UNITS if says["bytes"] % unit == 0)
                yield f"Max {says['bytes'] // unit}{UNITS[unit]}."
            case "requires" if says["field"] == name:
                if "present" in says:
                    yield f"Requires {' and '.join(says['present'])}."
                yield from (
                    f"Requires {other} to be {value}." for other, value in says.get("equals", {}).items()
                )
            case _:
                pass
