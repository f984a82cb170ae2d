"""Random specs: everything that specs/README.md allows, corner cases included.

A spec is plain data, as a YAML reader gives it. Nothing here asks the compiler what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, TypeAlias

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .prose_rules import LIMITS, broken_rules

Schema: TypeAlias = dict[str, Any]
Spec: TypeAlias = dict[str, Any]

# Names with a meaning in Python, pydantic, a generated module or a call of a client; names that Python cannot have; names that
# become equal in Python; names that YAML could read as another type.
ODD_NAMES = re.findall(
    r"\S+",
    "class None True self cls json copy schema wire adapter dict model_config model_fields model_x validate construct "
    "Literal Any Field MISSING Media Part Params Sequence TypedDict Annotated IntOrStr BoolOnly str int float bool list type "
    "timeout extra save_to model params slug __init__ __class__ __private _private _ __ "
    '1k 2nd a-b a.b a_b a_b_ a-b_ größe 日本 ﬁt µ it\'s "q" back\\slash {n} {{z}} {%z%} {#z} # @z <b> %s $HOME `c` | '
    "on no null ~ 1.5 0x1 16:9 prompt Prompt PROMPT promptInput camelCase CamelCase snake_case Item items properties "
    "y y_ y__ field_1 elements Elements ElementsModel element async match print",
)
SPACED_NAMES = ["with space", " x ", "two  spaces", "a: b", "a #b", "- a", "a\nb", "a\n", "a\rb", "a\0"]
OLD_NAMES = ["former_name", "formerName", "with | bar", "two\nlines", '"""', "16:9", "lambda"]
PLAIN_NAMES = re.findall(
    r"\w+",
    "duration seed mode image_url video_url shots cfg_scale negative_prompt text voice_ids camera steps strength",
)
# Markup, quotes and limits of the readers on the way: YAML, Python, Jinja, Markdown, the shell.
AWKWARD = [
    '"', '"""', "'''", "'", "\\", "\\n", "a\\", '\\"', "{", "}", "{n}", "{{ x }}", "{% x %}", "{# x #}", "#", "# x", "%s", "%(x)s",
    "`", "``", "|", "a|b", "<b>", "<!--", "-->", "&amp;", "$(x)", "*", "**", "_x_", "~", "[x](y)", "@Image1", "@x", ":", ": ", "- ",
    "\n", "\n\n", "\t", "\r", "\r\n", "\0", "\x0b", "\x0c", "\x1b[1m", "\x7f", "\x85", " ", "  ", "x\n", " x", "x ", "\u00a0", "\u2028", "é", "日本語", "🎬", "👩‍👩‍👧", "\u202e", "\ufeff", "ﬁ", "null", "true", "on",
    "0", "5", "-1", "05", "1.0", "16:9", "1_000", "2026-01-31", "0x1f", "x" * 120, "word " * 40,
]  # fmt: skip
WHOLE = [
    0,
    1,
    -1,
    5,
    10,
    255,
    2**31,
    2**53 - 1,
    2**53,
    2**53 + 1,
    -(2**53) - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    10**15,
    10**20,
    -(10**30),
]
FRACTIONS = [0.0, -0.0, 0.5, 1.0, -0.1, 1e-7, 5e-324, 1e15, 1e16, -1e20, 0.1 + 0.2]
URLS = [
    "https://example.com/a.png",
    "http://EXAMPLE.com:443/a/../b?sig=%2f+x#y",
    "https://例え.jp/画像.mp4",
    'https://e.org/it\'s?a="b"&c={x}|<d>\\',
]
KINDS = ["string", "uri", "integer", "number", "boolean", "array", "object"]
NO_VALUE: Any = object()
# The largest number of characters or items that is worth writing into a spec.
LONGEST = 60


def texts(longest: int = 80) -> SearchStrategy[str]:
    """Draw a text that is not blank."""
    pieces = st.lists(
        st.sampled_from(AWKWARD) | st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=4
    )
    drawn = st.sampled_from(["Says what it does.", "Length in seconds."]) | pieces.map("".join)
    return drawn.map(lambda text: text[:longest]).filter(lambda text: text.strip())


def lines(longest: int) -> SearchStrategy[str]:
    """Draw a text on one line that neither starts nor ends with a space."""
    return texts(longest).map(lambda text: " ".join(text.split())).filter(bool)


