"""Random schemas of parameters, and values that they accept."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

Schema: TypeAlias = dict[str, Any]

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
