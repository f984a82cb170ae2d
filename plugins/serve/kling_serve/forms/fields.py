"""The fields of a form, made from the packaged JSON Schema of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from kling_serve.forms.limits import describe_limits

Control: TypeAlias = Literal[
    "choice", "select", "switch", "number", "line", "text", "media", "list", "group", "json"
]
Schema: TypeAlias = Mapping[str, Any]

_MOST_SEGMENTS: Final = 5
_LONGEST_SEGMENT: Final = 16
_MOST_STEPS: Final = 1000
_SHORT_TEXT: Final = 120
_LONG_NAMES: Final = ("prompt", "text", "description", "lyrics", "script")


@dataclass(frozen=True)
class Field:
    """One parameter of a form, or a part of one.

    Attributes:
        name: Its path, such as `elements[0].frontal_image_url`, which is its name in the form, too.
        label: The last part of the path.
        control: The kind of control.
        schema: Its JSON Schema.
        is_required: Whether a value is required.
        value: The present value; None without one.
        rules: Sentences of the rules that concern it.
        parts: The fields of a group, or the items of a list.
        blank: The field of a new item of a list, whose index is `{...}`; None for any other control.

    """

    name: str
    label: str
    control: Control
    schema: Schema
    is_required: bool = False
    value: Any = None
    rules: tuple[str, ...] = ()
    parts: tuple[Field, ...] = ()
    blank: Field | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The id of its element."""
        return make_id(self.name)

    @property
    def is_item(self) -> bool:
        """True if it is an item of a list."""
        return self.name.endswith("]")

    @property
    def default(self) -> Any:
        """The documented default, which is not sent; None without one."""
        return self.schema.get("default")

    @property
    def shown(self) -> Any:
        """The value that the control shows: the present one, or the default."""
        return self.default if self.value is None else self.value

    @property
    def media(self) -> str | None:
        """The kind of media that it takes; None for any other parameter."""
        kind: str | None = self.schema.get("x-kling", {}).get("media")
        return kind

    @property
    def limits(self) -> str:
        """The allowed values in a few words; empty if there is no limit."""
        return describe_limits(self.schema)

    @property
    def step(self) -> str:
        """The step of a number."""
        return "1" if "integer" in list_types(self.schema) else "any"

    @property
    def has_slider(self) -> bool:
        """True if a number has two ends that a slider can show."""
        low, high = self.schema.get("minimum"), self.schema.get("maximum")
        return low is not None and high is not None and (self.step == "any" or high - low <= _MOST_STEPS)


def make_fields(schema: Schema, values: Mapping[str, Any]) -> list[Field]:
    """Return the fields of a model, the required ones first.

    Args:
        schema: The packaged schema.
        values: The present values; a parameter without one has none.

    """
    required = schema.get("required", ())
    fields = [
        make_field(name, part, values.get(name), is_required=name in required, rules=list_rules(schema, name))
        for name, part in schema["properties"].items()
    ]
    return sorted(fields, key=lambda item: not item.is_required)


def make_field(
    name: str, schema: Schema, value: Any, *, is_required: bool = False, rules: tuple[str, ...] = ()
) -> Field:
    """Return the field of a parameter, with those inside it."""
    control = find_control(name, schema, value)
    label = name.rpartition(".")[2].partition("[")[0] or name
    parts: tuple[Field, ...] = ()
    blank = None
    if control == "list":
        items: Sequence[Any] = value if isinstance(value, list) else ()
        parts = tuple(_make_item(name, index, schema["items"], item) for index, item in enumerate(items))
        blank = _make_item(name, f"{{{make_id(name)}}}", schema["items"], None)
    elif control == "group":
        parts = tuple(_make_parts(name, schema, value if isinstance(value, Mapping) else {}))
    return Field(name, label, control, schema, is_required, value, rules, parts, blank)


def _make_item(name: str, index: int | str, schema: Schema, value: Any) -> Field:
    return make_field(f"{name}[{index}]", schema, value)


def _make_parts(name: str, schema: Schema, values: Mapping[str, Any]) -> Iterator[Field]:
    required = schema.get("required", ())
    for part, declared in schema["properties"].items():
        yield make_field(f"{name}.{part}", declared, values.get(part), is_required=part in required)


def find_control(name: str, schema: Schema, value: Any) -> Control:
    """Return the control of a parameter."""
    types = list_types(schema)
    controls: dict[Control, bool] = {
        "choice": "enum" in schema and types != {"boolean"} and _fits_segments(schema["enum"]),
        "select": "enum" in schema and types != {"boolean"},
        "list": "items" in schema and not isinstance(value, str),
        "group": "properties" in schema,
        "switch": "boolean" in types,
        "number": bool(types & {"integer", "number"}),
        "media": "media" in schema.get("x-kling", {}),
        "text": "string" in types and _is_long(name, schema),
        "line": "string" in types,
    }
    fitting: list[Control] = [control for control, fits in controls.items() if fits]
    return fitting[0] if fitting else "json"


def _fits_segments(choices: Sequence[Any]) -> bool:
    return len(choices) <= _MOST_SEGMENTS and all(len(str(choice)) <= _LONGEST_SEGMENT for choice in choices)


def _is_long(name: str, schema: Schema) -> bool:
    label = name.rpartition(".")[2].lower()
    return schema.get("maxLength", 0) > _SHORT_TEXT or any(word in label for word in _LONG_NAMES)


def list_types(schema: Schema) -> set[str]:
    """Return the JSON types of a parameter, without null."""
    declared = schema.get("type", ())
    types = {declared} if isinstance(declared, str) else set(cast("Sequence[str]", declared))
    return types - {"null"}


def list_rules(schema: Schema, name: str) -> tuple[str, ...]:
    """Return the sentences of the rules that concern a parameter."""
    rules: Sequence[Mapping[str, Any]] = schema.get("x-kling", {}).get("rules", ())
    return tuple(
        rule["text"]
        for rule in rules
        if any(_names(body, name) for key, body in rule.items() if key != "text")
    )


def _names(body: Any, name: str) -> bool:
    """Return whether a part of a rule names a parameter or something inside it."""
    if isinstance(body, str):
        return body == name or body.startswith((f"{name}.", f"{name}["))
    if isinstance(body, Mapping):
        pairs = cast("Mapping[str, Any]", body).items()
        return any(_names(key, name) or _names(value, name) for key, value in pairs)
    items: list[Any] = body if isinstance(body, list) else []
    return any(_names(item, name) for item in items)


def make_id(name: str) -> str:
    """Return the id of the element of a field: its path, in letters that ids and selectors can have."""
    return "".join(letter if letter.isalnum() or letter in "_{}" else "-" for letter in name).strip("-")


def show_value(value: Any) -> str:
    """Return a value as a text control shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.name if isinstance(value, Path) else str(value)