def names() -> SearchStrategy[str]:
    """Draw the name of a parameter."""
    anything = st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=5
    )
    # jsonschema-rs, which judges the models, does not distinguish a name of digits from an index.
    drawn = anything.filter(lambda name: name.strip() and not name.isdecimal())
    return st.sampled_from(PLAIN_NAMES) | st.sampled_from([*ODD_NAMES, *SPACED_NAMES]) | drawn


def numbers(kind: str) -> SearchStrategy[Any]:
    """Draw a bound or a value of an integer or a number."""
    whole = st.sampled_from(WHOLE) | st.integers(-20, 20)
    if kind == "integer":
        return whole
    # A model holds a number as a float, and jsonschema-rs errs about integers as large bounds of floats.
    return whole.filter(lambda n: abs(n) <= 2**53) | st.sampled_from(FRACTIONS) | st.floats(-10, 10)


@st.composite
def schemas(draw: DrawFn, depth: int = 0, *, is_item: bool = False) -> Schema:  # noqa: C901, PLR0912  one case a kind
    """Draw one parameter, or an item of a list."""
    kind = draw(st.sampled_from(KINDS if depth < 3 else KINDS[:5]))
    schema: Schema = {"type": kind}
    match kind:
        case "string":
            form = draw(st.sampled_from(["", "enum", "size", *([] if is_item or depth > 2 else ["or"])]))
            if form == "enum":
                digits = st.lists(st.integers(0, 20).map(str), min_size=1, max_size=4, unique=True)
                any_text = st.sampled_from([*AWKWARD, ""]) | st.text(st.characters(codec="utf-8"))
                mixed = st.lists(any_text, min_size=1, max_size=5, unique=True)
                schema["enum"] = draw(digits | mixed)
            elif form == "size":
                schema |= draw(sizes("Length", [0, 1, 3, 60, 512]))
            elif form == "or":
                schema["or"] = draw(lists(depth))
        case "uri":
            schema = {"type": "string", "format": "uri"}
            schema |= draw(st.sampled_from([{}, *({"media": kind} for kind in ("image", "video", "audio"))]))
        case "integer" | "number":
            if kind == "integer" and draw(st.booleans()):
                choices = numbers("integer").filter(lambda n: -(2**63) <= n < 2**63)
                schema["enum"] = draw(st.lists(choices, min_size=1, max_size=5, unique=True))
            else:
                ends = st.lists(numbers(kind), min_size=2, max_size=2).map(sorted)
                low, high = draw(ends)
                bounds = {"minimum": low, "maximum": high}
                schema |= {key: bounds[key] for key in draw(st.sets(st.sampled_from(list(bounds))))}
        case "boolean":
            schema |= draw(
                st.sampled_from([{}, {}, {"enum": [True]}, {"enum": [False]}, {"enum": [False, True]}])
            )
        case "array":
            schema |= draw(lists(depth))
        case _:
            schema |= draw(objects(depth + 1))
    if draw(st.integers(0, 4)) == 0:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].insert(draw(st.integers(0, len(schema["enum"]))), None)
    if draw(st.booleans()):
        schema["description"] = draw(texts())
    if kind != "object" and draw(st.integers(0, 2)) == 0:
        default = draw(values({key: part for key, part in schema.items() if key != "or"}))
        nested = schema.get("items", {}).get("type", "")
        if default and ("array" in nested or "object" in nested):
            default = [] if not schema.get("minItems") else NO_VALUE
        if default is not NO_VALUE:
            schema["default"] = default
    if draw(st.integers(0, 5)) == 0:
        since = draw(st.dates(date(1970, 1, 1)).map(date.isoformat))
        schema["deprecated"] = {"since": since, **({"use": draw(lines(100))} if draw(st.booleans()) else {})}
    keys = draw(st.permutations(list(schema)))
    return {key: schema[key] for key in keys}


def rename_some(draw: DrawFn, properties: Schema) -> None:
    """Give some parameters old names, which no parameter has in a call or in Python."""
    for old in draw(st.sets(st.sampled_from(OLD_NAMES), max_size=3)) if draw(st.booleans()) else ():
        if old not in properties:
            properties[draw(st.sampled_from(list(properties)))].setdefault("renamed_from", []).append(old)


