"""A documentation page for a spec, in the shape of the gateway's own; and what such a page can say.

`reduce_to_page` removes from a spec everything that no page states, with the reasons. `page` writes the remainder in
table rows or in sentences like those of real pages.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .prose_rules import LIMITS
from .spec_rules import nested_paths
from .spec_schemas import Schema
from .specs import Spec

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
LIST_WORDS = {"array": "list", "string": "str"}
ENDS = {"minimum": "least", "maximum": "most"}
CONSEQUENCES = {
    "allowed": "{} must be {}",
    "minimum": "{} must be at least {}",
    "maximum": "{} must be at most {}",
    "min_length": "{} must have at least {} characters",
    "max_length": "{} must have at most {} characters",
    "min_items": "{} must have at least {} items",
    "max_items": "{} must have at most {} items",
    "required": "{} must be set",
    "forbidden": "{} must not be set",
}
UNITS = {1024**3: "GB", 1024**2: "MB", 1024: "KB"}


def reduce_to_page(spec: Spec) -> Spec:
    """Return the part of a spec that a page can state; it may have no parameters."""
    content: Spec = {key: copy.deepcopy(spec[key]) for key in ("slug", "returns", "latency_seconds", "input")}
    # The first line, which must not look like another part of the head.
    content["title"] = (
        spec["title"] if re.fullmatch(r"[A-Z]\w+( \w+)*", spec["title"], re.ASCII) else "Random 7"
    )
    # Other sections of a spec are ours: summary, source, discrepancies, silences, names of examples.
    if not _is_plain(spec["latency_seconds"]):
        content["latency_seconds"] = None
    price = spec.get("pricing")
    # Prices are in dollars.
    if price and price["currency"] == "USD" and _is_plain(price["from"]) and _is_plain(price["to"]):
        content["pricing"] = price
    _reduce(content["input"])
    properties = content["input"]["properties"]
    example: Schema = next((example["input"] for example in spec.get("examples", ())), {})
    content["sent"] = _neutral({"properties": properties}, example)
    rules = {
        _subject(rule): rule for item in reversed(spec.get("rules", [])) for rule in _rule(item, content)
    }
    # It would not be clear which of several lists a token means, and one size is all that is said of a file.
    content["rules"] = list(rules.values())
    return content


def _reduce(holder: Schema, *, inside: bool = False) -> None:
    """Remove from the properties of an object everything that a table does not state."""
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
    content: Schema = {"type": kind}
    if kind == "object":
        content |= {
            "properties": copy.deepcopy(inner["properties"]),
            "required": list(inner.get("required", ())),
        }
        _reduce(content, inside=True)
    # Of a text, the name tells that it is a URL; a page that says only string contradicts itself.
    if "format" in inner or (kind == "string" and URL.search(name)):
        content["format"] = "uri"
    for _ in range(levels):
        # Limits and choices of what is in a list are said nowhere.
        content = {"type": "array", "items": content}
    size = ("minLength", "maxLength") if "format" not in content and "enum" not in schema else ()
    content |= {key: schema[key] for key in (*size, "minItems", "maxItems") if key in schema}
    low, high = schema.get("minimum"), schema.get("maximum")
    # A range has two ends.
    if _is_plain(low) and _is_plain(high):
        content |= {"minimum": low, "maximum": high}
    choices = [value for value in schema.get("enum", ()) if value is not None]
    # Both of two are what any boolean is.
    if (
        choices
        and "format" not in content
        and (kind != "boolean" or len(choices) == 1)
        and all(map(_is_plain_or_text, choices))
    ):
        content["enum"] = choices
    if (form := schema.get("or")) and _is_listed(form):
        content["or"] = {"type": "array", "items": _without_texts(form["items"])}
    default = schema.get("default", ...)
    if default is None and not is_required:
        # Null is shown as a default and nowhere else.
        content |= {"type": [content["type"], "null"], "default": None}
        if "enum" in content:
            content["enum"] = [*choices, None]
    # A prompt or a URL that stands as a default is a sample.
    is_sample = (SAMPLES.search(name) and "negative" not in name) or URL.search(name) or "format" in inner
    if default not in (..., None) and not is_sample and kind != "object" and _is_plain_or_text(default):
        content["default"] = default
    return content


def _is_listed(form: Schema) -> bool:
    """Return whether a sentence can state a list: objects of texts and lists of texts, whose names say URL or not."""
    members = form["items"].get("properties", {}) if form.keys() == {"type", "items"} else {}
    texts = {name: member.get("items", member) for name, member in members.items()}
    return bool(texts) and all(
        text["type"] == "string" and text.keys() - {"type", "description", "media"} == ({"format"} if URL.search(name) else set())
        and members[name].keys() <= {"type", "format", "description", "items", "media"} and re.fullmatch(r"[A-Za-z_]\w{0,60}", name, re.ASCII)
        for name, text in texts.items()
    )  # fmt: skip


def _without_texts(schema: Schema) -> Schema:
    return {
        key: {name: _without_texts(member) for name, member in part.items()} if key == "properties"
        else _without_texts(part) if key == "items" else part
        for key, part in schema.items() if key not in ("description", "media")
    }  # fmt: skip


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and bool(PLAIN_NUMBER.fullmatch(str(value)))


def _is_plain_or_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain_or_text, value))
    # A browser puts no-break spaces where a page has none, so the two are indistinguishable.
    return "\u00a0" not in value if isinstance(value, str) else isinstance(value, bool) or _is_plain(value)


def _neutral(schema: Schema, value: Any) -> Any:
    """Return an example without texts of its own: in sentences, a page could seem to state rules."""
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


def _rule(rule: Schema, content: Spec) -> Iterator[Schema]:
    """Yield the part of a rule that sentences can state unambiguously."""
    properties = content["input"]["properties"]
    [(kind, rule_content)] = rule.items()
    fields = rule_content if isinstance(rule_content, list) else [rule_content.get("field", "")]
    if any("properties" in _inner(properties.get(name, {}))[0] for name in fields):
        return  # a name in the description of objects is read as a part of them
    if kind in ("at_least_one_of", "mutually_exclusive", "exactly_one_of"):
        # A group with a parameter that always has a value would mean something else.
        plain = all(
            name in properties and properties[name]["type"] not in ("boolean", ["boolean", "null"])
            and properties[name].get("default") in (None, "", []) for name in rule_content
        )  # fmt: skip
        sent = [name for name in rule_content if content["sent"].get(name) not in (None, "", [])]
        if plain and (sent or kind == "mutually_exclusive") and (len(sent) < 2 or kind == "at_least_one_of"):
            yield {kind: list(rule_content)}
    elif kind == "requires" and rule_content["field"] in properties:
        present = sorted({*rule_content.get("present", ())} & properties.keys() - {rule_content["field"]})
        equals = {
            name: value
            for name, value in rule_content.get("equals", {}).items()
            if _is_word(name, value, properties)
        }
        equals.pop(rule_content["field"], None)
        present = [name for name in present if name not in equals]
        if present or equals:
            filled = {"present": present} if present else {}
            yield {kind: {"field": rule_content["field"], **filled, **({"equals": equals} if equals else {})}}
    elif kind == "references":
        # Only these forms are recognised in other text, and they must name a text and a list.
        kinds = [_kind(properties.get(rule_content[key], {})) for key in ("field", "list")]
        if re.fullmatch(
            r"@[A-Za-z_]+\{n\}|<<<[A-Za-z]+_\{n\}>>>|\([A-Za-z]{3,}\{n\}\)", rule_content["token"]
        ) and kinds == [
            "string",
            "array",
        ]:
            yield rule
    elif kind == "when" and _is_statable(rule_content, properties):
        yield {kind: _without_single_choices(rule_content)}
    elif (kind == "sum" and _is_statable_sum(rule_content, properties)) or (
        kind == "max_bytes"
        and "format" in dict(nested_paths(properties)).get(rule_content["field"], {})
        and rule_content["bytes"] % 1024 == 0
    ):
        yield rule


def _kind(schema: Schema) -> str:
    """Return the type without null; array for a text that may be a list."""
    kind = schema.get("type", "")
    return "array" if "or" in schema else kind if isinstance(kind, str) else kind[0]


def _is_statable(rule: Schema, properties: Schema) -> bool:
    """Return whether a sentence in the description of its first parameter can state a rule `when`."""
    schemas = dict(nested_paths(properties))
    equals, then = rule.get("equals", {}), rule["then"]
    paths = [*equals, *rule.get("present", ()), *(path for affected in then.values() for path in affected)]
    if not all(path in schemas for path in paths):
        return False
    home = paths[0]
    neighbours = {
        path.rpartition(".")[2] for path in schemas if path.rpartition(".")[0] == home.rpartition(".")[0]
    }
    # Within an item, a name is that of a neighbour first; in a list or an object, it is a part of that.
    if "items" in schemas[home] or "properties" in schemas[home]:
        return False
    if "." in home and any("." not in path and path in neighbours for path in paths):
        return False
    values = [(path, value) for path, choices in equals.items() for value in _listed(choices)]
    values += [(path, value) for path, choices in then.get("allowed", {}).items() for value in choices]
    numbers = [limit for key in LIMITS for limit in then.get(key, {}).values()]
    limited = [path for key in LIMITS for path in then.get(key, {})]
    kinds_kept = not any("format" in schemas[path] for path in limited)
    return (
        kinds_kept
        and all(map(_is_plain, numbers))
        and all(_is_written(schemas[path], value) for path, value in values)
    )


def _listed(choices: Any) -> list[Any]:
    return choices if isinstance(choices, list) else [choices]


def _is_written(schema: Schema, value: Any) -> bool:
    """Return whether a sentence can name a value: a word among few, a number, true or false."""
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if "enum" in schema:
        word = str(value)
        spellings = [str(choice).casefold() for choice in schema["enum"]]
        is_word = re.fullmatch(r"[A-Za-z]+", word) and word not in ("or", "and", "set", "null", "None")
        return (
            bool(is_word or _is_plain(value))
            and spellings.count(word.casefold()) == 1
            and isinstance(value, str | int)
        )
    if kind == "boolean":
        return isinstance(value, bool)
    # In a text, 1.0 is a number with a fraction.
    is_fitting = isinstance(value, int) or (kind == "number" and isinstance(value, float))
    return kind in ("integer", "number") and is_fitting and _is_plain(value)


def _without_single_choices(rule: Schema) -> Schema:
    """Return a rule whose lists of one value are that value."""
    if "equals" not in rule:
        return rule
    equals = {
        path: choices[0] if isinstance(choices, list) and len(choices) == 1 else choices
        for path, choices in rule["equals"].items()
    }
    return {**rule, "equals": equals}


def _is_statable_sum(rule: Schema, properties: Schema) -> bool:
    schemas = dict(nested_paths(properties))
    limits = [rule[key] for key in ("minimum", "maximum") if key in rule]
    return rule["of"] in schemas and rule.get("equals", rule["of"]) in schemas and all(map(_is_plain, limits))


def _is_word(name: str, value: Any, properties: Mapping[str, Schema]) -> bool:
    """Return whether a sentence can require this value: it is a single word among few choices."""
    choices = [
        str(choice).casefold() for choice in properties.get(name, {}).get("enum", ()) if choice is not None
    ]
    word = str(value).casefold()
    is_word = (
        isinstance(value, str) and re.fullmatch(r"[a-z0-9]+", word, re.ASCII) and value not in properties
    )
    return bool(is_word) and choices.count(word) == 1


def _subject(rule: Schema) -> str:
    [(kind, rule_content)] = rule.items()
    if kind == "references":
        return str(rule_content["token"])
    content = rule_content.get("field", rule_content) if isinstance(rule_content, dict) else rule_content
    return f"{kind} {content}"


def facts(spec: Spec) -> dict[str, Any]:
    """Return the facts to compare: everything but prose, in a fixed order."""
    facts_of_rules: dict[str, Any] = {
        key: spec.get(key) for key in ("slug", "title", "returns", "latency_seconds", "pricing")
    }
    facts_of_rules |= {f"input.{path}": schema for path, schema in _facts(spec["input"], "")}
    for rule in spec.get("rules", ()):
        [(kind, rule_content)] = rule.items()
        if isinstance(rule_content, dict):
            rule_content = {
                key: sorted(value) if isinstance(value, list) else value
                for key, value in rule_content.items()
            }
        facts_of_rules[
            f"rule {kind} {json.dumps(sorted(rule_content) if isinstance(rule_content, list) else rule_content, sort_keys=True)}"
        ] = True
    return facts_of_rules


def _facts(holder: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, schema in holder["properties"].items():
        at, levels = f"{path}{name}", 0
        inner = schema
        while "items" in inner:
            inner, levels = inner["items"], levels + 1
        own_keys = {
            key: value
            for key, value in schema.items()
            # The kind of media is a hint of the name.
            if key not in ("items", "properties", "required", "description", "media")
        }
        if "enum" in own_keys:
            own_keys["enum"] = sorted(map(repr, own_keys["enum"]))
        yield (
            at,
            {
                **own_keys,
                "is_required": name in holder.get("required", ()),
                "levels": levels,
                "of": inner["type"],
                "format": inner.get("format"),
            },
        )
        if "properties" in inner:
            yield from _facts(inner, f"{at}.")


def page(content: Spec, *, run_together: bool = False) -> str:
    """Return the page of a reduced spec, in the layout with one fact a line.

    `run_together`: allowed numbers stand without a space between them, as on most real pages.
    """
    slug, price = content["slug"], content.get("pricing")
    head = [f"{content['title']} Serverless API", "", "It draws what you like.", ""]
    if content["latency_seconds"] is not None:
        head.append(f"~{content['latency_seconds']}s")
    if price:
        about = "~" if price.get("approximate") else ""
        ends = [f"{about}${price['from']}", f"${price['to']}"]
        head.append(f"{' - '.join(ends if price['from'] != price['to'] else ends[:1])} per {price['unit']}")
    head.append(f"POST /v2/{slug} · submit + poll")
    code = ["from segmind import SegmindClient", "", "client = SegmindClient()", "payload = {"]
    code += [f"    {name!r}: {value!r}," for name, value in content["sent"].items()]
    code += ["}", f'job = client.submit_async("{slug}", **payload)']
    rows = [line for row in _rows(content["input"], content, run_together=run_together) for line in row]
    return "\n".join([
        *head, *(f"{number:2}{line}" for number, line in enumerate(code, 1)), "",
        "API Endpoint", "", f"POSThttps://api.segmind.com/v1/{slug}", "", "Parameters", "", *rows,
        "", "Response Type", "", f"Returns: {content['returns'].capitalize()}", "", "Asynchronous requests (v2)", "",
        "Status states", "", "FAILED", "It went wrong", "", "Common Error Codes", "", "404", "",
    ])  # fmt: skip


def _rows(holder: Schema, content: Spec, *, run_together: bool, path: str = "") -> Iterator[list[str]]:
    """Yield the rows of parameters in the order of a page: the required first, each part from A to Z."""
    required = holder.get("required", ())
    for name, schema in sorted(
        holder["properties"].items(), key=lambda item: (item[0] not in required, item[0])
    ):
        inner, levels = _inner(schema)
        kind = inner["type"] if isinstance(inner["type"], str) else inner["type"][0]
        shown = kind + "[]" * levels + (" (uri)" if "format" in inner and not levels else "")
        text = " ".join(_sentences(f"{path}{name}", schema, inner, content))
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
            yield from _rows(inner, content, run_together=run_together, path=f"{path}{name}.")


def _list_sentences(schema: Schema) -> Iterator[str]:
    if "or" in schema:
        members = schema["or"]["items"]["properties"].items()
        words = [f"{key!r} ({LIST_WORDS[part['type']]})" for key, part in members]
        yield f"A list of objects with {', '.join(words)}."


def _conditional_sentence(rule: Schema) -> str:
    conditions = [
        f"{path} is {_choice_words(_listed(choices))}" for path, choices in rule.get("equals", {}).items()
    ]
    conditions += [f"{path} is set" for path in rule.get("present", ())]
    consequences = [
        CONSEQUENCES[key].format(
            path, _choice_words(_listed(affected[path])) if isinstance(affected, dict) else ""
        )
        for key, affected in rule["then"].items()
        for path in affected
    ]
    *first, last = consequences
    words = f"{', '.join(first)} and {last}" if first else last
    return f"If {' and '.join(conditions)}, {words}."


def _choice_words(choices: list[Any]) -> str:
    *first, last = (str(value).lower() if isinstance(value, bool) else str(value) for value in choices)
    return f"{', '.join(first)} or {last}" if first else last


def _sentences(name: str, schema: Schema, inner: Schema, content: Spec) -> Iterator[str]:
    """Yield the sentences about a parameter."""
    if "properties" in inner:
        yield f"Each has {', '.join(inner['properties'])}."
    elif "format" in inner and "items" in schema:
        yield "URLs of what it shows."
    else:
        yield "What it shows."
    yield from _list_sentences(schema)
    yield from (words.format(schema[key]) for key, words in SIZES.items() if key in schema)
    for rule in content.get("rules", ()):
        yield from _rule_sentences(name, rule)


def _rule_sentences(name: str, rule: Schema) -> Iterator[str]:
    """Yield the sentences of a rule in the description of a parameter."""
    [(kind, rule_content)] = rule.items()
    match kind:
        case "at_least_one_of" if rule_content[0] == name:
            yield f"At least one of {', '.join(rule_content[:-1])} and {rule_content[-1]} is required."
        case "exactly_one_of" if rule_content[0] == name:
            yield f"Exactly one of {', '.join(rule_content[:-1])} and {rule_content[-1]} is required."
        case "mutually_exclusive" if rule_content[0] == name:
            yield f"{', '.join(rule_content[:-1])} and {rule_content[-1]} are mutually exclusive."
        case "references" if name in (rule_content["field"], rule_content["list"]):
            yield f"Call them {rule_content['token'].replace('{n}', '1')}."
        case "max_bytes" if rule_content["field"] == name:
            unit = next(unit for unit in UNITS if rule_content["bytes"] % unit == 0)
            yield f"Max {rule_content['bytes'] // unit}{UNITS[unit]}."
        case "when" if (
            next(iter([*rule_content.get("equals", ()), *rule_content.get("present", ())])) == name
        ):
            yield _conditional_sentence(rule_content)
        case "sum" if rule_content["of"] == name:
            limits = [str(rule_content[key]) for key in ("equals",) if key in rule_content]
            limits += [
                f"at {bound} {rule_content[key]}" for key, bound in ENDS.items() if key in rule_content
            ]
            yield f"The values of {name} must add up to {' and '.join(limits)}."
        case "requires" if rule_content["field"] == name:
            if "present" in rule_content:
                yield f"Requires {' and '.join(rule_content['present'])}."
            yield from (
                f"Requires {name_needed} to be {value}."
                for name_needed, value in rule_content.get("equals", {}).items()
            )
        case _:
            pass