@st.composite
def lists(draw: DrawFn, depth: int) -> Schema:
    """Draw a list."""
    items = draw(schemas(depth + 1, is_item=True))
    return {"type": "array", "items": items, **draw(st.just(Schema()) | sizes("Items", [0, 1, 3, 100]))}


def sizes(suffix: str, limits: list[int]) -> SearchStrategy[Schema]:
    """Draw limits of a length: none, one or both."""
    ends = st.tuples(st.sampled_from(limits), st.sampled_from(limits)).map(sorted)
    bounds = ends.map(lambda pair: {f"min{suffix}": pair[0], f"max{suffix}": pair[1]})
    return st.builds(
        lambda whole, chosen: {k: whole[k] for k in whole if k[:3] in chosen},
        bounds,
        st.sets(st.sampled_from(["min", "max"])),
    )


@st.composite
def objects(draw: DrawFn, depth: int) -> Schema:
    """Draw properties, and which of them are required."""
    properties: Schema = draw(
        st.dictionaries(names(), schemas(depth), min_size=1, max_size=4 if depth else 6)
    )
    free = [name for name, part in properties.items() if not {"default", "deprecated"} & part.keys()]
    required: list[str] = draw(st.lists(st.sampled_from(free), unique=True, max_size=3)) if free else []
    has_required = bool(required) or draw(st.booleans())
    return {"properties": properties, **({"required": required} if has_required else {})}


@st.composite
def values(draw: DrawFn, schema: Schema) -> Any:  # noqa: C901, PLR0911, PLR0912  one case a kind
    """Draw a value that a schema takes, or NO_VALUE where it would be too long to write down."""
    kind = schema["type"]
    if "or" in schema and draw(st.booleans()):
        return draw(values(schema["or"]))
    if isinstance(kind, list):
        if draw(st.integers(0, 3)) == 0:
            return None
        kind = kind[0]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    match kind:
        case "string":
            if "format" in schema:
                return draw(st.sampled_from(URLS))
            least, longest = schema.get("minLength", 0), min(schema.get("maxLength", LONGEST), LONGEST)
            return (
                NO_VALUE
                if least > longest
                else draw(texts(longest) | st.just(""))[:longest].ljust(least, "é")
            )
        case "integer" | "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            inside = numbers(kind).filter(lambda n: (low is None or n >= low) and (high is None or n <= high))
            ends = [end for end in (low, high) if end is not None]
            return draw(st.sampled_from(ends)) if ends else draw(inside)
        case "boolean":
            return draw(st.booleans())
        case "array":
            least = schema.get("minItems", 0)
            if least > LONGEST:
                return NO_VALUE
            longest = min(schema.get("maxItems", least + 2), least + 2)
            items = draw(st.lists(values(schema["items"]), min_size=min(least, 3), max_size=min(longest, 3)))
            items += items[:1] * (least - len(items))
            return NO_VALUE if any(item is NO_VALUE for item in items) else items
        case _:
            drawn: Schema = {}
            for name, part in schema["properties"].items():
                value = (
                    draw(values(part)) if name in schema.get("required", ()) or draw(st.booleans()) else None
                )
                if value is NO_VALUE and name in schema.get("required", ()):
                    return NO_VALUE
                if value is not NO_VALUE and (value is not None or "null" in part["type"]):
                    drawn[name] = value
            return drawn


@st.composite
def rules(draw: DrawFn, schema_input: Schema) -> list[Schema]:
    """Draw rules of each kind whose parameters suit them."""
    properties = schema_input["properties"]
    parameter_names = list(properties)
    bare = {
        name: part["type"] if isinstance(part["type"], str) else part["type"][0]
        for name, part in properties.items()
    }
    strings = [name for name in parameter_names if bare[name] == "string"]
    arrays = [name for name in parameter_names if bare[name] == "array" or "or" in properties[name]]
    links = [path for path, part in nested_paths(properties) if "format" in part]
    free = [name for name in parameter_names if name not in schema_input.get("required", ())]
    tokens = st.sampled_from(
        ["@Image{n}", "<<<v_{n}>>>", "{n}.", "({n})", "'{n}\\", '"{n}"', "{{n}}", "[{n}]", "日{n}"]
    )
    kinds: list[SearchStrategy[Schema]] = []
    if parameter_names:
        kinds.append(requirements(properties, parameter_names))
    if strings and arrays:
        reference = st.fixed_dictionaries(
            {"field": st.sampled_from(strings), "token": tokens, "list": st.sampled_from(arrays)}
        )
        kinds.append(reference.map(lambda rule: {"references": rule}))
    if links:
        limits = st.fixed_dictionaries(
            {"field": st.sampled_from(links), "bytes": st.sampled_from([100, 52428800, 2**64])}
        )
        kinds.append(limits.map(lambda rule: {"max_bytes": rule}))
    if scopes := _scopes(properties, schema_input.get("required", ())):
        kinds.append(st.sampled_from(scopes).flatmap(conditions))
    if numbers_in_items := _numbers_in_items(properties):
        kinds.append(sums(properties, numbers_in_items))
    if len(free) > 1:
        groups = st.lists(st.sampled_from(free), min_size=2, max_size=4, unique=True)
        kinds += [
            groups.map(lambda names: {"at_least_one_of": names}),
            groups.map(lambda names: {"mutually_exclusive": names}),
            groups.map(lambda names: {"exactly_one_of": names}),
        ]
    # Two rules about the same parameters would repeat each other.
    return draw(st.lists(st.one_of(kinds), max_size=3, unique_by=_subject)) if kinds else []


def nested_paths(properties: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the path and the schema of every parameter that a path can name."""
    for name, part in properties.items():
        if "." in name:
            continue
        yield name, part
        inner = part.get("or", part)
        while "items" in inner:
            inner = inner["items"]
        yield from ((f"{name}.{path}", below) for path, below in nested_paths(inner.get("properties", {})))


def _subject(rule: Schema) -> str:
    [(kind, has_required)] = rule.items()
    if kind == "when":
        return f"when {sorted(has_required.get('equals', ()))} {sorted(has_required.get('present', ()))}"
    if kind == "sum":
        return f"sum {has_required['of']}"
    return f"{kind} {has_required['field'] if kind == 'requires' else sorted(map(str, has_required.values() if isinstance(has_required, dict) else has_required))}"


@st.composite
def requirements(draw: DrawFn, properties: Schema, parameter_names: list[str]) -> Schema:
    """Draw a rule `requires`."""
    present = draw(st.lists(st.sampled_from(parameter_names), max_size=2, unique=True))
    # A file is never equal to anything.
    comparable = [name for name in parameter_names if "format" not in str(properties[name])]
    compared = draw(st.lists(st.sampled_from(comparable), max_size=2, unique=True)) if comparable else []
    drawn = {name: draw(values(properties[name])) for name in compared}
    equals = {name: value for name, value in drawn.items() if value is not NO_VALUE}
    rule: Schema = {"field": draw(st.sampled_from(parameter_names))}
    if present or not equals:
        rule["present"] = present or [parameter_names[0]]
    if equals:
        rule["equals"] = equals
    return {"requires": rule}


Candidate: TypeAlias = tuple[str, Schema, bool]
"""The path of a parameter, its schema, and whether its object requires it."""


def _scopes(properties: Schema, required: Sequence[str]) -> list[list[Candidate]]:
    """Return the parameters that one rule can name together: those outside lists, and those in one list beside them."""
    lists: dict[str, list[Candidate]] = {"": []}
    _collect(properties, required, "", "", lists)
    return [scope for scope in ([*lists[""], *lists[path]] if path else lists[""] for path in lists) if scope]


def _collect(
    properties: Schema,
    required: Sequence[str],
    before: str,
    list_path: str,
    lists: dict[str, list[Candidate]],
) -> None:
    for name, part in properties.items():
        if "." in name:
            continue
        lists.setdefault(list_path, []).append((f"{before}{name}", part, name in required))
        inner = part
        while "items" in inner:
            inner = inner["items"]
        if "properties" in inner:
            below = f"{before}{name}" if inner is not part else list_path
            _collect(inner["properties"], inner.get("required", ()), f"{before}{name}.", below, lists)


@st.composite
def conditions(draw: DrawFn, scope: list[Candidate]) -> Schema:
    """Draw a rule `when` about parameters of a scope."""
    comparable = [(path, part) for path, part, _ in scope if _is_comparable(part)]
    equals: Schema = {}
    for path, part in draw(st.lists(st.sampled_from(comparable), max_size=2)) if comparable else []:
        choices = draw(st.lists(values(part), min_size=1, max_size=3, unique_by=repr))
        choices = [value for value in choices if value is not NO_VALUE]
        if choices:
            equals[path] = choices[0] if draw(st.booleans()) else choices
    names = [path for path, _, _ in scope]
    present = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    if not equals and not present:
        present = [names[0]]
    then: Schema = {}
    for path, part, is_required in draw(st.lists(st.sampled_from(scope), min_size=1, max_size=3)):
        keys = ["required", *([] if is_required else ["forbidden"]), *_limits_of(part)]
        if path in then.get("forbidden", ()):
            continue
        _add_consequence(draw, then, draw(st.sampled_from(keys)), path, part)
    condition = {key: part for key, part in (("equals", equals), ("present", present)) if part}
    return {"when": {**condition, "then": then}}


def _numbers_in_items(properties: Schema) -> list[str]:
    """Return the paths of numbers in the items of lists of objects."""
    lists = {
        name: part["items"]["properties"]
        for name, part in properties.items()
        if "." not in name and "properties" in part.get("items", {})
    }
    return [
        f"{name}.{inner}"
        for name, parts in lists.items()
        for inner, part in parts.items()
        if "." not in inner and {"integer", "number"} & {*_types(part)}
    ]


@st.composite
def sums(draw: DrawFn, properties: Schema, numbers_in_items: list[str]) -> Schema:
    """Draw a rule `sum`."""
    totals = [
        name
        for name, part in properties.items()
        if "." not in name and {"integer", "number"} & {*_types(part)}
    ]
    bounds = sorted([draw(numbers("number")), draw(numbers("number"))])
    whole = {
        **({"equals": draw(st.sampled_from(totals))} if totals else {}),
        "minimum": bounds[0],
        "maximum": bounds[1],
    }
    chosen = draw(st.sets(st.sampled_from(list(whole)), min_size=1))
    limits = {key: part for key, part in whole.items() if key in chosen}
    return {"sum": {"of": draw(st.sampled_from(numbers_in_items)), **limits}}


def _is_comparable(part: Schema) -> bool:
    return not {"array", "object"} & {*_types(part)} and not {"format", "or"} & part.keys()


def _types(part: Schema) -> list[str]:
    return part["type"] if isinstance(part["type"], list) else [part["type"]]


def _limits_of(part: Schema) -> list[str]:
    kind = _types(part)[0]
    keys = {
        "integer": ["minimum", "maximum"],
        "number": ["minimum", "maximum"],
        "array": ["min_items", "max_items"],
    }
    keys["string"] = ["min_length", "max_length"]
    if "format" in part:
        return []
    return [*keys.get(kind, []), *(["allowed"] if _is_comparable(part) else [])]


def _add_consequence(draw: DrawFn, then: Schema, key: str, path: str, part: Schema) -> None:
    if any(path in affected for affected in then.values()) and key == "forbidden":
        return
    if key in ("required", "forbidden"):
        then[key] = list(dict.fromkeys([*then.get(key, []), path]))
    elif key == "allowed":
        choices = draw(st.lists(values(part), min_size=1, max_size=3, unique_by=repr))
        if choices := [value for value in choices if value is not NO_VALUE]:
            then.setdefault(key, {})[path] = choices
    elif not any(path in then.get(limit, {}) for limit in LIMITS):
        limit = draw(numbers("integer" if _types(part)[0] == "integer" else "number"))
        then.setdefault(key, {})[path] = limit if "_" not in key else draw(st.sampled_from([0, 1, 3, 60]))
    if not then:
        then["required"] = [path]


SLUG_PARTS = [
    "kling",
    "a",
    "x1",
    "2",
    "9",
    "5",
    "turbo",
    "pro",
    "image2video",
    "class",
    "none",
    "v2",
    "schemas",
    "params",
    "0",
]


def slugs() -> SearchStrategy[str]:
    """Draw a slug. Its name in Python is not a keyword or a name of the generated code."""
    first, parts = (
        st.sampled_from(["kling", "k", "int", "x9", "zz"]),
        st.lists(st.sampled_from(SLUG_PARTS), min_size=1, max_size=3),
    )
    joins = st.lists(st.sampled_from("-."), min_size=3, max_size=3)
    return st.builds(
        lambda head, tail, marks: head + "".join(map("".join, zip(marks, tail, strict=False))),
        first,
        parts,
        joins,
    )


@st.composite
def documents(draw: DrawFn) -> Spec:
    """Draw a whole spec that the language allows."""
    schema_input = draw(objects(0))
    rename_some(draw, schema_input["properties"])
    prices = st.sampled_from([0, 0.05, 1, 0.504, 1e6, 1e-7])
    units = st.sampled_from(["generation", "second", "minute", "image", "megapixel"])
    spec: Spec = {
        "slug": draw(slugs()),
        "title": draw(lines(100)),
        "summary": draw(lines(99).filter(lambda line: line.strip("."))).rstrip(".") + ".",
        "returns": draw(st.sampled_from(["video", "image", "audio", "text"])),
        "latency_seconds": draw(st.sampled_from([None, 1, 60, 193.06, 0.5, 1e-7, 1e20, 86400])),
        "source": {
            "page": draw(st.sampled_from(URLS)),
            "document": draw(texts(30)),
            "read": draw(st.dates(date(1970, 1, 1)) | st.dates(date(1970, 1, 1)).map(date.isoformat)),
        },
        "input": schema_input,
        "rules": draw(rules(schema_input)),
    }
    if draw(st.integers(0, 3)) == 0:
        since = draw(st.dates(date(1970, 1, 1)).map(date.isoformat))
        spec["retired"] = {"since": since, **draw(st.sampled_from([{}, {"use": "next-1"}]))}
    if draw(st.booleans()):
        low, high = sorted([draw(prices), draw(prices)])
        spec["pricing"] = {
            "currency": draw(st.sampled_from(["USD", "EUR"])),
            "from": low,
            "to": high,
            "unit": draw(units),
            **draw(st.sampled_from([{}, {"approximate": True}])),
        }
    if draw(st.integers(0, 3)) == 0:
        spec["source"]["unseen"] = draw(texts())
    if draw(st.booleans()):
        shown = st.fixed_dictionaries({"document": texts(30), "shows": texts()})
        spec["source"]["evidence"] = draw(st.lists(shown, min_size=1, max_size=2))
    examples = [
        value
        for value in draw(st.lists(values({"type": "object", **schema_input}), max_size=2))
        if value is not NO_VALUE
    ]
    judge = {"properties": schema_input["properties"], "x-kling": {"rules": spec["rules"]}}
    spec["examples"] = [
        {"name": draw(texts(40)), "input": value} for value in examples if not broken_rules(judge, value)
    ]
    abouts = st.sampled_from(["title", "tagline", *schema_input["properties"]])
    entry = st.fixed_dictionaries({"about": abouts, "page": texts(), "decision": texts()})
    spec["discrepancies"] = draw(st.lists(entry, max_size=2))
    silence = st.fixed_dictionaries(
        {"silence": st.sampled_from(["no-example", "no-description", "placeholder"]), "reason": texts()},
        optional={"about": abouts},
    )
    spec["lint"] = draw(st.lists(silence, max_size=1))
    for key in ("rules", "examples", "discrepancies", "lint"):
        if not spec[key] and draw(st.booleans()):
            del spec[key]
    return spec


def catalogs(longest: int = 3) -> SearchStrategy[list[Spec]]:
    """Draw specs that can stand beside each other."""
    return st.lists(
        documents(), min_size=1, max_size=longest, unique_by=lambda spec: re.sub("[.-]", "", spec["slug"])
    )


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes every text or writes a block, because PyYAML writes YAML 1.1."""

    quotes = '"'

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        # Where a block cannot stand, PyYAML leaves out quotes that YAML 1.2 needs; and a few characters end a line
        # only in YAML 1.1.
        quotes = self.quotes if re.fullmatch(r"[^\x85\u2028\u2029]* [^\x85\u2028\u2029]*", data) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=quotes)


_Dumper.add_representer(str, _Dumper.text)


def to_yaml(spec: Any, quotes: str = '"', *, flow: bool = False) -> str:
    """Return a spec as YAML, its texts in these quotes, or as blocks if that is `|` or `>`."""
    dumper = type("Dumper", (_Dumper,), {"quotes": quotes})
    return str(
        yaml.dump(
            spec, Dumper=dumper, sort_keys=False, default_flow_style=flow, allow_unicode=True, width=100
        )
    )
